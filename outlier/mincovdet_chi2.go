package outlier

import "math"

// chiSquaredCDF is the probability that a chi-squared variable of d degrees of freedom is at most x: the regularised lower incomplete gamma
// function P(d/2, x/2), by its series or its continued fraction (DLMF 8.7.1 and 8.9.2, the latter evaluated by Lentz's method).
func chiSquaredCDF(x float64, d int) float64 {
	if x <= 0 {
		return 0
	}
	a, z := float64(d)/2, x/2
	logGamma, _ := math.Lgamma(a)
	scale := math.Exp(a*math.Log(z) - z - logGamma)
	if z < a+1 {
		term := 1 / a
		sum := term
		for k := 1; math.Abs(term) > 1e-17*sum && k < 100000; k++ {
			term *= z / (a + float64(k))
			sum += term
		}
		return scale * sum
	}
	const tiny = 1e-300
	b := z + 1 - a
	c, inverse := 1/tiny, 1/b
	fraction := inverse
	for k := 1; k < 100000; k++ {
		an := -float64(k) * (float64(k) - a)
		b += 2
		if inverse = an*inverse + b; math.Abs(inverse) < tiny {
			inverse = tiny
		}
		if c = b + an/c; math.Abs(c) < tiny {
			c = tiny
		}
		inverse = 1 / inverse
		step := c * inverse
		fraction *= step
		if math.Abs(step-1) < 1e-16 {
			break
		}
	}
	return 1 - scale*fraction
}

// chiSquaredQuantile inverts chiSquaredCDF for p in (0,1), by bisection.
func chiSquaredQuantile(p float64, d int) float64 {
	low, high := 0.0, float64(d)
	for chiSquaredCDF(high, d) < p && high < 1e300 {
		high *= 2
	}
	for range 200 {
		middle := (low + high) / 2
		if middle == low || middle == high {
			break
		}
		if chiSquaredCDF(middle, d) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
