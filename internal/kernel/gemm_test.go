package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/internal/race"
)

func at(m Matrix, i, j int) float64 {
	if m.T {
		return float64(m.Data[j*m.Cols+i])
	}
	return float64(m.Data[i*m.Cols+j])
}

func matrix(rng *rand.Rand, rows, cols int, transposed bool) Matrix {
	m := Matrix{random(rng, rows*cols), rows, cols, transposed}
	if transposed {
		m.Rows, m.Cols = cols, rows
	}
	return m
}

func TestMatMulAgreesWithPlainLoops(t *testing.T) {
	sizes := [][3]int{{1, 1, 1}, {2, 3, 5}, {10, 65, 48}, {48, 65, 10}, {17, 4, 33}, {64, 64, 64}, {5, 1030, 70}, {100, 513, 31}, {130, 96, 200}, {14, 700, 16}}
	for i := 1; i <= 31; i++ {
		sizes = append(sizes, [3]int{i, 8, 20}, [3]int{3, i, 40}, [3]int{9, 5, 2 * i})
	}
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for i, size := range sizes {
			m, k, n := size[0], size[1], size[2]
			a, b := matrix(rng, m, k, i%2 == 1), matrix(rng, k, n, i/2%2 == 1)
			start := random(rng, m*n)
			for _, accumulate := range []bool{false, true} {
				want := make([]float64, m*n)
				for r := range m {
					for c := range n {
						if accumulate {
							want[r*n+c] = float64(start[r*n+c])
						}
						for l := range k {
							want[r*n+c] += at(a, r, l) * at(b, l, c)
						}
					}
				}
				memory := make([]float32, m*n+2)
				memory[0], memory[m*n+1] = guard, guard
				got := memory[1 : 1+m*n]
				copy(got, start)
				MatMul(1, got, a, b, accumulate)
				what := fmt.Sprintf("%v, transposed %v %v, accumulate %v", size, a.T, b.T, accumulate)
				near(t, what, got, want, float64(k))
				if memory[0] != guard || memory[m*n+1] != guard {
					t.Fatalf("%s: wrote outside", what)
				}
				again := slices.Clone(start)
				MatMul(3, again, a, b, accumulate)
				if !slices.Equal(again, got) {
					t.Fatalf("%s: three workers compute other bits than one", what)
				}
			}
		}
	})
}

// Few rows take a way of their own, to the same bits: a picture's gradient does not depend on how many are judged at once.
func TestFewRowsHaveTheBitsOfMany(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, size := range [][2]int{{5, 256}, {1030, 272}, {40, 2064}} {
			k, n := size[0], size[1]
			for _, transposed := range []bool{false, true} {
				a, b := matrix(rng, 6, k, transposed), matrix(rng, k, n, false)
				start := random(rng, 6*n)
				for _, accumulate := range []bool{false, true} {
					whole := slices.Clone(start)
					MatMul(1, whole, a, b, accumulate)
					for m := 1; m <= 4; m++ {
						few := Matrix{Data: make([]float32, m*k), Rows: m, Cols: k, T: transposed}
						if transposed {
							few.Rows, few.Cols = k, m
						}
						for r := range m {
							for l := range k {
								if transposed {
									few.Data[l*m+r] = a.Data[l*6+r]
								} else {
									few.Data[r*k+l] = a.Data[r*k+l]
								}
							}
						}
						for workers := 1; workers <= 3; workers++ {
							got := slices.Clone(start[:m*n])
							MatMul(workers, got, few, b, accumulate)
							if !slices.Equal(got, whole[:m*n]) {
								t.Fatalf("%d rows of %v, transposed %v, accumulate %v, %d workers: other bits than among six", m, size, transposed, accumulate, workers)
							}
						}
					}
				}
			}
		}
	})
}

func TestMatMulRefusesMatricesThatDoNotFit(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MatMul(1, make([]float32, 4), Matrix{Data: make([]float32, 6), Rows: 2, Cols: 3}, Matrix{Data: make([]float32, 4), Rows: 2, Cols: 2}, false)
}

// Nothing is allocated once memory has been handed out: small networks take thousands of steps a second.
func TestMatMulAllocatesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	a, b := matrix(rng, 10, 65, false), matrix(rng, 65, 48, true)
	c := make([]float32, 480)
	if n := testing.AllocsPerRun(100, func() { MatMul(2, c, a, b, false) }); n > 0 && !race.Enabled {
		t.Errorf("%v allocations", n)
	}
}

// slide is the plain definition of a correlation: f is called for every product.
func slide(x []float32, n, channels, h, w, first, c, kh, kw, stride, dilation, top, left int, out Shape2D, f func(image, y, xx, ch, tap int, v float64)) {
	for image := range n {
		for y := range out.H {
			for xx := range out.W {
				for ch := range c {
					for ky := range kh {
						for kx := range kw {
							sy, sx := y*stride+ky*dilation-top, xx*stride+kx*dilation-left
							if sy >= 0 && sy < h && sx >= 0 && sx < w {
								f(image, y, xx, ch, ky*kw+kx, float64(x[((image*channels+first+ch)*h+sy)*w+sx]))
							}
						}
					}
				}
			}
		}
	}
}

func TestCorrelationAgreesWithPlainLoops(t *testing.T) {
	cases := []struct{ n, channels, h, w, first, c, m, kh, kw, stride, dilation, top, left, below, right int }{
		{1, 3, 9, 8, 0, 3, 5, 3, 3, 1, 1, 1, 1, 1, 1},
		{2, 16, 14, 14, 0, 16, 40, 3, 3, 1, 1, 1, 1, 1, 1},
		{3, 20, 7, 7, 0, 20, 33, 3, 3, 1, 1, 1, 1, 1, 1},
		{2, 3, 31, 30, 0, 3, 20, 7, 7, 2, 1, 3, 3, 3, 3},
		{2, 17, 13, 12, 0, 17, 16, 3, 3, 2, 1, 1, 1, 1, 1},
		{2, 12, 8, 9, 0, 12, 30, 1, 1, 1, 1, 0, 0, 0, 0},
		{2, 12, 8, 9, 0, 12, 30, 1, 1, 2, 1, 0, 0, 0, 0},
		{1, 5, 11, 10, 0, 5, 6, 3, 3, 1, 2, 2, 2, 2, 2},
		{2, 8, 9, 9, 4, 4, 3, 3, 2, 1, 1, 1, 0, 1, 1}, // a group's channels, a window that is no square
		{1, 4, 6, 6, 0, 4, 4, 4, 4, 3, 1, 1, 2, 0, 1},
		{2, 6, 10, 10, 0, 6, 7, 3, 3, 1, 1, -1, -2, -1, -2}, // negative padding cuts
		{2, 3, 9, 40, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1},      // depthwise
		{2, 3, 9, 40, 2, 1, 1, 5, 5, 2, 1, 2, 2, 2, 2},
		{1, 70, 20, 40, 0, 70, 96, 3, 3, 1, 1, 1, 1, 1, 1}, // more than one block deep
	}
	eachISA(t, func(t *testing.T) {
		for i, c := range cases {
			what := fmt.Sprintf("case %d", i)
			rng := rand.New(rand.NewPCG(5, uint64(i)))
			out := Shape2D{(c.h+c.top+c.below-(c.kh-1)*c.dilation-1)/c.stride + 1, (c.w+c.left+c.right-(c.kw-1)*c.dilation-1)/c.stride + 1}
			x := random(rng, c.n*c.channels*c.h*c.w)
			taps := SlidingTaps(nil, c.kh, c.kw, c.stride, c.dilation)
			last := taps[len(taps)-1]
			p := &Planes{N: c.n, C: c.channels, Stride: c.stride, H: out.H + last.Row, W: out.W + last.Column}
			for _, tap := range taps {
				p.H, p.W = max(p.H, out.H+tap.Row), max(p.W, out.W+tap.Column)
			}
			p.Data = make([]float32, PlanesSize(p.N, p.C, p.Stride, Shape2D{p.H, p.W}))
			for i := range p.Data {
				p.Data[i] = guard
			}
			p.Fill(2, x, Shape2D{c.h, c.w}, c.top, c.left)
			weights := random(rng, c.m*c.c*len(taps))
			const spare = 2 // channels of other groups before and after
			corr := &Correlation{Planes: p, First: c.first, C: c.c, Taps: taps, Out: out, M: c.m, Weights: weights, At: spare, Channels: c.m + 2*spare}
			start := random(rng, c.n*corr.Channels*out.H*out.W)
			plane := out.H * out.W
			for _, accumulate := range []bool{false, true} {
				want := make([]float64, len(start))
				for i, v := range start {
					if ch := i / plane % corr.Channels; accumulate || ch < spare || ch >= spare+c.m {
						want[i] = float64(v)
					}
				}
				slide(x, c.n, c.channels, c.h, c.w, c.first, c.c, c.kh, c.kw, c.stride, c.dilation, c.top, c.left, out, func(image, y, xx, ch, tap int, v float64) {
					for o := range c.m {
						want[((image*corr.Channels+spare+o)*out.H+y)*out.W+xx] += v * float64(weights[(o*c.c+ch)*len(taps)+tap])
					}
				})
				corr.Y = slices.Clone(start)
				corr.Run(1, accumulate)
				near(t, what, corr.Y, want, float64(c.c*len(taps)))
				one := corr.Y
				corr.Y = slices.Clone(start)
				corr.Run(3, accumulate)
				if !slices.Equal(one, corr.Y) {
					t.Fatalf("%s: three workers compute other bits than one", what)
				}
			}
			corr.Y = start
			before := random(rng, len(weights))
			for _, accumulate := range []bool{false, true} {
				want := make([]float64, len(weights))
				if accumulate {
					for i, v := range before {
						want[i] = float64(v)
					}
				}
				slide(x, c.n, c.channels, c.h, c.w, c.first, c.c, c.kh, c.kw, c.stride, c.dilation, c.top, c.left, out, func(image, y, xx, ch, tap int, v float64) {
					for o := range c.m {
						want[(o*c.c+ch)*len(taps)+tap] += v * float64(start[((image*corr.Channels+spare+o)*out.H+y)*out.W+xx])
					}
				})
				got := slices.Clone(before)
				corr.WeightGrad(1, got, accumulate)
				near(t, what+", gradient", got, want, float64(c.n*plane))
				again := slices.Clone(before)
				corr.WeightGrad(3, again, accumulate)
				if !slices.Equal(got, again) {
					t.Fatalf("%s: three workers compute other gradients than one", what)
				}
			}
		}
	})
}

func TestRowFunctions(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for n := 0; n < 150; n++ {
			x, y, old := random(rng, n), random(rng, n), random(rng, n)
			memory := make([]float32, n+2)
			got := memory[1 : 1+n]
			check := func(what string, want func(i int) float64) {
				t.Helper()
				if memory[0] != guard || memory[n+1] != guard {
					t.Fatalf("%s of %d values wrote outside", what, n)
				}
				for i, v := range got {
					if d := math.Abs(float64(v) - want(i)); !(d <= 1e-6) {
						t.Fatalf("%s of %d values: value %d is %v, want %v", what, n, i, v, want(i))
					}
				}
			}
			reset := func() {
				memory[0], memory[n+1] = guard, guard
				copy(got, old)
			}
			wide := func(v float32) float64 { return float64(v) }
			reset()
			Affine(got, x, y, 2, -3, 0.5, -1, 1.5)
			check("Affine", func(i int) float64 { return min(max(2*wide(x[i])-3*wide(y[i])+0.5, -1), 1.5) })
			reset()
			Affine(got, x, nil, 2, 7, 0.5, 0, inf)
			check("Affine without y", func(i int) float64 { return max(2*wide(x[i])+0.5, 0) })
			reset()
			Axpy(got, x, 0.25)
			check("Axpy", func(i int) float64 { return wide(old[i]) + 0.25*wide(x[i]) })
			for _, keep := range []float32{0, 1} {
				reset()
				Gate(got, x, y, keep, 0, 0.5)
				check("Gate", func(i int) float64 {
					v := wide(keep) * wide(old[i])
					if y[i] > 0 && y[i] < 0.5 {
						v += wide(x[i])
					}
					return v
				})
			}
			sum, product := Moments(x, y, 0.25, -0.5)
			wantSum, wantProduct := 0.0, 0.0
			for i := range x {
				wantSum += wide(y[i]) + 0.5
				wantProduct += (wide(x[i]) - 0.25) * (wide(y[i]) + 0.5)
			}
			if math.Abs(sum-wantSum) > 1e-5 || math.Abs(product-wantProduct) > 1e-5 {
				t.Fatalf("Moments of %d values: %v %v, want %v %v", n, sum, product, wantSum, wantProduct)
			}
		}
	})
}

// What does not pass the gate must not reach the result, not even as 0·NaN.
func TestGateStopsNaN(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		nan := float32(math.NaN())
		x, y, dst := make([]float32, 20), make([]float32, 20), make([]float32, 20)
		for i := range x {
			x[i], y[i], dst[i] = nan, -1, nan
		}
		Gate(dst, x, y, 0, 0, inf)
		for i, v := range dst {
			if v != 0 {
				t.Fatalf("value %d is %v, want 0", i, v)
			}
		}
	})
}

func BenchmarkMatMul(b *testing.B) {
	for _, n := range []int{256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(3, 4))
			x, y := matrix(rng, n, n, false), matrix(rng, n, n, false)
			c := make([]float32, n*n)
			for b.Loop() {
				MatMul(1, c, x, y, false)
			}
			b.ReportMetric(2*float64(n)*float64(n)*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// BenchmarkFewRows is the gradient of one picture before VGG-16's widest layer.
func BenchmarkFewRows(b *testing.B) {
	for _, m := range []int{1, 4, 5} {
		b.Run(fmt.Sprint(m), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(3, 4))
			x, y := matrix(rng, m, 4096, false), matrix(rng, 4096, 25088, false)
			c := make([]float32, m*25088)
			for b.Loop() {
				MatMul(1, c, x, y, false)
			}
			b.ReportMetric(4*4096*25088*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

func BenchmarkCorrelation(b *testing.B) {
	for _, c := range []struct{ channels, side int }{{64, 56}, {128, 28}, {256, 14}, {512, 7}} {
		rng := rand.New(rand.NewPCG(3, 4))
		const n = 8
		taps := SlidingTaps(nil, 3, 3, 1, 1)
		p := &Planes{N: n, C: c.channels, Stride: 1, H: c.side + 2, W: c.side + 2}
		p.Data = make([]float32, PlanesSize(n, c.channels, 1, Shape2D{p.H, p.W}))
		x := random(rng, n*c.channels*c.side*c.side)
		corr := &Correlation{Planes: p, C: c.channels, Taps: taps, Out: Shape2D{c.side, c.side}, M: c.channels, Weights: random(rng, c.channels*c.channels*9), Channels: c.channels}
		corr.Y = make([]float32, len(x))
		flops := 2 * float64(n*c.side*c.side) * float64(c.channels*c.channels*9)
		rate := func(b *testing.B) {
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		}
		b.Run(fmt.Sprintf("%dch@%d", c.channels, c.side), func(b *testing.B) {
			for b.Loop() {
				p.Fill(1, x, Shape2D{c.side, c.side}, 1, 1)
				corr.Run(1, false)
			}
			rate(b)
		})
		grad := make([]float32, len(corr.Weights))
		b.Run(fmt.Sprintf("grad %dch@%d", c.channels, c.side), func(b *testing.B) {
			for b.Loop() {
				corr.WeightGrad(1, grad, false)
			}
			rate(b)
		})
	}
}
