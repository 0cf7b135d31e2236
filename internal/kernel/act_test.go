package kernel

import (
	"math"
	"testing"
)

// The definitions, by package math. 4e-7 are three units in the last place of float32: of the value, or of 1 where it is smaller, since the
// error function is computed to 1.5e-7 and a large argument's rounding is felt in its exponential.
func TestActivationsAgreeWithTheirDefinitions(t *testing.T) {
	definitions := map[Act]func(x float64) float64{
		ActSigmoid:   func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		ActSiLU:      func(x float64) float64 { return x / (1 + math.Exp(-x)) },
		ActGELU:      func(x float64) float64 { return x * 0.5 * (1 + math.Erf(x/math.Sqrt2)) },
		ActGELUTanh:  func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) },
		ActHardSwish: func(x float64) float64 { return x * math.Max(0, math.Min(1, x/6+0.5)) },
	}
	eachISA(t, func(t *testing.T) {
		for f, want := range definitions {
			var x []float32
			for v := -20.0; v <= 20; v += 1. / 256 {
				x = append(x, float32(v))
			}
			x = append(x, 0, -1000, 1000, 1e-20, -1e-20)
			y := append([]float32{}, x...)
			f.Apply(y)
			worst := 0.0
			for i, v := range x {
				w := want(float64(v))
				d := math.Abs(float64(y[i])-w) / max(1, math.Abs(w))
				worst = max(worst, d)
				if !(d <= 4e-7) {
					t.Fatalf("activation %d of %v is %v, want %v", f, v, y[i], w)
				}
			}
			t.Logf("activation %d: at most %.2g", f, worst)
			nan := []float32{float32(math.NaN())}
			if f.Apply(nan); f != ActHardSwish && nan[0] == nan[0] {
				t.Errorf("activation %d of NaN is %v", f, nan[0])
			}
		}
	})
}

// A row of 48 values, of which 5 count for nothing, against float64. Arguments reach 22, whose rounding alone is 1.3e-6 of the result.
func TestSoftmaxAgreesWithItsDefinition(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		const scale = 0.375
		x := make([]float32, 3*Block)
		for i := range x {
			x[i] = float32(30 * math.Sin(float64(i*i)))
			if i >= 43 {
				x[i] = -unbounded
			}
		}
		sum := 0.0
		for _, v := range x {
			sum += math.Exp(scale * float64(v))
		}
		y := append([]float32{}, x...)
		use().softmax(&y[0], len(y), scale)
		for i, v := range x {
			want := math.Exp(scale*float64(v)) / sum
			if d := math.Abs(float64(y[i]) - want); !(d <= 2e-6*want+1e-30) {
				t.Errorf("value %d is %v, want %v", i, y[i], want)
			}
		}
	})
}
