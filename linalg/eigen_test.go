package linalg

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The second difference matrix has the eigenvalues 2 - 2·cos(kπ/(n+1)) (Golub and Van Loan, 4.8).
func TestSymmetricEigenOfKnownSpectrum(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 65} {
		a := make([]float64, n*n)
		for i := range n {
			a[i*n+i] = 2
			if i > 0 {
				a[i*n+i-1] = -1
			}
		}
		values, _, err := SymmetricEigen(a, n)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if want := 2 - 2*math.Cos(float64(n-i)*math.Pi/float64(n+1)); math.Abs(v-want) > 1e-14*4 {
				t.Errorf("n=%d: eigenvalue %d is %v, want %v", n, i, v, want)
			}
		}
	}
}

// A·v = λ·v to rounding of the largest eigenvalue, and the vectors are orthonormal, for full, deficient, repeated and graded spectra.
func TestSymmetricEigenResiduals(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{2, 5, 40, 120} {
		for name, spectrum := range map[string]func(i int) float64{
			"plain":     func(int) float64 { return rng.NormFloat64() },
			"deficient": func(i int) float64 { return float64(max(0, 3-i)) },
			"repeated":  func(i int) float64 { return float64(i / 4) },
			"graded":    func(i int) float64 { return math.Pow(10, float64(-i%12)) },
			"zero":      func(int) float64 { return 0 },
			"far":       func(i int) float64 { return 1e150 * float64(i) },
		} {
			a := make([]float64, n*n) // Σ s·u·uᵀ/uᵀu over random u
			largest := 0.0
			for i := range n {
				s, u := spectrum(i), make([]float64, n)
				for j := range u {
					u[j] = rng.NormFloat64()
				}
				length := norm(u)
				for p := range n {
					for q := range n {
						a[p*n+q] += s * u[p] * u[q] / (length * length)
					}
				}
			}
			for _, v := range a {
				largest = max(largest, math.Abs(v))
			}
			values, vectors, err := SymmetricEigen(a, n)
			if err != nil {
				t.Fatalf("%s %d: %v", name, n, err)
			}
			for i := range n {
				v := vectors[i*n : (i+1)*n]
				if i > 0 && values[i] > values[i-1] {
					t.Errorf("%s %d: eigenvalues are out of order", name, n)
				}
				for p := range n {
					// n·eps times the norm, which is at most n times the largest entry; measured: a twentieth of it
					if d := math.Abs(dot(a[p*n:(p+1)*n], v) - values[i]*v[p]); !(d <= 4e-16*float64(n)*largest*math.Sqrt(float64(n))) {
						t.Fatalf("%s %d: residual %g of vector %d", name, n, d, i)
					}
				}
				for j := range i + 1 {
					want := 0.0
					if i == j {
						want = 1
					}
					if d := math.Abs(dot(v, vectors[j*n:(j+1)*n]) - want); !(d <= 1e-13) {
						t.Fatalf("%s %d: vectors %d and %d are off orthonormal by %g", name, n, i, j, d)
					}
				}
			}
		}
	}
}

func TestSymmetricEigenRefusesWhatIsNotFinite(t *testing.T) {
	if _, _, err := SymmetricEigen([]float64{1, 0, 0, math.NaN(), 1, 0, 1, 1, 1}, 3); err == nil {
		t.Error("NaN has eigenvalues")
	}
}

func BenchmarkSymmetricEigen512(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	a := make([]float64, 512*512)
	for i := range a {
		a[i] = rng.NormFloat64()
	}
	for b.Loop() {
		if _, _, err := SymmetricEigen(a, 512); err != nil {
			b.Fatal(err)
		}
	}
}

// The matrix and its spectrum: numpy.linalg.eigh of [[4,1,0,2],[1,3,1,0],[0,1,2,1],[2,0,1,5]] (numpy 2.3.5).
func TestSymmetricEigenIsNumpys(t *testing.T) {
	a := []float64{4, 1, 0, 2, 1, 3, 1, 0, 0, 1, 2, 1, 2, 0, 1, 5}
	values, vectors, err := SymmetricEigen(a, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{6.855634789899591, 3.548378489138454, 2.783823334835209, 0.8121633861267458} {
		if math.Abs(values[i]-want) > 1e-12 {
			t.Errorf("eigenvalue %d is %v, want %v", i, values[i], want)
		}
		for r := range 4 {
			sum := 0.0
			for k := range 4 {
				sum += a[r*4+k] * vectors[i*4+k]
			}
			if math.Abs(sum-want*vectors[i*4+r]) > 1e-12 {
				t.Errorf("vector %d is none", i)
			}
		}
	}
}
