package autograd

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/race"
	"github.com/blemish/blemish/tensor"
)

func random(rng *rand.Rand, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = rng.Float32()*2 - 1
	}
	return x
}

func TestRunningStatisticsAreTorchs(t *testing.T) {
	for _, c := range operators(t) {
		if c.Op != "batch_norm" {
			continue
		}
		x := c.params()
		r := &Running{slices.Clone(c.Args.Mean), slices.Clone(c.Args.Var), 0.3}
		NewTape().BatchNorm(x[0], x[1], x[2], r, c.Args.Training, 1e-3)
		for i := range r.Mean {
			if math.Abs(float64(r.Mean[i]-c.Args.MeanAfter[i])) > 1e-6 || math.Abs(float64(r.Var[i]-c.Args.VarAfter[i])) > 1e-6 {
				t.Errorf("training %v: running statistics %v %v, PyTorch has %v %v", c.Args.Training, r.Mean, r.Var, c.Args.MeanAfter, c.Args.VarAfter)
			}
		}
	}
}

func TestShapesThatDoNotFitAreNamed(t *testing.T) {
	run := func(f func(t *Tape, x *Var)) (err error) {
		defer Catch(&err)
		tape := NewTape()
		tape.Layer("layer2.0.conv1")
		f(tape, tape.Input(tensor.New(2, 3, 4, 4)))
		return nil
	}
	p := func(shape ...int) *Var { return NewParam("w", tensor.New(shape...)) }
	for name, f := range map[string]func(t *Tape, x *Var){
		"linear":           func(t *Tape, x *Var) { t.Linear(x, p(5, 7), nil) },
		"linear bias":      func(t *Tape, x *Var) { t.Linear(x, p(5, 4), p(4)) },
		"matmul":           func(t *Tape, x *Var) { t.MatMul(x, p(2, 3, 5, 4)) },
		"conv2d":           func(t *Tape, x *Var) { t.Conv2d(x, p(5, 4, 3, 3), nil, Window{}) },
		"conv2d window":    func(t *Tape, x *Var) { t.Conv2d(x, p(5, 3, 5, 5), nil, Window{}) },
		"conv2d groups":    func(t *Tape, x *Var) { t.Conv2d(x, p(5, 3, 1, 1), nil, Window{Groups: 3}) },
		"conv_transpose2d": func(t *Tape, x *Var) { t.ConvTranspose2d(x, p(5, 4, 3, 3), nil, Window{}, 0) },
		"batch_norm": func(t *Tape, x *Var) {
			t.BatchNorm(x, p(4), p(4), &Running{make([]float32, 4), make([]float32, 4), 0.1}, true, 1e-5)
		},
		"layer_norm":          func(t *Tape, x *Var) { t.LayerNorm(x, p(5), p(5), 1e-5) },
		"add":                 func(t *Tape, x *Var) { t.Add(x, p(3)) },
		"mul":                 func(t *Tape, x *Var) { t.Mul(x, p(2, 4, 4)) },
		"max_pool2d":          func(t *Tape, x *Var) { t.MaxPool2d(x, 5, Window{}) },
		"adaptive_avg_pool2d": func(t *Tape, x *Var) { t.AdaptiveAvgPool2d(t.Flatten(x), 1, 1) },
		"reshape":             func(t *Tape, x *Var) { t.Reshape(x, 5, -1) },
		"permute":             func(t *Tape, x *Var) { t.Permute(x, 1, 0) },
		"concat":              func(t *Tape, x *Var) { t.Concat(1, x, p(2, 3, 4, 5)) },
		"narrow":              func(t *Tape, x *Var) { t.Narrow(x, 1, 2, 2) },
	} {
		err := run(f)
		var shape *fault.ShapeError
		if !errors.As(err, &shape) || !strings.Contains(shape.What, "layer2.0.conv1") || len(shape.Got) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := NewTape().Backward(NewTape().Input(tensor.New(2))); err == nil {
		t.Error("a loss of two values is not refused")
	}
}

func TestValuesThatAreNotFiniteAreNamed(t *testing.T) {
	nan := float32(math.NaN())
	rng := rand.New(rand.NewPCG(1, 1))
	build := func() (x *tensor.Tensor, w1, w2 *Var, loss func(t *Tape) *Var) {
		x, w1, w2 = random(rng, 3, 4), NewParam("fc1.weight", random(rng, 5, 4)), NewParam("fc2.weight", random(rng, 2, 5))
		return x, w1, w2, func(t *Tape) *Var {
			t.Layer("fc1")
			h := t.Exp(t.Linear(t.Input(x), w1, nil))
			t.Layer("fc2")
			return t.Mean(t.Linear(h, w2, nil))
		}
	}
	for name, c := range map[string]struct {
		spoil func(x *tensor.Tensor, w1, w2 *Var)
		want  []string
	}{
		"input":     {func(x *tensor.Tensor, _, _ *Var) { x.Data[3] = nan }, []string{"fc1", "linear", "input"}},
		"parameter": {func(_ *tensor.Tensor, _, w2 *Var) { w2.Value.Data[1] = nan }, []string{"fc2", "fc2.weight"}},
		"overflow":  {func(x *tensor.Tensor, w1, _ *Var) { x.Data[0], w1.Value.Data[0] = 1e3, 1e3 }, []string{"fc1", "exp", "output"}},
	} {
		x, w1, w2, loss := build()
		c.spoil(x, w1, w2)
		tape := NewTape()
		err := tape.Backward(loss(tape))
		var bad *NonFiniteError
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(bad.Error(), word) {
				t.Errorf("%s: %q does not name %q", name, bad, word)
			}
		}
	}
	// a loss that is finite, with a slope that is not
	w := NewParam("w", tensor.New(3))
	tape := NewTape()
	tape.Layer("root")
	err := tape.Backward(tape.Sum(tape.Sqrt(tape.Scale(w, 1, 0))))
	if err == nil || !strings.Contains(err.Error(), "gradient of w") || !strings.Contains(err.Error(), "root") {
		t.Errorf("infinite slope: %v", err)
	}
}

// What is computed from frozen values alone is not recorded, and its memory can be used again at once.
func TestFrozenLayersCostNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w1, w2 := NewParam("w1", random(rng, 6, 6)), NewParam("w2", random(rng, 2, 6))
	w1.SetRequiresGrad(false)
	tape := NewTape()
	h := tape.ReLU(tape.Linear(tape.Input(random(rng, 4, 6)), w1, nil))
	if len(tape.nodes) != 0 || h.RequiresGrad() {
		t.Errorf("%d operators of a frozen layer are recorded", len(tape.nodes))
	}
	tape.NoGrad(func() { tape.Linear(h, w2, nil) })
	if len(tape.nodes) != 0 {
		t.Error("recorded without gradients")
	}
	if err := tape.Backward(tape.Mean(tape.Linear(h, w2, nil))); err != nil {
		t.Fatal(err)
	}
	if w1.Grad != nil || w2.Grad == nil {
		t.Error("the gradient belongs to w2 alone")
	}
	h2 := tape.Linear(tape.Input(random(rng, 4, 6)), w1, nil)
	memory := &h2.Value.Data[0]
	tape.Discard(h2)
	if h2.Value != nil {
		t.Error("a discarded value can still be read")
	}
	if again := tape.Linear(tape.Input(random(rng, 4, 6)), w1, nil); &again.Value.Data[0] != memory {
		t.Error("the memory of a discarded value is not used again")
	}
}

// Small networks take thousands of steps a second: after the first, a step allocates nothing.
func TestStepsAllocateNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w1, b1 := NewParam("w1", random(rng, 32, 65)), NewParam("b1", random(rng, 32))
	w2, b2 := NewParam("w2", random(rng, 65, 32)), NewParam("b2", random(rng, 65))
	x := random(rng, 10, 65)
	tape := NewTape()
	step := func() {
		in := tape.Input(x)
		out := tape.Sigmoid(tape.Linear(tape.Tanh(tape.Linear(in, w1, b1)), w2, b2))
		loss := tape.Mean(tape.Square(tape.Sub(out, in)))
		for _, p := range []*Var{w1, b1, w2, b2} {
			p.ZeroGrad()
		}
		if err := tape.Backward(loss); err != nil {
			t.Fatal(err)
		}
		tape.Reset()
	}
	if n := testing.AllocsPerRun(50, step); n > 0 && !race.Enabled {
		t.Errorf("%v allocations a step", n)
	}
}

func TestInPlaceRefusesValuesThatAreNeeded(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	tape := NewTape()
	x := NewParam("x", tensor.New(3))
	tape.ReLUInPlace(tape.Sigmoid(x)) // sigmoid's slope is computed from its result
}

// As PyTorch, which refuses an output padding that a larger picture would explain.
func TestOutputPaddingIsLessThanTheStride(t *testing.T) {
	run := func(win Window, extra int) (refused bool) {
		defer func() { refused = recover() != nil }()
		tape := NewTape()
		tape.ConvTranspose2d(tape.Input(tensor.New(1, 2, 4, 4)), NewParam("w", tensor.New(2, 3, 3, 3)), nil, win, extra)
		return false
	}
	if run(Window{Stride: 2}, 1) || run(Window{Dilation: 3}, 2) || run(Window{}, 0) {
		t.Error("a possible output padding is refused")
	}
	if !run(Window{Stride: 2}, 2) || !run(Window{}, 1) || !run(Window{Stride: 2}, -1) {
		t.Error("an impossible output padding is not refused")
	}
}

func TestDropout(t *testing.T) {
	x := NewParam("x", tensor.New(10000))
	for i := range x.Value.Data {
		x.Value.Data[i] = 1
	}
	tape := NewTape()
	out := tape.Keep(tape.Dropout(x, 0.25))
	zeros := 0
	for _, v := range out.Value.Data {
		switch v {
		case 0:
			zeros++
		case float32(1 / 0.75):
		default:
			t.Fatalf("a value of %v", v)
		}
	}
	if zeros < 2300 || zeros > 2700 { // 2500 ± 4.6 standard deviations
		t.Errorf("%d of 10000 values dropped at 0.25", zeros)
	}
	if err := tape.Backward(tape.Sum(out)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Grad.Data, out.Value.Data) {
		t.Error("the gradient has another mask")
	}
	again := NewTape().Dropout(x, 0.25)
	if !slices.Equal(again.Value.Data, out.Value.Data) {
		t.Error("the same seed drops other values")
	}
}
