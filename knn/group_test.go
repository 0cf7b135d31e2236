package knn

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestGroupIsAsFarAsItsNearestVector(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, c := range []struct{ vectors, queries, dim int }{{1, 1, 4}, {7, 33, 12}, {16, 5, 152}, {178, 61, 152}} {
		draw := func(n int) []float32 {
			v := make([]float32, n*c.dim)
			for i := range v {
				v[i] = float32(rng.NormFloat64())
			}
			return v
		}
		vectors, queries := draw(c.vectors), draw(c.queries)
		copy(queries, vectors[:c.dim]) // one is in the group
		probe := NewProbe(queries, c.dim)
		for _, first := range []int{0, c.vectors / 2} { // the probe is used again, for a smaller group
			group := vectors[first*c.dim:]
			for q, got := range NewGroup(group, c.dim).Distances(probe) {
				want := math.Inf(1)
				for v := 0; v < len(group); v += c.dim {
					want = min(want, squared(queries[q*c.dim:][:c.dim], group[v:][:c.dim]))
				}
				want = math.Sqrt(want)
				tolerance := 1e-5 * want
				if want == 0 {
					tolerance = 1e-3 * math.Sqrt(float64(2*c.dim)) // squares cancel to about 1e-7 of their size
				}
				if math.Abs(float64(got)-want) > tolerance {
					t.Errorf("%+v from vector %d, query %d: %v, want %v", c, first, q, got, want)
				}
			}
		}
	}
}

func TestGroupRefusesWhatDoesNotFit(t *testing.T) {
	for name, f := range map[string]func(){
		"no vectors":     func() { NewGroup(nil, 4) },
		"half a vector":  func() { NewGroup(make([]float32, 6), 4) },
		"other queries":  func() { NewGroup(make([]float32, 8), 4).Distances(NewProbe(make([]float32, 8), 8)) },
		"half a query":   func() { NewProbe(make([]float32, 5), 4) },
		"no dimensions":  func() { NewProbe(make([]float32, 5), 0) },
		"no queries":     func() { NewProbe(nil, 4) },
		"odd dimensions": func() { NewGroup(make([]float32, 6), 3) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkGroup(b *testing.B) {
	v := make([]float32, 178*152)
	for i := range v {
		v[i] = float32(i%97) / 97
	}
	group, probe := NewGroup(v, 152), NewProbe(v, 152)
	for b.Loop() {
		group.Distances(probe)
	}
	b.ReportMetric(2*178*178*152*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
