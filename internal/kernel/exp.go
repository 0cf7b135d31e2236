package kernel

import "math"

// Tanh sets dst to the hyperbolic tangent of x, with m = exp(2x)-1: m/(m+2). The relative error stays below float32's rounding, near 0, too.
func Tanh(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		// 20 and beyond are 1 in float32
		z := 2 * min(max(float64(v), -20), 20)
		t := z*log2E + toInteger
		n := t - toInteger
		p := expMinus1(z - n*ln2)
		// exp(z)-1 = 2ⁿ·(1+p) - 1, exact in its leading term where n is 0
		s := math.Float64frombits((math.Float64bits(t) + 1023) << 52)
		m := s*p + (s - 1)
		dst[i] = float32(m / (m + 2))
	}
}

// Sigmoid sets dst to 1/(1+exp(-x)).
func Sigmoid(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		// beyond 104 even denormal float32 values end
		z := -min(max(float64(v), -110), 110)
		t := z*log2E + toInteger
		n := t - toInteger
		p := expMinus1(z - n*ln2)
		s := math.Float64frombits((math.Float64bits(t) + 1023) << 52)
		dst[i] = float32(1 / (1 + s + s*p))
	}
}

const (
	log2E     = math.Log2E
	ln2       = math.Ln2
	toInteger = 3 << 51 // added to a small float64, it leaves an integer in the lowest bits
)

// expMinus1 is exp(r)-1 for |r| ≤ ln2/2, as far as r⁸: its relative error is at most 6e-10.
func expMinus1(r float64) float64 {
	r2 := r * r
	r4 := r2 * r2
	return r * ((1 + r*(1./2)) + r2*((1./6)+r*(1./24)) + r4*((1./120)+r*(1./720)+r2*((1./5040)+r*(1./40320))))
}
