package kernel

import (
	"math"
	"testing"
)

// Half a unit in the last place of float32 is 6e-8; the functions add next to nothing to it.
func TestTanhAndSigmoidAreRoundedFloat64(t *testing.T) {
	inf := float32(math.Inf(1))
	x := []float32{0, float32(math.Copysign(0, -1)), 1e-30, -1e-30, 1e-10, 3e-5, inf, -inf, 19.9, 20.1, -90, -104, 88, 1e30, -1e30}
	for v := -25.0; v < 25; v += 1. / 512 {
		x = append(x, float32(v))
	}
	for v := 1e-8; v < 1; v *= 1.01 {
		x = append(x, float32(v), float32(-v))
	}
	y := make([]float32, len(x))
	for name, f := range map[string]struct {
		run  func(dst, x []float32)
		want func(float64) float64
	}{
		"tanh":    {Tanh, math.Tanh},
		"sigmoid": {Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
	} {
		f.run(y, x)
		most := 0.0
		for i, v := range x {
			want := f.want(float64(v))
			d := math.Abs(float64(y[i]) - want)
			if want != 0 {
				d /= max(math.Abs(want), 0x1p-126) // smaller ones have fewer digits
			}
			most = max(most, d)
			if !(d <= 6.1e-8) {
				t.Errorf("%s(%v) is %v, want %v", name, v, y[i], want)
			}
		}
		t.Logf("%s: relative error at most %.3g", name, most)
		f.run(y[:1], []float32{float32(math.NaN())})
		if y[0] == y[0] {
			t.Errorf("%s of NaN is %v", name, y[0])
		}
	}
}

func BenchmarkTanh(b *testing.B) {
	x := make([]float32, 1024)
	for i := range x {
		x[i] = float32(i)/512 - 1
	}
	for b.Loop() {
		Tanh(x, x)
	}
}
