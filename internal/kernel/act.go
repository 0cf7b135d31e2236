package kernel

import (
	"math"
	"unsafe"
)

// Act is a function of one value that a layer applies to its results.
type Act int

const (
	NoAct Act = iota
	ActSigmoid
	ActSiLU      // x·σ(x)
	ActGELU      // x·Φ(x), by the error function
	ActGELUTanh  // the same by tanh (Hendrycks and Gimpel, 2016)
	ActHardSwish // x·max(0, min(1, x/6 + 1/2))
	acts
)

// apply activates x, whole blocks, and clamps it; without an activation it does nothing.
func (f Act) apply(x []float32, lo, hi float32) {
	if f == NoAct {
		return
	}
	use().acts[f](&x[0], len(x))
	if lo > -unbounded || hi < unbounded {
		Affine(x, x, nil, 1, 0, 0, lo, hi)
	}
}

// Apply activates x.
func (f Act) Apply(x []float32) {
	n := len(x) / Block * Block
	if n > 0 {
		f.apply(x[:n], -unbounded, unbounded)
	}
	if n < len(x) {
		var rest [Block]float32
		copy(rest[:], x[n:])
		f.apply(rest[:], -unbounded, unbounded)
		copy(x[n:], rest[:])
	}
}

// actsGeneric are the twins of the assembly, in float64.
var actsGeneric = [acts]func(x *float32, n int){
	ActSigmoid:   inFloat64(sigmoid),
	ActSiLU:      inFloat64(func(x float64) float64 { return x * sigmoid(x) }),
	ActGELU:      inFloat64(func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }),
	ActGELUTanh:  inFloat64(func(x float64) float64 { return x * sigmoid(2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)) }),
	ActHardSwish: inFloat64(func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }),
}

func sigmoid(x float64) float64 {
	s, p := exponential(min(max(-x, -110), 110))
	return 1 / (1 + s + s*p)
}

func inFloat64(f func(float64) float64) func(x *float32, n int) {
	return func(x *float32, n int) {
		v := unsafe.Slice(x, n)
		for i, y := range v {
			v[i] = float32(f(float64(y)))
		}
	}
}

// softmaxGeneric replaces n values, a positive multiple of 16, by exp(s·x)/Σ exp(s·x), s positive.
func softmaxGeneric(p *float32, n int, s float32) {
	x := unsafe.Slice(p, n)
	most := x[0]
	for _, v := range x {
		most = max(most, v)
	}
	sum := float32(0)
	for i, v := range x {
		e, d := exponential(max(float64(s*(v-most)), -87.33))
		x[i] = float32(e + e*d)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
