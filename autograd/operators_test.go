package autograd

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/blemish/blemish/tensor"
)

// operator is a case of testdata/operators.json, made by testdata/gen/operators.py.
type operator struct {
	Op   string
	Args struct {
		Stride, Padding, Dilation, Groups, K, H, W, Dim, Start, N int
		OutputPadding                                             int `json:"output_padding"`
		S, C                                                      float32
		Training                                                  bool
		Mean, Var                                                 []float32
		MeanAfter                                                 []float32 `json:"mean_after"`
		VarAfter                                                  []float32 `json:"var_after"`
		Shape, Order                                              []int
	}
	Inputs []struct {
		Shape []int
		Data  []float32
	}
	Weight []float64
	Out    struct {
		Shape []int
		Data  []float64
	}
	Grads [][]float64
}

func operators(t *testing.T) []operator {
	raw, err := os.ReadFile("testdata/operators.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []operator
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// run applies the operator.
func (c *operator) run(t *Tape, x []*Var) *Var {
	a := &c.Args
	win := Window{Stride: a.Stride, Dilation: a.Dilation, Groups: a.Groups, Pad: Pad(a.Padding)}
	third := func() *Var {
		if len(x) > 2 {
			return x[2]
		}
		return nil
	}
	switch c.Op {
	case "add":
		return t.Add(x[0], x[1])
	case "sub":
		return t.Sub(x[0], x[1])
	case "mul":
		return t.Mul(x[0], x[1])
	case "scale":
		return t.Scale(x[0], a.S, a.C)
	case "relu":
		return t.ReLU(x[0])
	case "relu6":
		return t.ReLU6(x[0])
	case "leaky_relu":
		return t.LeakyReLU(x[0], 0.1)
	case "linear":
		return t.Linear(x[0], x[1], third())
	case "matmul":
		return t.MatMul(x[0], x[1])
	case "matmul_t":
		return t.MatMulT(x[0], x[1])
	case "conv2d":
		return t.Conv2d(x[0], x[1], third(), win)
	case "conv_transpose2d":
		return t.ConvTranspose2d(x[0], x[1], x[2], win, a.OutputPadding)
	case "batch_norm":
		return t.BatchNorm(x[0], x[1], x[2], &Running{slices.Clone(a.Mean), slices.Clone(a.Var), 0.3}, a.Training, 1e-3)
	case "layer_norm":
		return t.LayerNorm(x[0], x[1], x[2], 1e-5)
	case "max_pool2d":
		return t.MaxPool2d(x[0], a.K, win)
	case "avg_pool2d":
		return t.AvgPool2d(x[0], a.K, win)
	case "adaptive_avg_pool2d":
		return t.AdaptiveAvgPool2d(x[0], a.H, a.W)
	case "upsample_nearest":
		return t.UpsampleNearest(x[0], a.H, a.W)
	case "upsample_bilinear":
		return t.UpsampleBilinear(x[0], a.H, a.W)
	case "softmax":
		return t.Softmax(x[0])
	case "log_softmax":
		return t.LogSoftmax(x[0])
	case "reshape":
		return t.Reshape(x[0], a.Shape...)
	case "permute":
		return t.Permute(x[0], a.Order...)
	case "concat":
		return t.Concat(a.Dim, x...)
	case "narrow":
		return t.Narrow(x[0], a.Dim, a.Start, a.N)
	case "sum":
		return t.Sum(x[0])
	case "mean":
		return t.Mean(x[0])
	case "mean_last":
		return t.MeanLast(x[0])
	case "residual":
		return t.ReLUInPlace(t.AddInPlace(t.Linear(x[0], x[1], nil), x[0]))
	}
	unary := map[string]func(*Var) *Var{"sigmoid": t.Sigmoid, "tanh": t.Tanh, "silu": t.SiLU, "gelu": t.GELU, "hardswish": t.Hardswish, "elu": t.ELU,
		"softplus": t.Softplus, "exp": t.Exp, "square": t.Square, "abs": t.Abs, "log": t.Log, "sqrt": t.Sqrt, "reciprocal": t.Reciprocal}
	return unary[c.Op](x[0])
}

func (c *operator) params() []*Var {
	var x []*Var
	for i, in := range c.Inputs {
		x = append(x, NewParam(fmt.Sprint("input ", i), tensor.From(slices.Clone(in.Data), in.Shape...)))
	}
	return x
}

// weighted is the loss that the goldens' gradients are of: Σ out·weight.
func (c *operator) weighted(t *Tape, out *Var) *Var {
	w := make([]float32, len(c.Weight))
	for i, v := range c.Weight {
		w[i] = float32(v)
	}
	return t.Sum(t.Mul(out, t.Input(tensor.From(w, out.Shape()...))))
}

// worst is the largest difference, relative to the largest value: rounding of float32 sums is relative to their terms.
func worst(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	scale, d := 1e-3, 0.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i, v := range want {
		diff := math.Abs(float64(got[i]) - v)
		if math.IsNaN(diff) {
			return math.Inf(1)
		}
		d = max(d, diff)
	}
	return d / scale
}

// rounding bounds float32's error in sums of some hundred terms; the worst measured is 5e-7.
const rounding = 2e-6

func TestWorstFindsDifferences(t *testing.T) {
	if worst([]float32{1, 2}, []float64{1, 2}) > 0 || worst([]float32{1, 2}, []float64{1, 2.1}) < 0.04 ||
		!math.IsInf(worst([]float32{1}, []float64{1, 2}), 1) || !math.IsInf(worst([]float32{float32(math.NaN())}, []float64{1}), 1) {
		t.Error("the comparison misses differences")
	}
}

func TestOperatorsAgreeWithPyTorch(t *testing.T) {
	largest := 0.0
	for i, c := range operators(t) {
		name := fmt.Sprintf("%d %s %+v", i, c.Op, c.Args)
		x := c.params()
		tape := NewTape()
		for round := range 2 { // the second in used memory
			out := c.run(tape, x)
			if !slices.Equal(out.Shape(), c.Out.Shape) {
				t.Fatalf("%s: shape %v, PyTorch has %v", name, out.Shape(), c.Out.Shape)
			}
			tape.Keep(out)
			loss := c.weighted(tape, out)
			for _, v := range x {
				v.ZeroGrad()
			}
			if err := tape.Backward(loss); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			d := worst(out.Value.Data, c.Out.Data)
			if d > rounding {
				t.Errorf("%s, round %d: values differ by %.2g", name, round, d)
			}
			largest = max(largest, d)
			for j, v := range x {
				if v.Grad == nil {
					t.Fatalf("%s: no gradient of input %d", name, j)
				}
				d := worst(v.Grad.Data, c.Grads[j])
				if d > rounding {
					t.Errorf("%s, round %d: gradient %d differs by %.2g", name, round, j, d)
				}
				largest = max(largest, d)
			}
			tape.Reset()
		}
	}
	t.Logf("largest difference %.2g", largest)
}

// Gradients add up over backward passes until they are cleared.
func TestGradientsAccumulate(t *testing.T) {
	for i, c := range operators(t) {
		x := c.params()
		tape := NewTape()
		for range 2 {
			if err := tape.Backward(c.weighted(tape, c.run(tape, x))); err != nil {
				t.Fatal(err)
			}
			tape.Reset()
		}
		for j, v := range x {
			twice := make([]float64, len(c.Grads[j]))
			for k, g := range c.Grads[j] {
				twice[k] = 2 * g
			}
			if d := worst(v.Grad.Data, twice); d > rounding {
				t.Errorf("%d %s %+v: gradient %d after two passes differs by %.2g from twice the first", i, c.Op, c.Args, j, d)
			}
		}
	}
}

// Every slope is the limit of differences: (f(x+h)-f(x-h))/2h, the loss summed in float64.
func TestGradientsAreSlopes(t *testing.T) {
	for i, c := range operators(t) {
		x := c.params()
		tape := NewTape()
		if err := tape.Backward(c.weighted(tape, c.run(tape, x))); err != nil {
			t.Fatal(err)
		}
		tape.Reset()
		loss := func() float64 {
			defer tape.Reset()
			sum := 0.0
			for k, v := range c.run(tape, x).Value.Data {
				sum += float64(v) * c.Weight[k]
			}
			return sum
		}
		for j, v := range x {
			for k := 0; k < len(v.Value.Data); k += 1 + len(v.Value.Data)/7 {
				const h = 1.0 / 128
				at := v.Value.Data[k]
				v.Value.Data[k] = at + h
				up := loss()
				v.Value.Data[k] = at - h
				down := loss()
				v.Value.Data[k] = at
				slope, g := (up-down)/(2*h), float64(v.Grad.Data[k])
				// h² times the third derivative, and float32's rounding of a loss of about 10 over h; kinks are steps of half the slope at most
				tolerance := 2e-3 * (1 + math.Abs(g))
				if c.Op == "log" || c.Op == "sqrt" || c.Op == "reciprocal" || c.Op == "softmax" || c.Op == "log_softmax" || c.Op == "exp" {
					tolerance = 0.02 * (1 + math.Abs(g)) // large third derivatives
				}
				if d := math.Abs(slope - g); d > tolerance {
					t.Errorf("%d %s %+v: gradient %d at %d is %v, the slope %v", i, c.Op, c.Args, j, k, g, slope)
				}
			}
		}
	}
}

// Three workers compute the bits of one.
func TestWorkersDoNotChangeBits(t *testing.T) {
	for i, c := range operators(t) {
		var first [][]float32
		for _, workers := range []int{1, 3} {
			x := c.params()
			tape := NewTape()
			tape.Workers = workers
			out := tape.Keep(c.run(tape, x))
			if err := tape.Backward(c.weighted(tape, out)); err != nil {
				t.Fatal(err)
			}
			all := [][]float32{out.Value.Data}
			for _, v := range x {
				all = append(all, v.Grad.Data)
			}
			if first == nil {
				first = all
			}
			for j := range all {
				if !slices.Equal(all[j], first[j]) {
					t.Errorf("%d %s: other bits with %d workers", i, c.Op, workers)
				}
			}
		}
	}
}
