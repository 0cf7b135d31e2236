package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestSieveFindsWhatPlainLoopsFind(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, c := range []struct{ vectors, dim, queries int }{{1, 4, 1}, {15, 8, 3}, {16, 4, 6}, {33, 12, 7}, {48, 64, 13}, {100, 36, 29}, {65, 128, 14}} {
			rng := rand.New(rand.NewPCG(11, uint64(c.vectors)))
			vectors, constants, queries := random(rng, c.vectors*c.dim), random(rng, c.vectors), random(rng, c.queries*c.dim)
			limits := make([]float32, c.queries)
			for i := range limits {
				limits[i] = rng.Float32()*2 - 2
			}
			limits[0] = inf // every vector, and none of those that only fill up the last block
			value := func(q, v int) float64 {
				sum := float64(constants[v])
				for i := range c.dim {
					sum += float64(queries[q*c.dim+i]) * float64(vectors[v*c.dim+i])
				}
				return sum
			}
			// sums of dim products of at most 1 are off by less than dim²·2^-24, and by √dim·2^-22 as a rule
			slack := math.Sqrt(float64(c.dim)) * 0x1p-20
			found := map[[2]int]bool{}
			last := make([]int, c.queries)
			NewSieve(vectors, constants, c.dim).Pass(queries, limits, func(q, v int, got float32) {
				if want := value(q, v); !(math.Abs(float64(got)-want) < slack) {
					t.Errorf("%+v: query %d, vector %d: value %v, want %v", c, q, v, got, want)
				}
				if v < last[q] || v >= c.vectors || found[[2]int{q, v}] {
					t.Errorf("%+v: query %d meets vector %d of %d after %d", c, q, v, c.vectors, last[q])
				}
				last[q], found[[2]int{q, v}] = v, true
			})
			for q, limit := range limits {
				for v := range c.vectors {
					want := value(q, v)
					if math.Abs(want-float64(limit)) > slack && found[[2]int{q, v}] != (want <= float64(limit)) {
						t.Errorf("%+v: query %d, limit %v, vector %d: found %v, its value is %v", c, q, limit, v, found[[2]int{q, v}], want)
					}
				}
			}
		}
	})
}

// A limit that a hit lowers counts from the next vector on, in the same block too.
func TestSieveHeedsLimitsAtOnce(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		const n = 70
		constants := make([]float32, n)
		want := 0
		for i := range constants {
			constants[i] = float32(i * 37 % 50)
		}
		for i, v := range constants { // how often a running minimum is equalled or lowered
			lowest := inf
			for _, u := range constants[:i] {
				lowest = min(lowest, u)
			}
			if v <= lowest {
				want++
			}
		}
		limits := []float32{inf, inf, inf}
		hits := 0
		NewSieve(make([]float32, n*4), constants, 4).Pass(make([]float32, 3*4), limits, func(q, _ int, value float32) {
			limits[q] = value
			hits++
		})
		if hits != 3*want || limits[2] != 0 {
			t.Errorf("%d hits, last limit %v, want %d and 0", hits, limits[2], 3*want)
		}
	})
}

func TestGaussiansAgreeWithMath(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, c := range []struct{ n, dim int }{{1, 16}, {16, 16}, {17, 48}, {100, 64}} {
			rng := rand.New(rand.NewPCG(12, uint64(c.n)))
			x, rows, memory := random(rng, c.dim), random(rng, c.n*c.dim), random(rng, c.n+2)
			memory[0], memory[c.n+1] = guard, guard
			dst := memory[1 : c.n+1]
			Gaussians(dst, x, rows)
			for i, got := range dst {
				sum := 0.0
				for j, v := range x {
					d := float64(v) - float64(rows[i*c.dim+j])
					sum += d * d
				}
				// the distance is off by a few of its 2^-24
				if want := math.Exp(-sum); !(math.Abs(float64(got)-want) <= want*(sum+1)*0x1p-21) {
					t.Errorf("%+v: row %d is %v, want %v", c, i, got, want)
				}
			}
			if memory[0] != guard || memory[c.n+1] != guard {
				t.Errorf("%+v: wrote outside", c)
			}
		}
	})
}

func TestExpMinusAgreesWithMath(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		var x []float32
		for v := float32(0); v < 87; v += 0.0137 {
			x = append(x, v)
		}
		x = append(x, 1e-30, math.MaxFloat32, inf, 87.4, 1000, 88)
		y := append([]float32(nil), x...)
		ExpMinus(y)
		for i, got := range y {
			want := math.Exp(-float64(x[i]))
			if x[i] > 126*math.Ln2 {
				want = 0
			}
			if !(math.Abs(float64(got)-want) <= want*0x1p-22) { // two units in the last place
				t.Errorf("exp(-%v) is %v, want %v", x[i], got, want)
			}
		}
		if y[0] != 1 {
			t.Errorf("exp(0) is %v", y[0])
		}
	})
}

func BenchmarkSieve(b *testing.B) {
	const vectors, queries = 4096, 384
	for _, dim := range []int{16, 64} {
		rng := rand.New(rand.NewPCG(13, 0))
		s := NewSieve(random(rng, vectors*dim), random(rng, vectors), dim)
		q, limits := random(rng, queries*dim), make([]float32, queries)
		for i := range limits {
			limits[i] = -inf
		}
		b.Run(fmt.Sprint(dim), func(b *testing.B) {
			for b.Loop() {
				s.Pass(q, limits, func(int, int, float32) {})
			}
			b.ReportMetric(2*vectors*queries*float64(dim)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

func BenchmarkExpMinus(b *testing.B) {
	x := make([]float32, 4096)
	for b.Loop() {
		ExpMinus(x)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/value")
}
