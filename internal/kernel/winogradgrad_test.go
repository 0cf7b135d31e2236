package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every value of y, dx and dw is compared with the plain definition in float64. Tiles that reach beyond the picture, groups of 16 tiles that
// span pictures, more than one band of tiles, and paddings that differ are among the cases.
func TestConv3x3AgreesWithPlainLoops(t *testing.T) {
	cases := []Conv3x3{
		{N: 1, Ins: 32, Outs: 32, In: Shape2D{8, 8}, Out: Shape2D{8, 8}, Top: 1, Left: 1},
		{N: 3, Ins: 48, Outs: 32, In: Shape2D{9, 7}, Out: Shape2D{9, 7}, Top: 1, Left: 1},
		{N: 2, Ins: 32, Outs: 64, In: Shape2D{7, 10}, Out: Shape2D{5, 8}, Top: 0, Left: 0},
		{N: 1, Ins: 32, Outs: 48, In: Shape2D{5, 6}, Out: Shape2D{7, 7}, Top: 2, Left: 1},
		{N: 4, Ins: 32, Outs: 32, In: Shape2D{27, 26}, Out: Shape2D{27, 26}, Top: 1, Left: 1},
	}
	eachISA(t, func(t *testing.T) {
		for i, c := range cases {
			what := fmt.Sprintf("case %d", i)
			rng := rand.New(rand.NewPCG(11, uint64(i)))
			x, w := random(rng, c.N*c.Ins*c.In.H*c.In.W), random(rng, c.Outs*c.Ins*9)
			dy, before := random(rng, c.N*c.Outs*c.Out.H*c.Out.W), random(rng, max(len(x), len(w), c.N*c.Outs*c.Out.H*c.Out.W))
			y, dx, dw := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(w))
			plane := c.In.H * c.In.W
			index := make([]float32, len(x)) // slide tells values, not places
			for i := range index {
				index[i] = float32(i)
			}
			slide(index, c.N, c.Ins, c.In.H, c.In.W, 0, c.Ins, 3, 3, 1, 1, c.Top, c.Left, c.Out, func(image, yy, xx, ch, tap int, v float64) {
				from := int(v)
				if from/plane%c.Ins != ch {
					t.Fatal("slide tells another channel")
				}
				for o := range c.Outs {
					to, filter := ((image*c.Outs+o)*c.Out.H+yy)*c.Out.W+xx, (o*c.Ins+ch)*9+tap
					y[to] += float64(x[from]) * float64(w[filter])
					dx[from] += float64(dy[to]) * float64(w[filter])
					dw[filter] += float64(dy[to]) * float64(x[from])
				}
			})
			check := func(name string, want []float64, scale int, run func(workers int, dst []float32, accumulate bool)) {
				t.Helper()
				for _, accumulate := range []bool{false, true} {
					expected := slices.Clone(want)
					if accumulate {
						for i := range expected {
							expected[i] += float64(before[i])
						}
					}
					var first []float32
					for _, workers := range []int{1, 2, 3} {
						got := slices.Clone(before[:len(want)+1])
						run(workers, got[:len(want)], accumulate)
						near(t, what+", "+name, got, expected, float64(scale))
						if got[len(want)] != before[len(want)] {
							t.Fatalf("%s, %s: wrote beyond the end", what, name)
						}
						if first != nil && !slices.Equal(first, got) {
							t.Fatalf("%s, %s: %d workers compute other bits than one", what, name, workers)
						}
						first = got
					}
				}
			}
			before = append(before, 7)
			check("y", y, 9*c.Ins, func(workers int, dst []float32, accumulate bool) { c.Run(workers, dst, x, w, accumulate) })
			check("dx", dx, 9*c.Outs, func(workers int, dst []float32, accumulate bool) { c.InputGrad(workers, dst, dy, w, accumulate) })
			check("dw", dw, c.N*c.Out.H*c.Out.W, func(workers int, dst []float32, accumulate bool) { c.WeightGrad(workers, dst, x, dy, accumulate) })
		}
	})
}

func BenchmarkConv3x3(b *testing.B) {
	for _, s := range []struct{ channels, side int }{{64, 56}, {128, 28}, {256, 14}, {512, 7}} {
		rng := rand.New(rand.NewPCG(3, 4))
		c := &Conv3x3{N: 8, Ins: s.channels, Outs: s.channels, In: Shape2D{s.side, s.side}, Out: Shape2D{s.side, s.side}, Top: 1, Left: 1}
		x, w := random(rng, c.N*c.Ins*s.side*s.side), random(rng, c.Outs*c.Ins*9)
		y, dw := make([]float32, len(x)), make([]float32, len(w))
		for _, r := range []struct {
			name string
			run  func()
		}{
			{"forward", func() { c.Run(1, y, x, w, false) }},
			{"input", func() { c.InputGrad(1, y, x, w, false) }},
			{"weights", func() { c.WeightGrad(1, dw, x, y, false) }},
		} {
			b.Run(fmt.Sprintf("%s/%dch@%d", r.name, s.channels, s.side), func(b *testing.B) {
				for b.Loop() {
					r.run()
				}
				flops := 2 * float64(c.N*s.side*s.side) * float64(9*c.Ins*c.Outs)
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
