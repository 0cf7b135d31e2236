package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/internal/cpu"
)

// eachISA runs a test with every instruction set of this machine, forced in turn.
func eachISA(t *testing.T, f func(t *testing.T)) {
	for _, isa := range cpu.Available() {
		t.Run(isa.String(), func(t *testing.T) {
			old := use
			s := setOf(isa)
			use = func() *set { return s }
			defer func() { use = old }()
			f(t)
		})
	}
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

const guard = 12345

// activation lays a picture in memory full of guards, so that stale borders and writes outside show.
func activation(c, h, w, border, lanes int) (*Activation, []float32) {
	a := &Activation{C: c, H: h, W: w, Border: border, Lanes: lanes}
	memory := aligned(a.Size() + 64)
	for i := range memory {
		memory[i] = guard
	}
	a.Data = memory[32 : 32+a.Size()]
	return a, memory
}

func checkGuards(t *testing.T, a *Activation, memory []float32) {
	t.Helper()
	for i, v := range memory {
		if (i < 32 || i >= 32+a.Size()) && v != guard {
			t.Fatalf("wrote outside the activation, at %d of %d", i-32, a.Size())
		}
	}
	for b := range a.Blocks() {
		for y := -a.Border; y < a.H+a.Border; y++ {
			for x := -a.Border; x < a.W+a.Border; x++ {
				for l, v := range a.Data[a.at(b, y, x):][:a.Lanes] {
					inside := y >= 0 && y < a.H && x >= 0 && x < a.W && b*a.Lanes+l < a.C
					if !inside && v != 0 {
						t.Fatalf("border or unused lane (%d,%d,%d,%d) is %v, want 0", b, y, x, l, v)
					}
				}
			}
		}
	}
}

// window is the plain definition of everything that slides: sum or maximum over a window, in float64.
func window(x []float32, c, h, w, y0, x0, k, dilation int, f func(ky, kx int, v float64)) {
	for ky := range k {
		for kx := range k {
			if y, xx := y0+ky*dilation, x0+kx*dilation; y >= 0 && y < h && xx >= 0 && xx < w {
				f(ky, kx, float64(x[(c*h+y)*w+xx]))
			}
		}
	}
}

func clamp(v float64, l Layer) float64 { return min(max(v, float64(l.Lo)), float64(l.Hi)) }

func near(t *testing.T, what string, got []float32, want []float64, scale float64) {
	t.Helper()
	for i := range want {
		// a float32 sum of n terms of size 1 is off by a few n·2^-24 at the worst, by √n·2^-24 as a rule
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= scale*0x1p-22) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

var inf = float32(math.Inf(1))

func TestConvAgreesWithPlainLoops(t *testing.T) {
	cases := []struct {
		ConvSpec
		h, w     int
		pad      [2]int
		after    [2]int // padding below and to the right
		residual bool
		lo, hi   float32
	}{
		{ConvSpec{3, 32, 3, 2, 1}, 17, 31, [2]int{0, 0}, [2]int{1, 1}, false, 0, 6},
		{ConvSpec{4, 64, 7, 2, 1}, 30, 23, [2]int{3, 3}, [2]int{3, 3}, false, 0, inf},
		{ConvSpec{32, 16, 1, 1, 1}, 9, 16, [2]int{0, 0}, [2]int{0, 0}, false, -inf, inf},
		{ConvSpec{24, 40, 1, 1, 1}, 5, 33, [2]int{0, 0}, [2]int{0, 0}, true, -inf, inf},
		{ConvSpec{48, 80, 3, 1, 1}, 7, 7, [2]int{1, 1}, [2]int{1, 1}, true, 0, inf},
		{ConvSpec{17, 33, 3, 2, 1}, 14, 13, [2]int{1, 1}, [2]int{1, 1}, false, 0, inf},
		{ConvSpec{16, 96, 5, 1, 1}, 6, 11, [2]int{2, 2}, [2]int{2, 2}, false, -0.5, 0.5},
		{ConvSpec{20, 16, 3, 1, 2}, 12, 9, [2]int{2, 2}, [2]int{2, 2}, false, -inf, inf},
		{ConvSpec{64, 64, 1, 2, 1}, 15, 15, [2]int{0, 0}, [2]int{0, 0}, false, -inf, inf},
		{ConvSpec{16, 48, 3, 1, 1}, 1, 1, [2]int{1, 1}, [2]int{1, 1}, true, 0, 6},
		// Winograd: whole tiles, every way to cut them off, odd padding, unused lanes, and more tiles than are transformed at once
		{ConvSpec{32, 48, 3, 1, 1}, 16, 16, [2]int{1, 1}, [2]int{1, 1}, true, 0, inf},
		{ConvSpec{32, 32, 3, 1, 1}, 13, 14, [2]int{1, 1}, [2]int{1, 1}, true, -inf, inf},
		{ConvSpec{33, 47, 3, 1, 1}, 15, 19, [2]int{0, 1}, [2]int{1, 0}, false, 0, 6},
		{ConvSpec{40, 36, 3, 1, 1}, 20, 12, [2]int{0, 0}, [2]int{0, 0}, true, -0.5, 0.5},
		{ConvSpec{32, 32, 3, 1, 1}, 45, 71, [2]int{1, 1}, [2]int{1, 1}, false, 0, inf},
		// many blocks of outputs, several depths, and more pixels than a span
		{ConvSpec{600, 40, 1, 1, 1}, 7, 7, [2]int{0, 0}, [2]int{0, 0}, true, 0, inf},
		{ConvSpec{40, 300, 1, 1, 1}, 13, 11, [2]int{0, 0}, [2]int{0, 0}, false, -0.5, inf},
		{ConvSpec{300, 65, 1, 1, 1}, 9, 31, [2]int{0, 0}, [2]int{0, 0}, true, -0.5, inf},
		{ConvSpec{144, 136, 3, 1, 1}, 7, 7, [2]int{1, 1}, [2]int{1, 1}, true, 0, inf},
		{ConvSpec{50, 136, 3, 2, 1}, 14, 27, [2]int{1, 1}, [2]int{1, 1}, true, -0.5, 3},
		{ConvSpec{64, 130, 1, 2, 1}, 23, 23, [2]int{0, 0}, [2]int{0, 0}, false, 0, inf},
		{ConvSpec{20, 136, 3, 1, 2}, 9, 13, [2]int{2, 2}, [2]int{2, 2}, false, -inf, inf},
	}
	for w := 1; w <= 30; w++ { // every way to cover a row by tiles
		cases = append(cases, cases[2])
		cases[len(cases)-1].w, cases[len(cases)-1].h = w, 2
	}
	eachISA(t, func(t *testing.T) {
		for i, c := range cases {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			oh := (c.h+c.pad[0]+c.after[0]-(c.Kernel-1)*c.Dilation-1)/c.Stride + 1
			ow := (c.w+c.pad[1]+c.after[1]-(c.Kernel-1)*c.Dilation-1)/c.Stride + 1
			x, weight, bias := random(rng, c.In*c.h*c.w), random(rng, c.Out*c.In*c.Kernel*c.Kernel), random(rng, c.Out)
			residual := random(rng, c.Out*oh*ow)
			conv := NewConv(c.ConvSpec, weight, bias)
			want := make([]float64, c.Out*oh*ow)
			for o := range want {
				oc, y, xx := o/(oh*ow), o/ow%oh, o%ow
				sum := float64(bias[oc])
				for ic := range c.In {
					window(x, ic, c.h, c.w, y*c.Stride-c.pad[0], xx*c.Stride-c.pad[1], c.Kernel, c.Dilation, func(ky, kx int, v float64) {
						sum += v * float64(weight[((oc*c.In+ic)*c.Kernel+ky)*c.Kernel+kx])
					})
				}
				if c.residual {
					sum += float64(residual[o])
				}
				want[o] = clamp(sum, Layer{Lo: c.lo, Hi: c.hi})
			}
			for _, lanes := range slices.Compact([]int{conv.Lanes(), Block}) { // as the network's input lies, and as other layers' results do
				in, inMemory := activation(c.In, c.h, c.w, slices.Max([]int{c.pad[0], c.pad[1], c.after[0], c.after[1]}), lanes)
				in.Load(x)
				checkGuards(t, in, inMemory)
				for border := range 2 {
					out, memory := activation(c.Out, oh, ow, border, Block)
					v := Values{Out: out, In: in}
					if c.residual {
						v.Residual, _ = activation(c.Out, oh, ow, border, Block)
						v.Residual.Load(residual)
					}
					do(conv.Prepare(Layer{Out: *out, In: *in, Pad: c.pad, Lo: c.lo, Hi: c.hi}), v)
					checkGuards(t, out, memory)
					got := make([]float32, len(want))
					out.Store(got)
					near(t, fmt.Sprintf("case %d %+v, border %d, %d lanes", i, c, border, lanes), got, want, float64(c.In*c.Kernel*c.Kernel))
				}
			}
		}
	})
}

func TestDepthwiseAndMaxPoolAgreeWithPlainLoops(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for i, c := range []struct {
			TapSpec
			h, w int
			pad  int
		}{
			{TapSpec{32, 3, 1, 1}, 9, 20, 1}, {TapSpec{20, 5, 2, 1}, 11, 13, 2}, {TapSpec{16, 3, 2, 1}, 8, 8, 1},
			{TapSpec{7, 3, 1, 2}, 9, 6, 2}, {TapSpec{16, 2, 2, 1}, 6, 9, 0}, {TapSpec{33, 5, 1, 1}, 5, 1, 2},
		} {
			rng := rand.New(rand.NewPCG(2, uint64(i)))
			oh := (c.h+2*c.pad-(c.Kernel-1)*c.Dilation-1)/c.Stride + 1
			ow := (c.w+2*c.pad-(c.Kernel-1)*c.Dilation-1)/c.Stride + 1
			x, weight, bias := random(rng, c.Channels*c.h*c.w), random(rng, c.Channels*c.Kernel*c.Kernel), random(rng, c.Channels)
			in, _ := activation(c.Channels, c.h, c.w, c.pad, Block)
			in.Load(x)
			for i := range x { // all negative: a zero border must not win a maximum
				x[i] -= 2
			}
			low, _ := activation(c.Channels, c.h, c.w, c.pad, Block)
			low.Load(x)
			out, memory := activation(c.Channels, oh, ow, 2, Block)
			sums, maxima := make([]float64, c.Channels*oh*ow), make([]float64, c.Channels*oh*ow)
			l := Layer{Out: *out, In: *in, Pad: [2]int{c.pad, c.pad}, Lo: -0.9, Hi: 6}
			for o := range sums {
				ch, y, xx := o/(oh*ow), o/ow%oh, o%ow
				sums[o], maxima[o] = float64(bias[ch]), math.Inf(-1)
				window(x, ch, c.h, c.w, y*c.Stride-c.pad, xx*c.Stride-c.pad, c.Kernel, c.Dilation, func(ky, kx int, v float64) {
					sums[o] += float64(float32(v)+2) * float64(weight[(ch*c.Kernel+ky)*c.Kernel+kx])
					maxima[o] = max(maxima[o], v)
				})
				sums[o] = clamp(sums[o], l)
			}
			got := make([]float32, len(sums))
			do(NewDepthwise(c.TapSpec, weight, bias).Prepare(l), Values{Out: out, In: in})
			checkGuards(t, out, memory)
			out.Store(got)
			near(t, fmt.Sprintf("depthwise %+v", c), got, sums, float64(4*c.Kernel*c.Kernel))
			l.Lo = -inf
			do(PrepareMaxPool(c.TapSpec, l), Values{Out: out, In: low})
			out.Store(got)
			near(t, fmt.Sprintf("max pool %+v", c), got, maxima, 0)
		}
	})
}

func TestDistances(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 0))
		for _, dim := range []int{16, 32, 48, 64, 80, 160, 384} {
			for _, n := range []int{0, 1, 17} {
				rows, x := random(rng, n*dim), random(rng, dim)
				least := math.Inf(1)
				for j := range n {
					exact := 0.0
					for c, v := range rows[j*dim:][:dim] {
						d := float64(v) - float64(x[c])
						exact += d * d
					}
					if d := math.Abs(float64(SqDist(x, rows[j*dim:][:dim])) - exact); !(d <= 1e-6*exact) {
						t.Fatalf("dim %d: SqDist off by %v of %v", dim, d, exact)
					}
					least = min(least, exact)
				}
				if got := float64(MinSqDist(x, rows)); !(math.Abs(got-least) <= 1e-6*least) && got != least {
					t.Errorf("dim %d, %d rows: the least is %v, want %v", dim, n, got, least)
				}
			}
		}
	})
}

func BenchmarkConv(b *testing.B) {
	for _, c := range []struct {
		ConvSpec
		size int
	}{
		{ConvSpec{64, 64, 3, 1, 1}, 56}, {ConvSpec{128, 128, 3, 1, 1}, 28}, {ConvSpec{256, 256, 3, 1, 1}, 14}, {ConvSpec{512, 512, 3, 1, 1}, 7},
		{ConvSpec{96, 24, 1, 1, 1}, 64}, {ConvSpec{24, 144, 1, 1, 1}, 64}, {ConvSpec{3, 32, 3, 2, 1}, 256},
	} {
		b.Run(fmt.Sprintf("%dx%d_%d@%d", c.Kernel, c.In, c.Out, c.size), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(4, 0))
			conv := NewConv(c.ConvSpec, random(rng, c.Out*c.In*c.Kernel*c.Kernel), random(rng, c.Out))
			pad := c.Kernel / 2
			in := &Activation{C: c.In, H: c.size, W: c.size, Border: pad, Lanes: conv.Lanes()}
			in.Data = Aligned(in.Size())
			in.Load(random(rng, c.In*c.size*c.size))
			o := (c.size+2*pad-c.Kernel)/c.Stride + 1
			out := &Activation{C: c.Out, H: o, W: o, Border: 1, Lanes: Block}
			out.Data = Aligned(out.Size())
			flops := 2 * float64(o*o*c.Out*c.In*c.Kernel*c.Kernel)
			run := runner(conv.Prepare(Layer{Out: *out, In: *in, Pad: [2]int{pad, pad}, Hi: inf}), Values{Out: out, In: in})
			for b.Loop() {
				run()
			}
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

func BenchmarkDepthwise(b *testing.B) {
	for _, k := range []int{3, 5} {
		b.Run(fmt.Sprintf("%dx%d_144@64", k, k), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(5, 0))
			d := NewDepthwise(TapSpec{144, k, 1, 1}, random(rng, 144*k*k), random(rng, 144))
			in := &Activation{C: 144, H: 64, W: 64, Border: k / 2, Lanes: Block}
			in.Data = Aligned(in.Size())
			out := &Activation{C: 144, H: 64, W: 64, Lanes: Block}
			out.Data = Aligned(out.Size())
			run := runner(d.Prepare(Layer{Out: *out, In: *in, Pad: [2]int{k / 2, k / 2}, Hi: 6}), Values{Out: out, In: in})
			for b.Loop() {
				run()
			}
			b.ReportMetric(2*float64(k*k*144*64*64*b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
