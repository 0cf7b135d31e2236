package knn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func points(seed uint64, n, dim int, spread float64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float32, n*dim)
	for i := range out {
		out[i] = float32(rng.NormFloat64()*spread + 10) // far from the origin: the expansion alone would lose digits
	}
	return out
}

func sqDist(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return sum
}

func TestNearestIsExact(t *testing.T) {
	for _, c := range []struct {
		n, dim int
		spread float64
	}{{1, 3, 1}, {7, 16, 1}, {300, 17, 1e-3}, {1000, 40, 1e-4}, {129, 5, 1}} {
		bank := points(1, c.n, c.dim, c.spread)
		queries := points(2, 37, c.dim, c.spread)
		copy(queries, bank[:c.dim])          // a query that is in the bank
		bank = append(bank, bank[:c.dim]...) // and twice there: the lower index wins
		index := NewIndex(bank, c.dim)
		got, err := index.Nearest(context.Background(), queries, 2)
		if err != nil {
			t.Fatal(err)
		}
		alone, _ := index.Nearest(context.Background(), queries[:c.dim], 1)
		if alone[0] != got[0] || got[0].Distance != 0 || got[0].Index != 0 {
			t.Errorf("%+v: the bank's own first vector is found as %+v, alone %+v", c, got[0], alone[0])
		}
		for i, g := range got {
			q := queries[i*c.dim:][:c.dim]
			best, at := math.Inf(1), -1
			for j := range len(bank) / c.dim {
				if d := sqDist(q, bank[j*c.dim:][:c.dim]); d < best {
					best, at = d, j
				}
			}
			// float32 decides between distances that agree to its last digits; those are equally near
			if found := sqDist(q, bank[g.Index*c.dim:][:c.dim]); found > best*(1+1e-6) {
				t.Errorf("%+v: query %d: %d at %v, want %d at %v", c, i, g.Index, math.Sqrt(found), at, math.Sqrt(best))
			}
			if d := math.Abs(float64(g.Distance) - math.Sqrt(best)); d > 1e-6*math.Sqrt(best) {
				t.Errorf("%+v: query %d: distance %v, want %v", c, i, g.Distance, math.Sqrt(best))
			}
		}
	}
}

func TestNeighboursAreInOrder(t *testing.T) {
	const n, dim, k = 200, 12, 9
	bank, q := points(3, n, dim, 1), points(4, 1, dim, 1)
	got := NewIndex(bank, dim).Neighbours(q, k)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(a, b int) int {
		return int(math.Copysign(1, sqDist(q, bank[a*dim:][:dim])-sqDist(q, bank[b*dim:][:dim])))
	})
	for i, g := range got {
		if g.Index != all[i] {
			t.Errorf("neighbour %d is %d, want %d", i, g.Index, all[i])
		}
	}
	if got := NewIndex(bank[:3*dim], dim).Neighbours(q, k); len(got) != 3 {
		t.Errorf("%d neighbours in an index of 3", len(got))
	}
}

// plainGreedy is the definition of greedy k-centre.
func plainGreedy(points []float32, dim, m, first int) []int {
	n := len(points) / dim
	nearest := make([]float64, n)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	chosen := []int{first}
	for len(chosen) < m {
		c := points[chosen[len(chosen)-1]*dim:][:dim]
		farthest := 0
		for i := range n {
			nearest[i] = min(nearest[i], sqDist(points[i*dim:][:dim], c))
			if nearest[i] > nearest[farthest] {
				farthest = i
			}
		}
		chosen = append(chosen, farthest)
	}
	return chosen
}

func TestKCenterGreedyChoosesWhatThePlainAlgorithmChooses(t *testing.T) {
	for _, c := range []struct{ n, dim, m, first int }{{1, 4, 1, 0}, {50, 3, 50, 7}, {400, 16, 60, 0}, {3000, 20, 300, 2999}} {
		p := points(5, c.n, c.dim, 1)
		want := plainGreedy(p, c.dim, c.m, c.first)
		for _, workers := range []int{1, 4} {
			got, err := KCenterGreedy(context.Background(), Pad(p, c.dim), c.m, c.first, CoresetOptions{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v, %d workers: %v, want %v", c, workers, got, want)
			}
		}
	}
}

func TestKCenterGreedyWithTiesTakesTheLowestIndex(t *testing.T) {
	p := []float32{0, 1, 2, 0, 1, 2} // on a line, each twice
	got, err := KCenterGreedy(context.Background(), Pad(p, 1), 6, 1, CoresetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 0, 2, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestKCenterGreedyStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := KCenterGreedy(ctx, Pad(points(6, 5000, 8, 1), 8), 4000, 0, CoresetOptions{Progress: func(done, total int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after cancelling: %v", err)
	}
}

func BenchmarkKCenterGreedy(b *testing.B) {
	p := Pad(points(7, 20000, 152, 1), 152)
	for b.Loop() {
		if _, err := KCenterGreedy(context.Background(), p, 2000, 0, CoresetOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*20000*2000/b.Elapsed().Seconds()/1e9, "Gdistances/s-of-the-plain-algorithm")
}

func ExampleKCenterGreedy() {
	line := []float32{0, 1, 2, 3, 10}
	chosen, _ := KCenterGreedy(context.Background(), Pad(line, 1), 3, 0, CoresetOptions{})
	fmt.Println(chosen)
	// Output: [0 4 3]
}
