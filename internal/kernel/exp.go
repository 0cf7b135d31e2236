package kernel

import "math"

// Tanh sets dst to the hyperbolic tangent of x, m/(m+2) with m = exp(2x)-1. The relative error stays below float32's rounding, near 0, too.
func Tanh(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		z := 2 * float64(v)
		if z > 40 { // 1 in float32
			z = 40
		} else if z < -40 {
			z = -40
		}
		s, p := exponential(z)
		m := s*p + (s - 1) // exact in its leading term where s is 1
		dst[i] = float32(m / (m + 2))
	}
}

// Sigmoid sets dst to 1/(1+exp(-x)).
func Sigmoid(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		z := -float64(v)
		if z > 110 { // 0 in float32
			z = 110
		} else if z < -110 {
			z = -110
		}
		s, p := exponential(z)
		dst[i] = float32(1 / (1 + s + s*p))
	}
}

const toInteger = 3 << 51 // added to a small float64, it leaves an integer in the lowest bits

// sixteenths are 2^(i/16).
var sixteenths = func() (t [16]float64) {
	for i := range t {
		t[i] = math.Exp2(float64(i) / 16)
	}
	return t
}()

// exponential is exp(z) = s·(1+p), where s is a power of 2^(1/16) and |p| ≤ 0.022; its relative error is at most 2e-9, p's likewise. |z| is
// at most 700.
func exponential(z float64) (s, p float64) {
	t := z*(16*math.Log2E) + toInteger
	b := math.Float64bits(t)
	r := z - (t-toInteger)*(math.Ln2/16)
	return sixteenths[b&15] * math.Float64frombits((b>>4+1023)<<52), r * (1 + r*(1./2+r*(1./6+r*(1./24))))
}
