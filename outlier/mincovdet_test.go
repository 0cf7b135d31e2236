package outlier

import (
	"math"
	"testing"
)

// scipy.stats.chi2 (1.17): ppf(p, d) and cdf(1.1·d, d+2).
func TestChiSquaredIsScipys(t *testing.T) {
	for _, c := range []struct {
		p             float64
		d             int
		quantile, cdf float64
	}{
		{0.975, 2, 7.377758908227871, 0.3009707242340329}, {0.975, 30, 46.97924224367115, 0.5819804993921238}, {0.5, 1, 0.454936423119572, 0.22292591638568093},
		{0.999, 512, 616.6114586535608, 0.9343177346956081}, {0.01, 5, 0.5542980767282772, 0.4008161293336442},
	} {
		if got := chiSquaredQuantile(c.p, c.d); math.Abs(got/c.quantile-1) > 1e-11 { // lgamma and exp of hundreds lose three digits
			t.Errorf("quantile %v of %d: %v, want %v", c.p, c.d, got, c.quantile)
		}
		if got := chiSquaredCDF(1.1*float64(c.d), c.d+2); math.Abs(got/c.cdf-1) > 1e-11 {
			t.Errorf("probability of %d: %v, want %v", c.d+2, got, c.cdf)
		}
	}
}
