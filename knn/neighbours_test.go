package knn

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// hardRows are sets for which single precision and the expansion are not enough.
func hardRows() map[string]struct {
	dim  int
	rows []float64
} {
	rng := rand.New(rand.NewPCG(5, 6))
	sets := map[string]struct {
		dim  int
		rows []float64
	}{}
	make := func(name string, n, dim int, f func(i, j int) float64) {
		rows := make([]float64, n*dim)
		for i := range rows {
			rows[i] = f(i/dim, i%dim)
		}
		sets[name] = struct {
			dim  int
			rows []float64
		}{dim, rows}
	}
	make("normal", 1500, 13, func(int, int) float64 { return rng.NormFloat64() })
	make("ties on a grid", 900, 3, func(int, int) float64 { return float64(rng.IntN(4)) })
	make("all the same", 700, 5, func(_, j int) float64 { return 0.1 * float64(j) })
	make("far from the origin", 600, 4, func(int, int) float64 { return 1e9 + rng.NormFloat64() })
	make("tight clusters far apart", 600, 6, func(i, _ int) float64 { return 1e6*float64(i%3) + 1e-3*rng.NormFloat64() })
	make("one far row", 600, 6, func(i, _ int) float64 {
		if i == 77 {
			return 1e30
		}
		return rng.NormFloat64()
	})
	make("tiny and huge", 550, 2, func(i, _ int) float64 { return rng.NormFloat64() * math.Pow(10, float64(i%40-20)) })
	make("more columns than rows", 20, 700, func(int, int) float64 { return rng.NormFloat64() })
	make("two rows", 2, 1, func(i, _ int) float64 { return float64(i) })
	return sets
}

// bruteForce sorts all distances.
func bruteForce(rows []float64, dim int, query []float64, skip, k int) (index []int32, distance []float64) {
	var all []neighbour64
	for i := range len(rows) / dim {
		if i != skip {
			all = append(all, neighbour64{squared(query, rows[i*dim:][:dim]), int32(i)})
		}
	}
	slices.SortStableFunc(all, func(a, b neighbour64) int { return cmp.Compare(a.squared, b.squared) })
	for _, a := range all[:k] {
		index, distance = append(index, a.index), append(distance, math.Sqrt(a.squared))
	}
	return index, distance
}

func TestTheKNearestAreThoseOfAFullSearchInDoublePrecision(t *testing.T) {
	for name, set := range hardRows() {
		t.Run(name, func(t *testing.T) {
			n := len(set.rows) / set.dim
			x := NewRows(set.rows, set.dim)
			for _, k := range []int{1, 20} {
				k = min(k, n-1)
				for _, workers := range []int{1, 3} {
					others, err := x.Others(context.Background(), k, workers)
					if err != nil {
						t.Fatal(err)
					}
					all, err := x.Nearest(context.Background(), set.rows, k, workers)
					if err != nil {
						t.Fatal(err)
					}
					for i := 0; i < n; i += 1 + n/31 {
						query := set.rows[i*set.dim:][:set.dim]
						for _, c := range []struct {
							near Near
							skip int
						}{{others, i}, {all, -1}} {
							index, distance := bruteForce(set.rows, set.dim, query, c.skip, k)
							if got := c.near.Index[i*k:][:k]; !slices.Equal(got, index) {
								t.Fatalf("k %d, query %d: %v, want %v", k, i, got, index)
							}
							if got := c.near.Distance[i*k:][:k]; !slices.Equal(got, distance) {
								t.Fatalf("k %d, query %d: distances %v, want %v", k, i, got, distance)
							}
						}
					}
				}
			}
		})
	}
}

func TestQueriesFarBeyondTheRows(t *testing.T) {
	set := hardRows()["normal"]
	x := NewRows(set.rows, set.dim)
	for _, far := range []float64{1e3, 1e9, 1e14, 1e40, 1e150} {
		query := slices.Repeat([]float64{far}, set.dim)
		near, err := x.Nearest(context.Background(), query, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		index, distance := bruteForce(set.rows, set.dim, query, -1, 3)
		if !slices.Equal(near.Index, index) || !slices.Equal(near.Distance, distance) {
			t.Errorf("from %g: %v %v, want %v %v", far, near.Index, near.Distance, index, distance)
		}
	}
}

func TestTheSearchEndsWhenItIsCancelled(t *testing.T) {
	set := hardRows()["normal"]
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewRows(set.rows, set.dim).Others(ctx, 3, 2); err != context.Canceled {
		t.Error(err)
	}
}

func BenchmarkOthers(b *testing.B) {
	for _, n := range []int{5000, 20000} {
		b.Run(fmt.Sprintf("n=%d/d=64/k=20", n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			rows := make([]float64, n*64)
			for i := range rows {
				rows[i] = rng.NormFloat64()
			}
			for b.Loop() {
				if _, err := NewRows(rows, 64).Others(context.Background(), 20, 2); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
