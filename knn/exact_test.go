package knn

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// hardVectors are sets for which rounding to bytes, single precision or the expansion of the square are not enough.
func hardVectors() map[string]struct {
	dim  int
	rows []float32
} {
	rng := rand.New(rand.NewPCG(7, 8))
	sets := map[string]struct {
		dim  int
		rows []float32
	}{}
	make := func(name string, n, dim int, f func(i, j int) float64) {
		rows := make([]float32, n*dim)
		for i := range rows {
			rows[i] = float32(f(i/dim, i%dim))
		}
		sets[name] = struct {
			dim  int
			rows []float32
		}{dim, rows}
	}
	normal := func(int, int) float64 { return rng.NormFloat64() }
	make("normal", 1200, 13, normal)
	make("normal, as many dimensions as features have", 600, 384, normal)
	make("ties on a grid", 900, 3, func(int, int) float64 { return float64(rng.IntN(4)) })
	make("ties of many dimensions", 300, 40, func(int, int) float64 { return float64(rng.IntN(2)) })
	make("all the same", 500, 5, func(_, j int) float64 { return 0.1 * float64(j) })
	make("zeros", 40, 20, func(int, int) float64 { return 0 })
	make("far from the origin", 600, 4, func(int, int) float64 { return 1e6 + rng.NormFloat64() })
	make("tight clusters far apart", 600, 6, func(i, _ int) float64 { return 1e4*float64(i%3) + 1e-2*rng.NormFloat64() })
	make("duplicates", 600, 24, func(i, j int) float64 { return math.Sin(float64(i % 50 * (j + 1))) })
	make("one far row", 600, 6, func(i, j int) float64 {
		if i == 77 {
			return 1e30
		}
		return rng.NormFloat64()
	})
	make("tiny and huge", 400, 2, func(i, _ int) float64 { return rng.NormFloat64() * math.Pow(10, float64(i%40-20)) })
	make("least numbers", 150, 7, func(int, int) float64 { return math.Round(100*rng.NormFloat64()) * math.SmallestNonzeroFloat32 })
	make("largest numbers", 200, 7, func(int, int) float64 { return math.MaxFloat32 * (2*rng.Float64() - 1) })
	make("one large value a row", 500, 64, func(i, j int) float64 {
		if i%64 == j {
			return 100 * rng.NormFloat64()
		}
		return rng.NormFloat64()
	})
	make("mostly zeros, none below", 500, 100, func(int, int) float64 { return max(0, rng.NormFloat64()-1) })
	make("pairs of one sign", 400, 32, func(i, j int) float64 {
		return math.Copysign(1+1e-3*rng.Float64(), float64(i>>(j/2%2)&2-1))
	})
	make("more dimensions than bytes' sums have bits", 30, 3000, normal)
	make("one vector", 1, 1, normal)
	return sets
}

// From far away, sums in double precision tie or not by their order of summation: here it is that of the code. Distances are summed one by one.
func TestNearestAreThoseOfAFullSearchInDoublePrecision(t *testing.T) {
	for name, set := range hardVectors() {
		t.Run(name, func(t *testing.T) {
			dim, n := set.dim, len(set.rows)/set.dim
			rng := rand.New(rand.NewPCG(9, 10))
			// queries are in the set, beside it, mirrored through the origin, and far away
			queries := make([]float32, 0, 40*dim)
			for i := range 40 {
				row := set.rows[rng.IntN(n)*dim:][:dim]
				for _, v := range row {
					switch i % 4 {
					case 1:
						v *= 1 + (rng.Float32()-0.5)/64
					case 2:
						v = -v
					case 3:
						v = max(-math.MaxFloat32, min(math.MaxFloat32, v*float32(math.Pow(10, float64(i/4)))))
					}
					queries = append(queries, v)
				}
			}
			for _, toBytes := range []bool{true, false} {
				x := newIndex(set.rows, dim, toBytes)
				for _, k := range []int{1, min(9, n), min(n, 200)} {
					got, err := x.NearestK(context.Background(), queries, k, 1)
					if err != nil {
						t.Fatal(err)
					}
					if other, err := x.NearestK(context.Background(), queries, k, 3); err != nil || !slices.Equal(got, other) {
						t.Fatalf("k %d: 3 workers find other neighbours: %v", k, err)
					}
					for i := range 40 {
						query := queries[i*dim:][:dim]
						want := fullSearch(set.rows, query)[:k]
						if alone := x.Neighbours(query, k); !slices.Equal(alone, got[i*k:][:k]) {
							t.Fatalf("bytes %v, k %d, query %d alone finds %v, want %v", toBytes, k, i, alone, got[i*k:][:k])
						}
						for j, g := range got[i*k:][:k] {
							distance := math.Sqrt(sqDist(query, set.rows[g.Index*dim:][:dim]))
							off := math.Abs(float64(g.Distance) - distance)
							if g.Index != int(want[j].index) || !(off <= 0x1.01p-24*distance+math.SmallestNonzeroFloat32) && float32(distance) != g.Distance {
								t.Fatalf("bytes %v, k %d, query %d: neighbour %d is %+v, want %d at %v", toBytes, k, i, j, g, want[j].index, math.Sqrt(want[j].squared))
							}
						}
					}
				}
			}
		})
	}
}

func fullSearch(rows, query []float32) []neighbour64 {
	var all []neighbour64
	for i := range len(rows) / len(query) {
		all = append(all, neighbour64{squared(query, rows[i*len(query):][:len(query)]), int32(i)})
	}
	slices.SortStableFunc(all, func(a, b neighbour64) int { return cmp.Compare(a.squared, b.squared) })
	return all
}

// Rounding must leave little to look at again, or the search is right but slow.
func TestFewVectorsAreLookedAtAgain(t *testing.T) {
	const n, dim, queries = 4000, 384, 20
	vectors, asked := points(11, n, dim, 1), points(12, queries, dim, 1)
	for _, c := range []struct {
		toBytes bool
		most    int
	}{{true, 12}, {false, 1}} {
		s := newSearch(newIndex(vectors, dim, c.toBytes), 1, queries)
		s.find(asked, make([]Neighbour, queries))
		all := 0
		for i := range queries {
			s.decide(i, make([]Neighbour, 1))
			all += len(s.chosen)
		}
		if all > queries*c.most {
			t.Errorf("to bytes %v: %d vectors looked at for %d queries", c.toBytes, all, queries)
		}
	}
}
