package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Sums are those of the definition to rounding, the same whatever vectors are beside them, and nothing else is written. Origins are far off: a product
// less the origin's would lose eight digits.
func TestPanelsOfFloat64AgreeWithTheirDefinition(t *testing.T) {
	const pitch = Block + 3
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(64, 0))
		for _, n := range []int{1, 2, 7, 16, 33} {
			from := make([]float64, n)
			for j := range from {
				from[j] = 1e8 * rng.NormFloat64()
			}
			p, vectors := NewPanel64(n), make([][]float64, Block)
			for r := range Block - 1 { // the last is not set
				vectors[r] = make([]float64, n-r%2) // half of them are shorter
				for j := range vectors[r] {
					vectors[r][j] = rng.NormFloat64()
				}
				p.Set(r, vectors[r])
			}
			for _, count := range []int{0, 1, 2, 3, 4, 5, 9} {
				near, far := make([][]float64, count), make([][]float64, count)
				for i := range near {
					near[i], far[i] = make([]float64, n+i%2), make([]float64, n) // half of them are longer
					for j := range near[i] {
						near[i][j] = rng.NormFloat64()
					}
					for j := range far[i] {
						far[i][j] = from[j] + near[i][j]
					}
				}
				for name, f := range map[string]struct {
					x    [][]float64
					run  func(dst []float64, x [][]float64)
					term func(x, from, y float64) float64
				}{
					"dots":    {far, func(dst []float64, x [][]float64) { p.Dots(dst, pitch, x, from) }, func(x, from, y float64) float64 { return (x - from) * y }},
					"squares": {near, func(dst []float64, x [][]float64) { p.Squares(dst, pitch, x) }, func(x, _, y float64) float64 { return (x - y) * (x - y) }},
				} {
					dst := make([]float64, count*pitch+1)
					for i := range dst {
						dst[i] = guard
					}
					f.run(dst[:max(0, count*pitch-3)], f.x)
					for at, got := range dst {
						i, r := at/pitch, at%pitch
						if i == count || r >= Block {
							if got != guard {
								t.Fatalf("%s, n=%d: wrote %v behind row %d", name, n, got, i)
							}
							continue
						}
						want, scale := 0.0, 0.0
						for j := range n {
							y := 0.0
							if j < len(vectors[r]) {
								y = vectors[r][j]
							}
							v := f.term(f.x[i][j], from[j], y)
							want, scale = want+v, scale+math.Abs(v)
						}
						if !(math.Abs(got-want) <= float64(n)*0x1p-52*scale) {
							t.Fatalf("%s, n=%d: row %d of %d, vector %d: %v, want %v", name, n, i, count, r, got, want)
						}
					}
					alone := make([]float64, Block)
					for i := range count {
						f.run(alone, f.x[i:i+1])
						for r, want := range alone {
							if got := dst[i*pitch+r]; got != want {
								t.Fatalf("%s, n=%d: row %d of %d, vector %d: %v, alone %v", name, n, i, count, r, got, want)
							}
						}
					}
				}
			}
		}
	})
}

func BenchmarkPanelDots64(b *testing.B) {
	p, from, x, dst := NewPanel64(32), make([]float64, 32), make([][]float64, 64), make([]float64, 64*Block)
	for i := range x {
		x[i] = make([]float64, 32)
	}
	for b.Loop() {
		p.Dots(dst, Block, x, from)
	}
	b.ReportMetric(2*64*Block*32*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}
