package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/internal/cpu"
)

// eachInt8 runs a test with every set of functions on levels, forced in turn; those that this machine lacks are skipped by name.
func eachInt8(t *testing.T, f func(t *testing.T)) {
	for _, c := range []struct {
		name string
		isa  cpu.ISA
		vnni bool
	}{{"generic", cpu.Generic, false}, {"avx2", cpu.AVX2, false}, {"avx512", cpu.AVX512, false}, {"avx512-vnni", cpu.AVX512, true}} {
		t.Run(c.name, func(t *testing.T) {
			if !slices.Contains(cpu.Available(), c.isa) || c.vnni && !cpu.HasVNNI() {
				t.Skipf("this machine and build have %v, VNNI: %v", cpu.Available(), cpu.HasVNNI())
			}
			old := use8
			s := int8SetOf(c.isa, c.vnni)
			use8 = func() *int8Set { return s }
			defer func() { use8 = old }()
			f(t)
		})
	}
}

// levels lays random levels in memory full of guards.
func levels(rng *rand.Rand, l Levels, top int) (*Levels, []uint8) {
	const around = 64
	memory := make([]uint8, l.Size()+2*around)
	for i := range memory {
		memory[i] = guard % 256
	}
	l.Data = memory[around : around+l.Size()]
	for b := range l.Blocks() {
		l.frame(b)
		for y := range l.H {
			for i := range l.Data[l.at(b, y, 0):][:l.W*l.Lanes] {
				l.Data[l.at(b, y, 0)+i] = uint8(rng.IntN(top + 1))
				if rng.IntN(4) == 0 { // sums reach their limits
					l.Data[l.at(b, y, 0)+i] = uint8(top)
				}
			}
		}
	}
	return &l, memory
}

// level is one channel's level, Zero outside the picture.
func (l *Levels) level(c, y, x int) int {
	if y < 0 || y >= l.H || x < 0 || x >= l.W {
		return int(l.Zero)
	}
	return int(l.Data[l.at(c/l.Lanes, y, x)+c%l.Lanes])
}

func checkLevelGuards(t *testing.T, l *Levels, memory []uint8) {
	t.Helper()
	for i, v := range memory {
		if (i < 64 || i >= 64+l.Size()-levelSlack) && v != guard%256 {
			t.Fatalf("wrote outside the levels, at %d of %d", i-64, l.Size())
		}
	}
	for b := range l.Blocks() {
		for y := -l.Border; y < l.H+l.Border; y++ {
			for x := -l.Border; x < l.W+l.Border; x++ {
				inside := y >= 0 && y < l.H && x >= 0 && x < l.W
				for i, v := range l.Data[l.at(b, y, x):][:l.Lanes] {
					if !inside && v != l.Zero {
						t.Fatalf("border (%d,%d,%d,%d) is %d, want %d", b, y, x, i, v, l.Zero)
					}
				}
			}
		}
	}
}

type conv8Case struct {
	ConvSpec
	h, w            int
	pad, after      [2]int
	lanes, top      int
	zero            uint8
	least, greatest int // weights
	add, again      bool
}

var conv8Cases = []conv8Case{
	{ConvSpec{3, 64, 7, 2, 1}, 30, 23, [2]int{3, 3}, [2]int{3, 3}, 3, 255, 128, -64, 64, false, false},
	{ConvSpec{3, 20, 3, 1, 2}, 9, 14, [2]int{2, 2}, [2]int{2, 2}, 3, 255, 3, -128, 127, false, false},
	{ConvSpec{1, 16, 5, 1, 1}, 9, 14, [2]int{2, 2}, [2]int{2, 2}, 1, 255, 0, -128, 127, false, true},
	{ConvSpec{5, 16, 1, 1, 1}, 3, 5, [2]int{}, [2]int{}, 5, 200, 7, -3, 127, false, true},
	{ConvSpec{64, 32, 3, 1, 1}, 7, 7, [2]int{1, 1}, [2]int{1, 1}, 16, 127, 0, -64, 64, true, true},
	{ConvSpec{17, 33, 3, 2, 1}, 14, 13, [2]int{1, 1}, [2]int{1, 1}, 16, 255, 255, -128, 127, false, false},
	{ConvSpec{40, 48, 3, 1, 1}, 5, 6, [2]int{1, 0}, [2]int{0, 1}, 16, 255, 0, -128, -128, true, false}, // every step is cut in two
	{ConvSpec{40, 48, 3, 1, 1}, 5, 6, [2]int{1, 0}, [2]int{0, 1}, 16, 255, 0, 127, 127, true, false},
	{ConvSpec{64, 48, 1, 2, 1}, 8, 8, [2]int{}, [2]int{}, 16, 255, 10, -64, 64, false, false},
	{ConvSpec{20, 16, 3, 1, 2}, 12, 9, [2]int{2, 2}, [2]int{2, 2}, 16, 127, 100, -100, 127, false, true},
	{ConvSpec{513, 10, 1, 1, 1}, 1, 1, [2]int{}, [2]int{}, 16, 255, 9, -127, 127, false, false}, // a product of matrices
	{ConvSpec{16, 48, 3, 1, 1}, 1, 1, [2]int{1, 1}, [2]int{1, 1}, 16, 1, 0, 0, 0, true, true},
}

// Every sum is an exact integer, and what follows is defined to the bit: every set of functions must give the bytes of plain loops.
func TestConv8AgreesWithPlainLoops(t *testing.T) {
	cases := slices.Clone(conv8Cases)
	for w := 1; w <= 30; w++ { // every way to cover a row by tiles
		cases = append(cases, conv8Case{ConvSpec{32, 16, 1, 1, 1}, 2, w, [2]int{}, [2]int{}, 16, 255, 5, -64, 64, false, false})
	}
	eachInt8(t, func(t *testing.T) {
		for i, c := range cases {
			checkConv8(t, c, uint64(i))
		}
	})
}

func FuzzConv8(f *testing.F) {
	f.Add(uint64(1), uint16(64), uint16(20), uint8(3), uint8(255), uint8(0), int8(-64), int8(64))
	f.Add(uint64(2), uint16(3), uint16(16), uint8(2), uint8(255), uint8(128), int8(-128), int8(127))
	f.Fuzz(func(t *testing.T, seed uint64, in, out uint16, kernel, top, zero uint8, least, greatest int8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		k := int(kernel)%4 + 1
		c := conv8Case{
			ConvSpec: ConvSpec{int(in)%80 + 1, int(out)%40 + 1, k, 1 + rng.IntN(2), 1}, h: k + rng.IntN(5), w: k + rng.IntN(9),
			pad: [2]int{rng.IntN(k), rng.IntN(k)}, lanes: Block, top: int(top), zero: zero,
			least: int(min(least, greatest)), greatest: int(max(least, greatest)), add: rng.IntN(2) == 0, again: rng.IntN(2) == 0,
		}
		c.lanes = min(c.In, Block)
		eachInt8(t, func(t *testing.T) { checkConv8(t, c, seed) })
	})
}

func checkConv8(t *testing.T, c conv8Case, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(8, seed))
	top := max(c.top, int(c.zero))
	oh := (c.h+c.pad[0]+c.after[0]-(c.Kernel-1)*c.Dilation-1)/c.Stride + 1
	ow := (c.w+c.pad[1]+c.after[1]-(c.Kernel-1)*c.Dilation-1)/c.Stride + 1
	weight, bias := make([]int8, c.Out*c.In*c.Kernel*c.Kernel), make([]int32, c.Out)
	for i := range weight {
		weight[i] = int8(c.least + rng.IntN(c.greatest-c.least+1))
	}
	for i := range bias {
		bias[i] = rng.Int32N(20000) - 10000
	}
	border := slices.Max([]int{c.pad[0], c.pad[1], c.after[0], c.after[1]})
	in, _ := levels(rng, Levels{C: c.In, H: c.h, W: c.w, Border: border, Lanes: c.lanes, Zero: c.zero}, top)
	out, memory := levels(rng, Levels{C: c.Out, H: oh, W: ow, Border: 1, Lanes: Block, Zero: uint8(rng.IntN(256))}, 255)
	reach := float32(255*128*c.In*c.Kernel*c.Kernel) / 4
	q := &Quantizing{Scale: make([]float32, c.Out), Range: Range{-float32(out.Zero), 255 - float32(out.Zero)}}
	for i := range q.Scale {
		q.Scale[i] = 300 / reach * (0.1 + rng.Float32())
	}
	s := Step8{Out: out, In: in, Pad: c.pad, Quantize: q}
	other := Levels{C: c.Out, H: oh, W: ow, Border: 2, Lanes: Block, Zero: uint8(rng.IntN(256))}
	s.Residual, _ = levels(rng, other, 255)
	if c.add {
		q.Add = &QuantizedSum{Own: 0.01 + rng.Float32(), Other: 0.01 + rng.Float32(), Level: 0.5 + rng.Float32(), Range: q.Range}
	}
	if c.again {
		q.Again = &Requantizing{From: 0.5 + rng.Float32(), To: 0.5 + rng.Float32(), Range: Range{max(q.Range.Lo, -3), q.Range.Hi}}
	}
	q.Prepare(out.Zero, other.Zero)
	conv := NewConv8(c.ConvSpec, Input8{Lanes: c.lanes, Zero: c.zero, Top: uint8(top)}, weight, bias)
	conv.Run(1, &s, conv.Offsets(in))
	checkLevelGuards(t, out, memory)
	first := slices.Clone(out.Data)
	for oc := range c.Out {
		for y := range oh {
			for x := range ow {
				sum := int(bias[oc])
				for ic := range c.In {
					for t := range c.Kernel * c.Kernel {
						l := in.level(ic, y*c.Stride-c.pad[0]+t/c.Kernel*c.Dilation, x*c.Stride-c.pad[1]+t%c.Kernel*c.Dilation)
						sum += (l - int(c.zero)) * int(weight[(oc*c.In+ic)*c.Kernel*c.Kernel+t])
					}
				}
				want := q.plain(sum, oc, s.Residual.level(oc, y, x), int(other.Zero)) + int(out.Zero)
				if got := out.level(oc, y, x); got != want {
					t.Fatalf("%+v: channel %d at (%d,%d) of sum %d is %d, want %d", c, oc, y, x, sum, got, want)
				}
			}
		}
	}
	clear(out.Data[:out.Size()-levelSlack])
	conv.Run(3, &s, conv.Offsets(in))
	if !slices.Equal(first, out.Data) {
		t.Fatalf("%+v: three workers give other levels than one", c)
	}
}

// plain is Quantizing's formula, less the zero.
func (q *Quantizing) plain(sum, c, residual, zero int) int {
	round := func(v float32, r Range) float32 {
		return float32(math.RoundToEven(float64(max(r.Lo, min(r.Hi, v)))))
	}
	v := round(float32(sum)*q.Scale[c], q.Range)
	if a := q.Add; a != nil {
		own, other := v*a.Own, float32(residual-zero)*a.Other
		v = round((float32(own)+float32(other))/a.Level, a.Range)
	}
	if a := q.Again; a != nil {
		v = round(v*a.From/a.To, a.Range)
	}
	return int(v)
}

// A scale of one half puts every odd sum on a tie: to the even neighbour, before the zero is added.
func TestQuantizingRoundsTiesToEven(t *testing.T) {
	// sums -7..8: 3 + {-3.5→-3, -3, -2.5→-2, -2, -1.5→-2, -1, -0.5→0, 0, 0.5→0, 1, 1.5→2, 2, then limited to 2}
	want := []uint8{0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 5, 5, 5, 5, 5, 5}
	eachInt8(t, func(t *testing.T) {
		in := &Levels{C: 16, H: 1, W: 1, Lanes: Block, Zero: 7, Data: make([]uint8, 16+levelSlack)}
		for i := range Block {
			in.Data[i] = uint8(i)
		}
		out := &Levels{C: 16, H: 1, W: 1, Lanes: Block, Zero: 3, Data: make([]uint8, 16+levelSlack)}
		q := &Quantizing{Scale: slices.Repeat([]float32{0.5}, 16), Range: Range{-3, 2}}
		q.Prepare(out.Zero, 0)
		Requantize8(1, &Step8{Out: out, In: in, Quantize: q})
		if !slices.Equal(out.Data[:Block], want) {
			t.Errorf("levels %v, want %v", out.Data[:Block], want)
		}
	})
}

func TestPoolsOfLevels(t *testing.T) {
	eachInt8(t, func(t *testing.T) {
		for i, k := range []TapSpec{{32, 3, 2, 1}, {20, 2, 2, 1}, {16, 3, 1, 2}, {48, 5, 3, 1}, {16, 1, 1, 1}} {
			for _, size := range [][2]int{{9, 11}, {10, 7}, {5, 5}, {16, 29}} {
				rng := rand.New(rand.NewPCG(9, uint64(i)))
				pad := (k.Kernel - 1) * k.Dilation / 2
				in, _ := levels(rng, Levels{C: k.Channels, H: size[0], W: size[1], Border: 1, Lanes: Block, Zero: 200}, 100)
				oh, ow := (size[0]+2*pad-(k.Kernel-1)*k.Dilation-1)/k.Stride+1, (size[1]+2*pad-(k.Kernel-1)*k.Dilation-1)/k.Stride+1
				out, memory := levels(rng, Levels{C: k.Channels, H: oh, W: ow, Border: 2, Lanes: Block, Zero: 200}, 100)
				MaxPool8(2, k, &Step8{Out: out, In: in, Pad: [2]int{pad, pad}})
				checkLevelGuards(t, out, memory)
				for c := range k.Channels {
					for o := range oh * ow {
						want := 0
						for n := range k.Kernel * k.Kernel {
							y, x := o/ow*k.Stride-pad+n/k.Kernel*k.Dilation, o%ow*k.Stride-pad+n%k.Kernel*k.Dilation
							if y >= 0 && y < in.H && x >= 0 && x < in.W {
								want = max(want, in.level(c, y, x))
							}
						}
						if got := out.level(c, o/ow, o%ow); got != want {
							t.Fatalf("%+v of %v: channel %d at %d is %d, want %d", k, size, c, o, got, want)
						}
					}
				}
			}
		}
		mean := &Levels{C: 20, H: 1, W: 1, Lanes: Block, Zero: 0, Data: make([]uint8, 32+levelSlack)}
		in, _ := levels(rand.New(rand.NewPCG(9, 9)), Levels{C: 20, H: 3, W: 5, Border: 1, Lanes: Block, Zero: 2}, 255)
		q := &Quantizing{Scale: slices.Repeat([]float32{1. / 15}, 20), Range: Range{0, 255}}
		q.Prepare(0, 0)
		Mean8(&Step8{Out: mean, In: in, Quantize: q})
		for c := range 20 {
			sum := 0
			for i := range 15 {
				sum += in.level(c, i/5, i%5) - 2
			}
			if got, want := mean.level(c, 0, 0), q.plain(sum, c, 0, 0); got != want {
				t.Errorf("mean of channel %d is %d, want %d", c, got, want)
			}
		}
	})
}

func TestLevelsOfAPicture(t *testing.T) {
	l := &Levels{C: 1, H: 1, W: 9, Border: 1, Lanes: 1, Zero: 100}
	l.Data = make([]uint8, l.Size())
	l.Load([]float32{0, 0.5, 1.5, -0.5, 2.4, -1e9, 1e9, float32(math.NaN()), 3.75}, 0.5, Range{-100, 27})
	row := l.Data[l.at(0, 0, -1):][:11]
	// by hand: x/0.5 rounded, plus 100; 2.4/0.5 = 4.8, 3.75/0.5 = 7.5 is a tie
	if want := []uint8{100, 100, 101, 103, 99, 105, 0, 127, 0, 108, 100}; !slices.Equal(row, want) {
		t.Errorf("levels %v, want %v", row, want)
	}
	back := make([]float32, 9)
	l.Store(back, 0.5)
	if want := []float32{0, 0.5, 1.5, -0.5, 2.5, -50, 13.5, -50, 4}; !slices.Equal(back, want) {
		t.Errorf("values %v, want %v", back, want)
	}
}

func BenchmarkConv8(b *testing.B) {
	for _, c := range []struct {
		ConvSpec
		size int
	}{{ConvSpec{64, 64, 3, 1, 1}, 56}, {ConvSpec{128, 128, 3, 1, 1}, 28}, {ConvSpec{256, 256, 3, 1, 1}, 14}, {ConvSpec{3, 64, 7, 2, 1}, 224}, {ConvSpec{64, 128, 1, 2, 1}, 56}} {
		b.Run(fmt.Sprintf("%dx%d_%d@%d", c.Kernel, c.In, c.Out, c.size), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(4, 0))
			weight := make([]int8, c.Out*c.In*c.Kernel*c.Kernel)
			for i := range weight { // as in trained networks: few are large
				weight[i] = int8(max(-64, min(64, 10*rng.NormFloat64())))
			}
			pad := c.Kernel / 2
			lanes := min(c.In, Block)
			in, _ := levels(rng, Levels{C: c.In, H: c.size, W: c.size, Border: pad, Lanes: lanes}, 127)
			o := (c.size+2*pad-c.Kernel)/c.Stride + 1
			out, _ := levels(rng, Levels{C: c.Out, H: o, W: o, Border: 1, Lanes: Block}, 127)
			conv := NewConv8(c.ConvSpec, Input8{Lanes: lanes, Top: 127}, weight, make([]int32, c.Out))
			q := &Quantizing{Scale: slices.Repeat([]float32{0.001}, c.Out), Range: Range{0, 127}}
			q.Prepare(0, 0)
			offsets := conv.Offsets(in)
			for b.Loop() {
				conv.Run(1, &Step8{Out: out, In: in, Pad: [2]int{pad, pad}, Quantize: q}, offsets)
			}
			b.ReportMetric(2*float64(o*o*c.Out*c.In*c.Kernel*c.Kernel*b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}
