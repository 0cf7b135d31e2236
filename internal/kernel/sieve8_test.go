package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// vectors8 are vectors that strain 16-bit lanes, as bytes.
func vectors8(rng *rand.Rand, n, dim int) Rounded8 {
	v := Rounded8{Bytes: make([]int8, n*dim), Scale: random(rng, n), Base: random(rng, n), Rest: make([]float32, n)}
	for i := range n {
		from := make([]float64, dim)
		for j := range from {
			switch i % 5 {
			case 0:
				from[j] = rng.NormFloat64()
			case 1: // all of one sign
				from[j] = 1
			case 2: // and of the other, in one of two lanes
				from[j] = -float64(1 - j/2%2)
			case 3: // one large value
				from[j] = float64(dim/2-j) / math.Pow(2, float64(j%dim))
			case 4: // as many of either sign as can be, just below a half
				from[j] = math.Copysign(1.4999, float64(j%3-1))
			}
		}
		scale := Scale8(from)
		for j, d := range from {
			v.Bytes[i*dim+j] = int8(math.Round(d / scale))
		}
		v.Rest[i] = rng.Float32()
	}
	return v
}

func levels8(rng *rand.Rand, n int) []uint8 {
	levels := make([]uint8, n)
	for i := range levels {
		levels[i] = uint8(rng.IntN(LevelTop + 1))
		if i/16%3 > 0 {
			levels[i] = uint8(i / 16 % 3 / 2 * LevelTop) // all the largest, or all the least
		}
	}
	return levels
}

func TestScale8MakesBytesFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 0))
	const dim, n = 48, 50
	v := vectors8(rng, n, dim)
	full := 0
	for i := range n {
		for at := 0; at < dim; at += Block {
			for lane := range 2 {
				above, below := 0, 0
				for j, b := range v.Bytes[i*dim+at:][:Block] {
					if j/2%2 == lane {
						above += max(int(b), 0)
						below += min(int(b), 0)
					}
				}
				if LevelTop*above > math.MaxInt16 || LevelTop*below < math.MinInt16 {
					t.Errorf("vector %d: a lane of products may reach %d to %d", i, LevelTop*below, LevelTop*above)
				}
				full = max(full, above, -below)
			}
		}
	}
	if full < 250 { // of 260
		t.Errorf("no lane is used further than %d", full)
	}
}

func TestSieve8FindsWhatPlainLoopsFind(t *testing.T) {
	eachInt8(t, func(t *testing.T) {
		for _, c := range []struct{ vectors, dim, queries int }{{1, 16, 1}, {15, 32, 2}, {16, 16, 3}, {33, 48, 7}, {700, 384, 5}, {48, 64, 43}, {100, 400, 86}, {65, 128, 130}} {
			rng := rand.New(rand.NewPCG(22, uint64(c.vectors)))
			v, levels := vectors8(rng, c.vectors, c.dim), levels8(rng, c.queries*c.dim)
			queries := make([]Query8, c.queries)
			for i := range queries {
				queries[i] = Query8{Scale: (rng.Float32() - 0.5) / 1000, Slope: rng.Float32(), Limit: rng.Float32()*4 - 3}
			}
			queries[0].Limit = inf // every vector, and none of those that only fill up the last block
			sumOf := func(q, i int) (sum int32) {
				for j, b := range v.Bytes[i*c.dim:][:c.dim] {
					sum += (int32(levels[q*c.dim+j]) - LevelMid) * int32(b)
				}
				return sum
			}
			found := map[[2]int]bool{}
			last := make([]int, c.queries)
			NewSieve8(v, c.dim).Pass(levels, queries, func(q, i int, sum int32) {
				if want := sumOf(q, i); sum != want {
					t.Errorf("%+v: query %d, vector %d: sum %d, want %d", c, q, i, sum, want)
				}
				if i < last[q] || i >= c.vectors || found[[2]int{q, i}] {
					t.Errorf("%+v: query %d meets vector %d of %d after %d", c, q, i, c.vectors, last[q])
				}
				last[q], found[[2]int{q, i}] = i, true
			})
			for q, query := range queries {
				for i := range c.vectors {
					product := float64(query.Scale) * float64(v.Scale[i]) * float64(sumOf(q, i))
					value := float64(v.Base[i]) + product - float64(query.Slope)*float64(v.Rest[i])
					slack := (math.Abs(product) + 4) * 0x1p-21 // some units in the last place
					if math.Abs(value-float64(query.Limit)) > slack && found[[2]int{q, i}] != (value <= float64(query.Limit)) {
						t.Errorf("%+v: query %d, limit %v, vector %d: found %v, its value is %v", c, q, query.Limit, i, found[[2]int{q, i}], value)
					}
				}
			}
		}
	})
}

// A query that a hit changes asks for less from the next block on.
func TestSieve8HeedsChanges(t *testing.T) {
	eachInt8(t, func(t *testing.T) {
		const n, dim = 70, 16
		v := Rounded8{Bytes: make([]int8, n*dim), Scale: make([]float32, n), Base: make([]float32, n), Rest: make([]float32, n)}
		queries := []Query8{{Limit: 1}, {Limit: 1}, {Limit: 1}, {Limit: 1}}
		hits := make([]int, 4)
		NewSieve8(v, dim).Pass(make([]uint8, 4*dim), queries, func(q, _ int, _ int32) {
			queries[q].Limit = -1
			hits[q]++
		})
		if !slices.Equal(hits, []int{Block, Block, Block, Block}) {
			t.Errorf("hits %v, want those of one block", hits)
		}
	})
}

func BenchmarkSieve8(b *testing.B) {
	const vectors, queries = 4096, 168
	for _, dim := range []int{64, 384} {
		rng := rand.New(rand.NewPCG(23, 0))
		s := NewSieve8(vectors8(rng, vectors, dim), dim)
		levels, asks := levels8(rng, queries*dim), make([]Query8, queries)
		for i := range asks {
			asks[i].Limit = -inf
		}
		b.Run(fmt.Sprint(dim), func(b *testing.B) {
			for b.Loop() {
				s.Pass(levels, asks, func(int, int, int32) {})
			}
			b.ReportMetric(vectors*queries*float64(dim)*float64(b.N)/b.Elapsed().Seconds()/1e9, "G-products/s")
		})
	}
}
