package autograd

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

type array struct {
	Shape []int
	Data  []float32
}

func (a *array) tensor() *tensor.Tensor {
	if a == nil {
		return nil
	}
	return tensor.From(slices.Clone(a.Data), a.Shape...)
}

// lossCase is a case of testdata/losses.json, made by testdata/gen/losses.py.
type lossCase struct {
	Loss string
	Args struct {
		Reduction                            string
		Beta, Alpha, Gamma, Smoothing, Range float32
		Labels                               []int
		Weight                               *array
		PosWeight                            *array `json:"pos_weight"`
		Kink                                 bool
	}
	Inputs []array
	Weight []float32
	Out    struct {
		Shape []int
		Data  []float64
	}
	Grads [][]float64
}

func losses(t *testing.T) []lossCase {
	raw, err := os.ReadFile("testdata/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []lossCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func (c *lossCase) String() string { return fmt.Sprintf("%s %+v", c.Loss, c.Args) }

func (c *lossCase) params() []*Var {
	var x []*Var
	for i, in := range c.Inputs {
		p := NewParam(fmt.Sprint("input ", i), in.tensor())
		p.SetRequiresGrad(i < len(c.Grads))
		x = append(x, p)
	}
	return x
}

func (c *lossCase) run(t *Tape, x []*Var) *Var {
	a := &c.Args
	r := map[string]Reduction{"": ReduceMean, "mean": ReduceMean, "sum": ReduceSum, "batchmean": ReduceBatchMean, "none": ReduceNone}[a.Reduction]
	var weight []float32
	if a.Weight != nil {
		weight = a.Weight.Data
	}
	switch c.Loss {
	case "mse":
		return t.MSE(x[0], x[1], r)
	case "l1":
		return t.L1(x[0], x[1], r)
	case "smooth_l1":
		return t.SmoothL1(x[0], x[1], a.Beta, r)
	case "bce":
		return t.BCEWithLogits(x[0], x[1], BCE{a.Weight.tensor(), a.PosWeight.tensor(), r})
	case "focal":
		return t.Focal(x[0], x[1], a.Alpha, a.Gamma, r)
	case "cross_entropy":
		return t.CrossEntropy(x[0], a.Labels, Classes{weight, a.Smoothing, r})
	case "cross_entropy_soft":
		return t.CrossEntropySoft(x[0], x[1], Classes{weight, a.Smoothing, r})
	case "focal_softmax":
		return t.FocalSoftmax(x[0], a.Labels, a.Gamma, weight, r)
	case "kl_div":
		return t.KLDiv(x[0], x[1], r)
	case "kl_div_log":
		return t.KLDivLog(x[0], x[1], r)
	case "gaussian_kl":
		return t.GaussianKL(x[0], x[1])
	case "cosine":
		return t.Cosine(x[0], x[1], r)
	case "ssim":
		return t.SSIM(x[0], x[1], a.Range)
	case "ssim_map":
		return t.SSIMMap(x[0], x[1], a.Range)
	}
	panic(c.Loss)
}

// backward computes the gradients of Σ loss·weight.
func (c *lossCase) backward(tape *Tape, x []*Var) (*Var, error) {
	out := tape.Keep(c.run(tape, x))
	w := tape.Input(tensor.From(c.Weight, out.Shape()...))
	return out, tape.Backward(tape.Sum(tape.Mul(out, w)))
}

// off is the largest difference, each relative to its value, or to a thousandth of the largest where it is smaller than that.
func off(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	largest, d := 1e-30, 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		diff := math.Abs(float64(got[i])-v) / max(math.Abs(v), 1e-3*largest)
		if math.IsNaN(diff) {
			return math.Inf(1)
		}
		d = max(d, diff)
	}
	return d
}

// agree bounds the rounding of values and gradients to float32: the worst measured is 9e-8. With label smoothing it is 4e-7, as 0.1 is rounded,
// too, and gradients are small differences.
func (c *lossCase) agree() float64 {
	if c.Args.Smoothing > 0 {
		return 1e-6
	}
	return 2e-7
}

func TestOffFindsDifferences(t *testing.T) {
	nan := float32(math.NaN())
	if d := off([]float32{1, 2000, 0}, []float64{1, 2000, 0}); d != 0 {
		t.Errorf("equal values differ by %v", d)
	}
	for _, got := range [][]float32{{1.0001, 2000, 0}, {1, 2001, 0}, {1, 2000, 0.001}, {1, 2000}, {nan, 2000, 0}} {
		if !(off(got, []float64{1, 2000, 0}) > 1e-5) {
			t.Errorf("%v is not told from 1, 2000, 0", got)
		}
	}
}

func TestLossesAgreeWithPyTorch(t *testing.T) {
	largest := map[string]float64{}
	for i, c := range losses(t) {
		x, tape := c.params(), NewTape()
		for round := range 2 { // the second in used memory
			for _, v := range x {
				v.ZeroGrad()
			}
			out, err := c.backward(tape, x)
			if err != nil {
				t.Fatalf("%d %v: %v", i, &c, err)
			}
			if !slices.Equal(out.Shape(), c.Out.Shape) {
				t.Fatalf("%d %v: shape %v, PyTorch has %v", i, &c, out.Shape(), c.Out.Shape)
			}
			dv := off(out.Value.Data, c.Out.Data)
			if dv > c.agree() {
				t.Errorf("%d %v, round %d: values differ by %.2g", i, &c, round, dv)
			}
			largest[c.Loss+" value"] = max(largest[c.Loss+" value"], dv)
			for j, want := range c.Grads {
				d := off(x[j].Grad.Data, want)
				if d > c.agree() {
					t.Errorf("%d %v, round %d: gradient %d differs by %.2g", i, &c, round, j, d)
				}
				largest[c.Loss+" slope"] = max(largest[c.Loss+" slope"], d)
			}
			tape.Reset()
		}
	}
	t.Log(largest)
}

// Gradients add to those that are there.
func TestLossGradientsAccumulate(t *testing.T) {
	for i, c := range losses(t) {
		x, tape := c.params(), NewTape()
		for range 2 {
			if _, err := c.backward(tape, x); err != nil {
				t.Fatal(err)
			}
			tape.Reset()
		}
		for j, g := range c.Grads {
			twice := make([]float64, len(g))
			for k, v := range g {
				twice[k] = 2 * v
			}
			if d := off(x[j].Grad.Data, twice); d > c.agree() {
				t.Errorf("%d %v: gradient %d after two passes differs by %.2g from twice the first", i, &c, j, d)
			}
		}
	}
}

// numerical is the derivative of f at x[k]: differences over 2h and 4h, combined so that third derivatives cancel.
func numerical(x []float32, k int, h float32, f func() float64) float64 {
	at := x[k]
	defer func() { x[k] = at }()
	difference := func(h float32) float64 {
		x[k] = at + h
		up := f()
		x[k] = at - h
		return (up - f()) / (2 * float64(h))
	}
	return (4*difference(h) - difference(2*h)) / 3
}

func TestLossGradientsAreSlopes(t *testing.T) {
	largest := map[string]float64{}
	for i, c := range losses(t) {
		if c.Args.Kink {
			continue
		}
		x, tape := c.params(), NewTape()
		out, err := c.backward(tape, x)
		if err != nil {
			t.Fatal(err)
		}
		scale := 0.0 // what float32 rounds in the sum
		for k, v := range out.Value.Data {
			scale += math.Abs(float64(v * c.Weight[k]))
		}
		tape.Reset()
		loss := func() float64 {
			defer tape.Reset()
			sum := 0.0
			for k, v := range c.run(tape, x).Value.Data {
				sum += float64(v) * float64(c.Weight[k])
			}
			return sum
		}
		for j := range c.Grads {
			for k := 0; k < len(x[j].Value.Data); k += 1 + len(x[j].Value.Data)/9 {
				s, g := numerical(x[j].Value.Data, k, 1.0/64, loss), float64(x[j].Grad.Data[k])
				d := math.Abs(s-g) / (math.Abs(g) + scale)
				largest[c.Loss] = max(largest[c.Loss], d)
				// float32's rounding of the losses over h makes 64·6e-8, fifth derivatives more: 5e-5 at most were measured
				if !(d < 1e-4) { // NaN is none
					t.Errorf("%d %v: gradient %d at %d is %v, the slope %v", i, &c, j, k, g, s)
				}
			}
		}
	}
	t.Log(largest)
}

func filled(rng *rand.Rand, shape ...int) *Var {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = rng.Float32()*4 - 2
	}
	return NewParam("x", x)
}

func drawn(rng *rand.Rand, n, classes int) []int {
	labels := make([]int, n)
	for i := range labels {
		labels[i] = rng.IntN(classes)
	}
	return labels
}

// A large batch, computed by several goroutines, has the bits of one goroutine's, and of its parts.
func TestLargeLossesAreTheirParts(t *testing.T) {
	const n, c, inner, parts = 300, 8, 70, 6
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, labels := filled(rng, n, c, inner), filled(rng, n, c, inner), drawn(rng, n*inner, c)
	weight := []float32{1, 2, 0.5, 1, 1, 3, 1, 1}
	for name, f := range map[string]func(t *Tape, x, y *Var, labels []int, r Reduction) *Var{
		"mse":       func(t *Tape, x, y *Var, _ []int, r Reduction) *Var { return t.MSE(x, y, r) },
		"smooth l1": func(t *Tape, x, y *Var, _ []int, r Reduction) *Var { return t.SmoothL1(x, y, 1, r) },
		"bce":       func(t *Tape, x, y *Var, _ []int, r Reduction) *Var { return t.BCEWithLogits(x, y, BCE{Reduction: r}) },
		"cosine":    func(t *Tape, x, y *Var, _ []int, r Reduction) *Var { return t.Cosine(x, y, r) },
		"cross entropy": func(t *Tape, x, _ *Var, l []int, r Reduction) *Var {
			return t.CrossEntropy(x, l, Classes{weight, 0.1, r})
		},
		"soft": func(t *Tape, x, y *Var, _ []int, r Reduction) *Var {
			return t.CrossEntropySoft(x, y, Classes{weight, 0.1, r})
		},
		"focal": func(t *Tape, x, _ *Var, l []int, r Reduction) *Var { return t.FocalSoftmax(x, l, 2, weight, r) },
	} {
		backward := func(x, y *Var, labels []int, workers int, r Reduction) []float32 {
			tape := NewTape()
			tape.Workers = workers
			out := tape.Keep(f(tape, x, y, labels, r))
			x.ZeroGrad()
			y.ZeroGrad()
			if err := tape.Backward(tape.Sum(out)); err != nil {
				t.Fatal(err)
			}
			return out.Value.Data
		}
		gradients := func(v *Var) []float32 {
			if v.Grad == nil {
				return nil
			}
			return slices.Clone(v.Grad.Data)
		}
		mean := backward(x, y, labels, 1, ReduceMean)
		if again := backward(x, y, labels, 3, ReduceMean); !slices.Equal(mean, again) {
			t.Errorf("%s: %v with 1 worker, %v with 3", name, mean, again)
		}
		for _, r := range []Reduction{ReduceSum, ReduceNone} {
			all := backward(x, y, labels, 3, r)
			dx, dy := gradients(x), gradients(y)
			var losses, partsX, partsY []float32
			for i := range parts {
				const rows = n / parts
				item := func(v *Var) *Var {
					return NewParam("part", tensor.From(v.Value.Data[i*rows*c*inner:(i+1)*rows*c*inner], rows, c, inner))
				}
				px, py := item(x), item(y)
				losses = append(losses, backward(px, py, labels[i*rows*inner:(i+1)*rows*inner], 1, r)...)
				partsX, partsY = append(partsX, gradients(px)...), append(partsY, gradients(py)...)
			}
			if !slices.Equal(dx, partsX) || !slices.Equal(dy, partsY) {
				t.Errorf("%s, reduction %d: gradients differ from the parts'", name, r)
			}
			if r == ReduceNone {
				if !slices.Equal(all, losses) {
					t.Errorf("%s: losses differ from the parts'", name)
				}
				continue
			}
			sum := 0.0
			for _, v := range losses {
				sum += float64(v)
			}
			if d := off(all, []float64{sum}); d > 2e-7 { // the parts' sums are rounded
				t.Errorf("%s: the sum differs from the parts' by %.2g", name, d)
			}
		}
	}
}

func TestSSIMWorkersDoNotChangeBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y := filled(rng, 3, 2, 20, 17), filled(rng, 3, 2, 20, 17)
	var first [][]float32
	for _, workers := range []int{1, 3} {
		tape := NewTape()
		tape.Workers = workers
		x.ZeroGrad()
		y.ZeroGrad()
		loss := tape.Keep(tape.SSIM(x, y, 4))
		if err := tape.Backward(loss); err != nil {
			t.Fatal(err)
		}
		all := [][]float32{slices.Clone(loss.Value.Data), slices.Clone(x.Grad.Data), slices.Clone(y.Grad.Data)}
		if first == nil {
			first = all
		}
		for i := range all {
			if !slices.Equal(all[i], first[i]) {
				t.Errorf("other bits of %d with %d workers", i, workers)
			}
		}
	}
	tape := NewTape()
	if v := tape.SSIM(x, x, 4).Value.Data[0]; v != 0 {
		t.Errorf("a picture differs from itself by %v", v)
	}
}

// Steps allocate nothing, whether or not the losses are recorded.
func TestLossesAllocateNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, labels := filled(rng, 10, 6), filled(rng, 10, 6), drawn(rng, 10, 6)
	weight := []float32{1, 2, 0.5, 1, 1, 3}
	pos := tensor.From(weight, 6)
	for name, f := range map[string]func(t *Tape) *Var{
		"mse":           func(t *Tape) *Var { return t.MSE(x, y) },
		"l1":            func(t *Tape) *Var { return t.L1(x, y, ReduceSum) },
		"smooth l1":     func(t *Tape) *Var { return t.SmoothL1(x, y, 1) },
		"bce":           func(t *Tape) *Var { return t.BCEWithLogits(x, y, BCE{}) },
		"weighted bce":  func(t *Tape) *Var { return t.BCEWithLogits(x, y, BCE{Weight: pos, PosWeight: pos}) },
		"cross entropy": func(t *Tape) *Var { return t.CrossEntropy(x, labels, Classes{Weight: weight, Smoothing: 0.1}) },
		"soft":          func(t *Tape) *Var { return t.CrossEntropySoft(x, y, Classes{Weight: weight}) },
		"focal":         func(t *Tape) *Var { return t.FocalSoftmax(x, labels, 2, weight) },
		"binary focal":  func(t *Tape) *Var { return t.Focal(x, y, 0.25, 2) },
		"cosine":        func(t *Tape) *Var { return t.Cosine(x, y) },
		"kl":            func(t *Tape) *Var { return t.GaussianKL(x, y) },
	} {
		tape := NewTape()
		var loss *Var
		unrecorded := func() { loss = f(tape) }
		step := func() {
			tape.NoGrad(unrecorded)
			x.ZeroGrad()
			y.ZeroGrad()
			if err := tape.Backward(f(tape)); err != nil {
				t.Fatal(err)
			}
			tape.Reset()
		}
		if n := testing.AllocsPerRun(50, step); n > 0 {
			t.Errorf("%s: %v allocations a step", name, n)
		}
		tape.NoGrad(unrecorded)
		if loss.RequiresGrad() || len(tape.nodes) > 0 {
			t.Errorf("%s: recorded without gradients", name)
		}
	}
}

func TestLossesNameWhatDoesNotFit(t *testing.T) {
	v := func(shape ...int) *Var { return NewParam("x", tensor.New(shape...)) }
	for name, c := range map[string]struct {
		f    func(t *Tape)
		want string
	}{
		"mse":             {func(t *Tape) { t.MSE(v(2, 3), v(3)) }, "[3]"},
		"l1":              {func(t *Tape) { t.L1(v(2, 3), v(2, 1)) }, "[2 1]"},
		"bce":             {func(t *Tape) { t.BCEWithLogits(v(2, 3), v(3, 2), BCE{}) }, "[3 2]"},
		"bce weight":      {func(t *Tape) { t.BCEWithLogits(v(2, 3), v(2, 3), BCE{PosWeight: tensor.New(2)}) }, "[2]"},
		"bce rank":        {func(t *Tape) { t.BCEWithLogits(v(3), v(3), BCE{Weight: tensor.New(2, 3)}) }, "[2 3]"},
		"number":          {func(t *Tape) { t.CrossEntropy(v(2, 3), []int{0}, Classes{}) }, "= 1"},
		"label":           {func(t *Tape) { t.CrossEntropy(v(2, 3), []int{0, 3}, Classes{}) }, "labels[1]"},
		"negative label":  {func(t *Tape) { t.FocalSoftmax(v(2, 3), []int{-1, 2}, 2, nil) }, "labels[0]"},
		"ignored label":   {func(t *Tape) { t.FocalSoftmax(v(2, 3), []int{1, Ignored}, 2, nil) }, "labels[1]"},
		"classes":         {func(t *Tape) { t.CrossEntropy(v(2, 3), []int{0, 1}, Classes{Weight: make([]float32, 2)}) }, "C = 2"},
		"dimensions":      {func(t *Tape) { t.CrossEntropy(v(3), []int{0}, Classes{}) }, "(N,C,…)"},
		"soft":            {func(t *Tape) { t.CrossEntropySoft(v(2, 3), v(2, 4), Classes{}) }, "[2 4]"},
		"cosine":          {func(t *Tape) { t.Cosine(v(2, 3), v(3, 3)) }, "[3 3]"},
		"kl":              {func(t *Tape) { t.GaussianKL(v(), v()) }, "(N, …)"},
		"ssim target":     {func(t *Tape) { t.SSIM(v(1, 1, 11, 11), v(1, 1, 12, 11), 1) }, "[1 1 12 11]"},
		"ssim":            {func(t *Tape) { t.SSIM(v(1, 1, 10, 11), v(1, 1, 10, 11), 1) }, "at least 11"},
		"ssim dimensions": {func(t *Tape) { t.SSIMMap(v(1, 11, 11), v(1, 11, 11), 1) }, "(N,C,H,W)"},
	} {
		err := func() (err error) {
			defer Catch(&err)
			tape := NewTape()
			tape.Layer("head")
			c.f(tape)
			return nil
		}()
		var shape *fault.ShapeError
		if !errors.As(err, &shape) || !strings.Contains(shape.What, "head") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v does not name %s", name, err, c.want)
		}
	}
}

// Logits that exp overflows for, or that leave a probability of 1 but for the last bits, have the losses and slopes that the formulas tend to.
func TestLossesOfHugeLogits(t *testing.T) {
	tiny := math.Exp(-80)
	binary := func(r func(t *Tape, x, y *Var) *Var) func(t *Tape, x *Var) *Var {
		return func(t *Tape, x *Var) *Var { return r(t, x, t.Input(tensor.From([]float32{0, 1, 0, 1}, 4))) }
	}
	bce := binary(func(t *Tape, x, y *Var) *Var { return t.BCEWithLogits(x, y, BCE{Reduction: ReduceNone}) })
	flatFocal := binary(func(t *Tape, x, y *Var) *Var { return t.Focal(x, y, -1, 0.5, ReduceNone) })
	entropy := func(t *Tape, x *Var) *Var {
		return t.CrossEntropy(t.Reshape(x, 2, 2), []int{0, 1}, Classes{Reduction: ReduceNone})
	}
	focalSoftmax := func(t *Tape, x *Var) *Var {
		return t.FocalSoftmax(t.Reshape(x, 2, 2), []int{0, 1}, 0.5, nil, ReduceNone)
	}
	for name, c := range map[string]struct {
		f            func(t *Tape, x *Var) *Var
		x            []float32
		want, slopes []float64
	}{
		"bce, wrong":           {bce, []float32{1e4, -1e4, 1e4, -1e4}, []float64{1e4, 1e4, 1e4, 1e4}, []float64{1, -1, 1, -1}},
		"bce, right":           {bce, []float32{-80, 80, -80, 80}, []float64{tiny, tiny, tiny, tiny}, []float64{tiny, -tiny, tiny, -tiny}},
		"focal":                {flatFocal, []float32{1e4, -1e4, -1e4, 1e4}, []float64{1e4, 1e4, 0, 0}, []float64{1, -1, 0, 0}},
		"cross entropy":        {entropy, []float32{-1e4, 1e4, 1e4, -1e4}, []float64{2e4, 2e4}, []float64{-1, 1, 1, -1}},
		"cross entropy, right": {entropy, []float32{1e4, -1e4, -1e4, 1e4}, []float64{0, 0}, []float64{0, 0, 0, 0}},
		"softmax focal":        {focalSoftmax, []float32{-1e4, 1e4, -1e4, 1e4}, []float64{2e4, 0}, []float64{-1, 1, 0, 0}},
	} {
		x, tape := NewParam("x", tensor.From(c.x, len(c.x))), NewTape()
		out := tape.Keep(c.f(tape, x))
		if err := tape.Backward(tape.Sum(out)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if off(out.Value.Data, c.want) > 1e-6 || off(x.Grad.Data, c.slopes) > 1e-6 {
			t.Errorf("%s: %v, slopes %v, want %v and %v", name, out.Value.Data, x.Grad.Data, c.want, c.slopes)
		}
	}
}
