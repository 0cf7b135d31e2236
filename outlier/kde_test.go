package outlier

import (
	"context"
	"math"
	"testing"
)

// Densities integrate to 1: on a line by the trapezoid rule, with kinks of the kernels on its grid.
func TestKernelsIntegrateToOne(t *testing.T) {
	x := Matrix{2, 1, []float64{-0.5, 0.25}}
	const step = 1. / 256
	for _, kernel := range []string{"gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"} {
		m, err := KDEConfig{Bandwidth: Number(0.5), Kernel: kernel, Contamination: 0.1}.Fit(context.Background(), x, nil)
		if err != nil {
			t.Fatal(err)
		}
		grid := NewMatrix(40*256, 1)
		for i := range grid.Data {
			grid.Data[i] = (float64(i) - 20*256) * step
		}
		scores, err := m.Score(context.Background(), grid)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range scores {
			sum += math.Exp(-v) * step
		}
		if math.Abs(sum-1) > 0.01 { // tophat's ends: half a step each of four
			t.Errorf("%s integrates to %v", kernel, sum)
		}
	}
}

func TestExpOfIsExp(t *testing.T) {
	for z := 0.0; z > -700; z -= 0.0371 {
		if got, want := expOf(z), math.Exp(z); math.Abs(got/want-1) > 3e-16*(1-z) { // z's own rounding in the reduction
			t.Fatalf("exp(%v) = %v, want %v", z, got, want)
		}
	}
}

// Outside every kernel: scikit-learn's score is +Inf; files and quantiles hold MaxFloat64.
func TestRowsThatNoKernelReaches(t *testing.T) {
	c := KDEConfig{Bandwidth: Number(1), Kernel: "linear", Contamination: 0.1}
	m, err := c.Fit(context.Background(), Matrix{2, 1, []float64{0, 0.5}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := m.Score(context.Background(), Matrix{2, 1, []float64{3, 1.25}})
	if err != nil || scores[0] != math.MaxFloat64 || !(scores[1] < 10) {
		t.Errorf("%v %v", scores, err)
	}
}

func BenchmarkKDE20000x2000d16(b *testing.B) {
	x, q := gaussians(1, 20000, 16), gaussians(2, 2000, 16)
	for b.Loop() {
		m, err := DefaultKDE().Fit(context.Background(), x, &Options{Workers: 2})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Score(context.Background(), q); err != nil {
			b.Fatal(err)
		}
	}
}
