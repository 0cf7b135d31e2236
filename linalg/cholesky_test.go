package linalg

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestCholeskyAndInverse(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 40} {
		rng := rand.New(rand.NewPCG(uint64(n), 0))
		full := make([][]float64, n) // B·Bᵀ + I
		b := make([]float64, n*n)
		for i := range b {
			b[i] = rng.NormFloat64()
		}
		var a []float64
		for i := range n {
			full[i] = make([]float64, n)
			for j := range n {
				for k := range n {
					full[i][j] += b[i*n+k] * b[j*n+k]
				}
			}
			full[i][i]++
			a = append(a, full[i][:i+1]...)
		}
		if err := Cholesky(a, n); err != nil {
			t.Fatal(err)
		}
		InvertLower(a, n)
		// W = L^-1 whitens: W·A·Wᵀ = I
		at := func(i, j int) float64 {
			if j > i {
				return 0
			}
			return a[i*(i+1)/2+j]
		}
		for i := range n {
			for j := range n {
				sum := 0.0
				for k := range n {
					for l := range n {
						sum += at(i, k) * full[k][l] * at(j, l)
					}
				}
				want := 0.0
				if i == j {
					want = 1
				}
				if math.Abs(sum-want) > 1e-10 {
					t.Errorf("n=%d: (%d,%d) of W·A·Wᵀ is %v", n, i, j, sum)
				}
			}
		}
	}
	if err := Cholesky([]float64{1, 2, 1}, 2); !errors.Is(err, ErrNotPositiveDefinite) {
		t.Errorf("an indefinite matrix: %v", err)
	}
}
