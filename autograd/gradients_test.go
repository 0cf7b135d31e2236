package autograd

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/blemish/blemish/tensor"
)

// slope is an operator whose gradients are compared with central differences. Its inputs are drawn from a grid of their own each, so that no
// value, and no difference of values of two inputs, lies within 1/16 of another or of 0, where an operator may have a kink.
type slope struct {
	shapes  [][]int
	lo      float64 // all values are above: logarithms and probabilities need it
	scale   float64 // of the grid; 0 means 1
	compute func(t *Tape, x []*Var) *Var
}

func one(f func(t *Tape, x *Var) *Var, shape ...int) slope {
	return slope{shapes: [][]int{shape}, compute: func(t *Tape, x []*Var) *Var { return f(t, x[0]) }}
}

func two(f func(t *Tape, x, y *Var) *Var, a, b []int) slope {
	return slope{shapes: [][]int{a, b}, compute: func(t *Tape, x []*Var) *Var { return f(t, x[0], x[1]) }}
}

func (s slope) above(lo float64) slope  { s.lo = lo; return s }
func (s slope) scaled(by float64) slope { s.scale = by; return s }

// slopes has cases for every exported operator, by its name.
func slopes() map[string][]slope {
	type dims = []int
	pair := dims{3, 4}
	pictures := dims{2, 2, 4, 5}
	labels := []int{2, 0, 1}
	return map[string][]slope{
		"ReLU":       {one((*Tape).ReLU, 3, 4)},
		"ReLU6":      {one((*Tape).ReLU6, 10, 12)},
		"Sigmoid":    {one((*Tape).Sigmoid, 3, 4)},
		"Tanh":       {one((*Tape).Tanh, 3, 4)},
		"SiLU":       {one((*Tape).SiLU, 3, 4)},
		"GELU":       {one((*Tape).GELU, 3, 4)},
		"Hardswish":  {one((*Tape).Hardswish, 6, 8)},
		"ELU":        {one((*Tape).ELU, 3, 4)},
		"Softplus":   {one((*Tape).Softplus, 3, 4)},
		"Exp":        {one((*Tape).Exp, 3, 4)},
		"Log":        {one((*Tape).Log, 3, 4).above(0.5)},
		"Square":     {one((*Tape).Square, 3, 4)},
		"Sqrt":       {one((*Tape).Sqrt, 3, 4).above(0.5)},
		"Reciprocal": {one((*Tape).Reciprocal, 3, 4).above(1)},
		"Abs":        {one((*Tape).Abs, 3, 4)},
		"LeakyReLU":  {one(func(t *Tape, x *Var) *Var { return t.LeakyReLU(x, 0.25) }, 3, 4)},
		// in place of a sum: operators that read their own result refuse
		"ReLUInPlace":  {one(func(t *Tape, x *Var) *Var { return t.ReLUInPlace(t.Add(x, x)) }, 3, 4)},
		"ReLU6InPlace": {one(func(t *Tape, x *Var) *Var { return t.ReLU6InPlace(t.Add(x, x)) }, 8, 8)},
		"AddInPlace":   {two(func(t *Tape, x, y *Var) *Var { return t.AddInPlace(t.Add(x, x), y) }, pair, pair)},
		"Add":          {two((*Tape).Add, pair, pair), two((*Tape).Add, pair, dims{4})},
		"Sub":          {two((*Tape).Sub, pair, pair), two((*Tape).Sub, dims{3, 1}, pair)},
		"Mul":          {two((*Tape).Mul, pair, pair), two((*Tape).Mul, dims{2, 3, 4}, dims{3, 1})},
		"Scale":        {one(func(t *Tape, x *Var) *Var { return t.Scale(x, -1.5, 0.25) }, 3, 4)},
		"Dropout": {one(func(t *Tape, x *Var) *Var {
			t.Rand = rand.New(rand.NewPCG(3, 4)) // the same mask every time
			return t.Dropout(x, 0.4)
		}, 5, 6)},
		"Linear": {{shapes: [][]int{{3, 5}, {4, 5}, {4}}, compute: func(t *Tape, x []*Var) *Var { return t.Linear(x[0], x[1], x[2]) }}},
		"MatMul": {two((*Tape).MatMul, dims{2, 3, 4}, dims{2, 4, 5})}, "MatMulT": {two((*Tape).MatMulT, dims{2, 3, 4}, dims{2, 5, 4})},
		"Conv2d": {
			{shapes: [][]int{{2, 2, 5, 4}, {3, 2, 3, 2}, {3}}, compute: func(t *Tape, x []*Var) *Var {
				return t.Conv2d(x[0], x[1], x[2], Window{Stride: 2, Pad: Padding{1, 0, 2, 1}})
			}},
			{shapes: [][]int{{1, 4, 6, 7}, {4, 2, 3, 2}, {4}}, compute: func(t *Tape, x []*Var) *Var {
				return t.Conv2d(x[0], x[1], x[2], Window{Dilation: 2, Groups: 2, Pad: Pad(1)})
			}},
			{shapes: [][]int{{1, 3, 5, 5}, {3, 1, 3, 3}, {3}}, compute: func(t *Tape, x []*Var) *Var {
				return t.Conv2d(x[0], x[1], x[2], Window{Groups: 3, Pad: Pad(1)})
			}},
		},
		"ConvTranspose2d": {
			{shapes: [][]int{{2, 2, 3, 4}, {2, 3, 3, 3}, {3}}, compute: func(t *Tape, x []*Var) *Var {
				return t.ConvTranspose2d(x[0], x[1], x[2], Window{Stride: 2, Pad: Pad(1)}, 1)
			}},
			{shapes: [][]int{{1, 4, 3, 3}, {4, 2, 2, 3}, {4}}, compute: func(t *Tape, x []*Var) *Var {
				return t.ConvTranspose2d(x[0], x[1], x[2], Window{Dilation: 2, Groups: 2}, 0)
			}},
		},
		"BatchNorm": {
			{shapes: [][]int{{3, 2, 2, 2}, {2}, {2}}, compute: func(t *Tape, x []*Var) *Var {
				return t.BatchNorm(x[0], x[1], x[2], &Running{make([]float32, 2), []float32{1, 2}, 0.1}, true, 1e-5)
			}},
			{shapes: [][]int{{3, 2, 2, 2}, {2}, {2}}, compute: func(t *Tape, x []*Var) *Var {
				return t.BatchNorm(x[0], x[1], x[2], &Running{[]float32{0.5, -1}, []float32{1, 2}, 0.1}, false, 1e-5)
			}},
		},
		"LayerNorm":         {{shapes: [][]int{{4, 5}, {5}, {5}}, compute: func(t *Tape, x []*Var) *Var { return t.LayerNorm(x[0], x[1], x[2], 1e-5) }}},
		"MaxPool2d":         {one(func(t *Tape, x *Var) *Var { return t.MaxPool2d(x, 3, Window{Stride: 2, Pad: Pad(1)}) }, pictures...)},
		"AvgPool2d":         {one(func(t *Tape, x *Var) *Var { return t.AvgPool2d(x, 3, Window{Stride: 2, Pad: Pad(1)}) }, pictures...)},
		"AdaptiveAvgPool2d": {one(func(t *Tape, x *Var) *Var { return t.AdaptiveAvgPool2d(x, 3, 2) }, pictures...)},
		"UpsampleNearest":   {one(func(t *Tape, x *Var) *Var { return t.UpsampleNearest(x, 7, 11) }, pictures...)},
		"UpsampleBilinear":  {one(func(t *Tape, x *Var) *Var { return t.UpsampleBilinear(x, 7, 11) }, pictures...)},
		"Sum":               {one((*Tape).Sum, 3, 4)},
		"Mean":              {one((*Tape).Mean, 3, 4)},
		"MeanLast":          {one((*Tape).MeanLast, 2, 3, 4)},
		"Reshape":           {one(func(t *Tape, x *Var) *Var { return t.Reshape(x, 2, -1) }, 3, 4)},
		"Flatten":           {one((*Tape).Flatten, 2, 3, 4)},
		"Permute":           {one(func(t *Tape, x *Var) *Var { return t.Permute(x, 2, 0, 1) }, 2, 3, 4)},
		"Concat":            {two(func(t *Tape, x, y *Var) *Var { return t.Concat(1, x, y) }, dims{2, 3, 2}, dims{2, 1, 2})},
		"Narrow":            {one(func(t *Tape, x *Var) *Var { return t.Narrow(x, 1, 1, 2) }, 2, 4, 3)},
		"Softmax":           {one((*Tape).Softmax, 3, 4)},
		"LogSoftmax":        {one((*Tape).LogSoftmax, 3, 4)},

		"MSE":      {two(func(t *Tape, x, y *Var) *Var { return t.MSE(x, y) }, pair, pair)},
		"L1":       {two(func(t *Tape, x, y *Var) *Var { return t.L1(x, y) }, pair, pair)},
		"SmoothL1": {two(func(t *Tape, x, y *Var) *Var { return t.SmoothL1(x, y, 0.75) }, pair, pair)},
		"BCEWithLogits": {two(func(t *Tape, x, y *Var) *Var {
			return t.BCEWithLogits(x, y, BCE{PosWeight: tensor.From([]float32{1, 2, 3, 4}, 4)})
		}, pair, pair)},
		"Focal": {two(func(t *Tape, x, y *Var) *Var { return t.Focal(x, t.Sigmoid(y), 0.25, 2) }, pair, pair)},
		"FocalSoftmax": {one(func(t *Tape, x *Var) *Var {
			return t.FocalSoftmax(x, labels, 2, []float32{1, 2, 0.5, 1})
		}, 3, 4)},
		"Cosine": {two(func(t *Tape, x, y *Var) *Var { return t.Cosine(x, y) }, pair, pair)},
		"CrossEntropy": {one(func(t *Tape, x *Var) *Var {
			return t.CrossEntropy(x, labels, Classes{Weight: []float32{1, 2, 0.5, 1}, Smoothing: 0.1})
		}, 3, 4)},
		"CrossEntropySoft": {two(func(t *Tape, x, y *Var) *Var { return t.CrossEntropySoft(x, y, Classes{Smoothing: 0.1}) }, pair, pair)},
		"KLDiv":            {two(func(t *Tape, x, y *Var) *Var { return t.KLDiv(x, y, ReduceBatchMean) }, pair, pair).above(0.5)},
		"KLDivLog":         {two(func(t *Tape, x, y *Var) *Var { return t.KLDivLog(x, y, ReduceBatchMean) }, pair, pair)},
		"GaussianKL":       {two((*Tape).GaussianKL, pair, pair)},
		"SSIM":             {two(func(t *Tape, x, y *Var) *Var { return t.SSIM(x, y, 4) }, dims{1, 1, 12, 11}, dims{1, 1, 12, 11}).scaled(0.25)},
		"SSIMMap":          {two(func(t *Tape, x, y *Var) *Var { return t.SSIMMap(x, y, 4) }, dims{1, 1, 12, 11}, dims{1, 1, 12, 11}).scaled(0.25)},
	}
}

// operatorNames are the exported methods of a tape that compute a value.
func operatorNames() []string {
	var names []string
	tape, value := reflect.TypeFor[*Tape](), reflect.TypeFor[*Var]()
	for i := range tape.NumMethod() {
		m := tape.Method(i)
		if m.Type.NumOut() == 1 && m.Type.Out(0) == value && m.Name != "Input" && m.Name != "Keep" { // these compute nothing
			names = append(names, m.Name)
		}
	}
	return names
}

// draw makes an input of distinct values 1/8 apart in random order, around 0 or above lo; those of input j are shifted by j/16.
func (s *slope) draw(rng *rand.Rand, j int) *Var {
	x := tensor.New(s.shapes[j]...)
	n := len(x.Data)
	scale := s.scale
	if scale == 0 {
		scale = 1
	}
	for i, k := range rng.Perm(n) {
		v := float64(k)/8 + 1.0/16
		if s.lo == 0 {
			v -= float64(n/2) / 8
		}
		x.Data[i] = float32(scale * (v + s.lo + float64(j)/16))
	}
	return NewParam("input", x)
}

// Every operator's gradients are the limits of differences of its values. The weighted sum of its values is added in float64, and the
// differences over 2h and 4h are combined, so that what is left is float32's rounding of the values over h, and fifth derivatives.
func TestEveryOperatorsGradientIsItsSlope(t *testing.T) {
	table := slopes()
	names := operatorNames()
	if len(names) < 60 {
		t.Fatalf("only %d operators were found", len(names))
	}
	for name := range table {
		if !slices.Contains(names, name) {
			t.Errorf("%s is no operator", name)
		}
	}
	for _, name := range names {
		cases := table[name]
		if len(cases) == 0 {
			t.Errorf("no case compares the gradient of %s with differences", name)
		}
		most, checked := 0.0, 0
		for i, c := range cases {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			var x []*Var
			for j := range c.shapes {
				x = append(x, c.draw(rng, j))
			}
			tape := NewTape()
			out := tape.Keep(c.compute(tape, x))
			weights := tensor.New(out.Shape()...)
			for k := range weights.Data {
				weights.Data[k] = float32(rng.IntN(32)-16) / 16
				if weights.Data[k] == 0 || len(weights.Data) == 1 {
					weights.Data[k] = 1
				}
			}
			if err := tape.Backward(tape.Sum(tape.Mul(out, tape.Input(weights)))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			size := 0.0 // what float32 rounds
			for k, v := range out.Value.Data {
				size += math.Abs(float64(v * weights.Data[k]))
			}
			tape.Reset()
			loss := func() float64 {
				defer tape.Reset()
				sum := 0.0
				for k, v := range c.compute(tape, x).Value.Data {
					sum += float64(v) * float64(weights.Data[k])
				}
				return sum
			}
			for j, v := range x {
				for k, g := range v.Grad.Data {
					s := numerical(v.Value.Data, k, 1.0/64, loss)
					d := math.Abs(s-float64(g)) / (math.Abs(s) + size/16 + 1)
					most, checked = max(most, d), checked+1
					if !(d < slopeTolerance) { // NaN is none
						t.Errorf("%s, case %d: gradient of input %d at %d is %v, the slope %v", name, i, j, k, g, s)
					}
				}
			}
		}
		t.Logf("%-18s %4d gradients, at most %.1g from differences", name, checked, most)
	}
}

// slopeTolerance: float32 rounds values by 6e-8 of their size, over h = 1/64 that makes 4e-6, and for sums of dozens of terms some times
// that; the worst measured is 1e-5, of logarithms near 0.5. What a wrong factor or sign in a gradient makes is larger by orders of magnitude.
const slopeTolerance = 2e-5
