package kernel

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/cpu"
	"github.com/blemish/blemish/internal/parallel"
)

// Levels is a quantised activation: bytes 0..255 in channel blocks (C/Lanes, H+2·Border, W+2·Border, Lanes). The real value of a level is
// (level - Zero)·scale; the border is filled with Zero. Lanes is Block, or C where that is smaller: a picture.
type Levels struct {
	C, H, W, Border, Lanes int
	Zero                   uint8
	Data                   []uint8
}

// levelSlack is how many bytes behind the last pixel are read, and multiplied by zero.
const levelSlack = Block

// Size is the length of Data.
func (l *Levels) Size() int { return l.Blocks()*l.plane() + levelSlack }

// Blocks is the number of channel blocks.
func (l *Levels) Blocks() int { return (l.C + l.Lanes - 1) / l.Lanes }

func (l *Levels) pitch() int { return (l.W + 2*l.Border) * l.Lanes }
func (l *Levels) plane() int { return (l.H + 2*l.Border) * l.pitch() }

// at is the index of the first lane of a pixel; y and x may lie in the border.
func (l *Levels) at(block, y, x int) int {
	return block*l.plane() + (y+l.Border)*l.pitch() + (x+l.Border)*l.Lanes
}

// frame fills the border of one block, which memory used before left dirty.
func (l *Levels) frame(block int) {
	if l.Border == 0 {
		return
	}
	p := l.Data[block*l.plane():][:l.plane()]
	edge, side := l.Border*l.pitch(), l.Border*l.Lanes
	fill(p[:edge], l.Zero)
	fill(p[len(p)-edge:], l.Zero)
	for y := range l.H {
		row := p[edge+y*l.pitch():][:l.pitch()]
		fill(row[:side], l.Zero)
		fill(row[len(row)-side:], l.Zero)
	}
}

func fill(p []uint8, v uint8) {
	if v == 0 {
		clear(p)
		return
	}
	for i := range p {
		p[i] = v
	}
}

// BytesOf views floats as bytes, so that one arena serves both.
func BytesOf(f []float32) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

// tile8Args are the arguments of a tile of bytes. The assembly knows this layout.
type tile8Args struct {
	in      unsafe.Pointer // first pixel
	offsets *int64         // bytes from in, one a step
	counts  *int64         // steps of each group
	groups  int
	weights *int8  // (steps, 16 outputs, 4 inputs)
	sums    *int32 // (P,16)
	bias    *int32 // (16), where sums begin
	stride  int    // bytes from one input pixel to the next
}

type tile8Func struct {
	pixels int
	run    func(*tile8Args)
}

// levelArgs are the arguments of requantize. The assembly knows this layout.
type levelArgs struct {
	sums      *int32         // (pixels,16)
	out       unsafe.Pointer // (pixels,16) levels
	pixels    int
	scale     *float32 // (16)
	constants *[levelConstants][8]float32
	residual  unsafe.Pointer // (pixels,16) levels; nil for none
	last      int            // whether levels are quantised once more
}

// pool8Args are the arguments of maxPool. The assembly knows this layout.
type pool8Args struct {
	in      unsafe.Pointer // first pixel
	offsets *int64         // bytes from in, one a tap
	taps    int
	out     unsafe.Pointer // (pixels,16)
	pixels  int
	stride  int // bytes from one input pixel to the next
}

// int8Set is one instruction set's functions on levels. All give the same bytes.
type int8Set struct {
	tiles      []tile8Func // by pixels, ascending
	pairs      bool        // products are summed in 16 bits within a group: its sums must fit
	fast       bool        // faster than single precision
	requantize func(*levelArgs)
	maxPool    func(*pool8Args)
	rows       func(a *tile8Args, rows int) // of levels in one group of steps, a multiple of 4, one behind the other: what Scale8 allows
	asked      func(masks *uint16, sums *int32, queries *Query8, rows int, scale, base, rest *float32)
}

// use8 is replaced in tests, to force an instruction set.
var use8 = sync.OnceValue(func() *int8Set { return int8SetOf(cpu.Active(), cpu.VNNI()) })

// tileOf is the function for rows of n pixels: of as few tiles as the widest would need, the narrowest that share the row out evenly, and none wider than
// the row while there are others.
func (s *int8Set) tileOf(n int) tile8Func {
	widest := s.tiles[len(s.tiles)-1].pixels
	tiles := (n + widest - 1) / widest
	want := (n + tiles - 1) / tiles
	best := s.tiles[0]
	for _, t := range s.tiles {
		if t.pixels <= n {
			best = t
		}
		if t.pixels >= want {
			break
		}
	}
	return best
}

// Conv8 is a convolution of levels with int8 weights. Its sums are exact, and so the same on every instruction set.
type Conv8 struct {
	spec   ConvSpec
	lanes  int // of the input
	set    *int8Set
	blocks []block8
}

// block8 are the weights of 16 output channels.
type block8 struct {
	steps   []int32 // which quad of inputs each step reads; see Conv8.quads
	counts  []int64 // steps of each group
	weights []int8  // (steps, 16, 4)
	bias    []int32 // (16)
}

// Input8 says what levels a convolution reads: as they lie, and how large they can be.
type Input8 struct {
	Lanes     int
	Zero, Top uint8
}

// NewConv8 packs weights (Out, In, Kernel, Kernel) and bias (Out), which is in units of the sums.
func NewConv8(spec ConvSpec, in Input8, weight []int8, bias []int32) *Conv8 {
	if len(weight) != spec.Out*spec.In*spec.Kernel*spec.Kernel || len(bias) != spec.Out {
		panic(fmt.Sprintf("kernel: %d weights and %d biases for %+v", len(weight), len(bias), spec))
	}
	c := &Conv8{spec: spec, lanes: in.Lanes, set: use8(), blocks: make([]block8, roundUp(spec.Out, Block)/Block)}
	for b := range c.blocks {
		c.pack(&c.blocks[b], b, in, weight, bias)
	}
	return c
}

// quad is four neighbouring bytes of the input.
type quad struct {
	block, ky, kx, byte int // byte counts from pixel kx; it may lie in the pixels behind
}

// quads are what each sum reads. In a picture, whose pixels are few bytes, a row of a window is one run of bytes.
func (c *Conv8) quads() []quad {
	k := c.spec
	var out []quad
	run := func(block, ky, kx, length int) {
		for b := 0; b < length; b += 4 {
			out = append(out, quad{block, ky, kx, b})
		}
	}
	for block := range (k.In + c.lanes - 1) / c.lanes {
		channels := min(c.lanes, k.In-block*c.lanes)
		for ky := range k.Kernel {
			if channels == c.lanes && c.lanes < Block && k.Dilation == 1 {
				run(block, ky, 0, k.Kernel*channels)
				continue
			}
			for kx := range k.Kernel {
				run(block, ky, kx, channels)
			}
		}
	}
	return out
}

// weightOf finds the weight of an output channel for byte i of a quad, 0 where there is none.
func (c *Conv8) weightOf(weight []int8, oc int, q quad, i int) int8 {
	k := c.spec
	b := q.byte + i
	kx, channel := q.kx, q.block*c.lanes+b
	if c.lanes < Block && k.Dilation == 1 {
		kx, channel = b/c.lanes, b%c.lanes
	}
	if oc >= k.Out || kx >= k.Kernel || channel >= k.In {
		return 0
	}
	return weight[((oc*k.In+channel)*k.Kernel+q.ky)*k.Kernel+kx]
}

// pack lays out the weights of one block of outputs. Where sums of two products are kept in 16 bits, steps are cut into groups such that
// no sum can leave that range, whatever the input: for each lane, Top times the sum of its positive (negative) weights stays below 32768.
// A step which alone would leave it becomes two, of half the weights each.
func (c *Conv8) pack(b *block8, block int, in Input8, weight []int8, bias []int32) {
	b.bias = make([]int32, Block)
	for j := range Block {
		if oc := block*Block + j; oc < c.spec.Out {
			b.bias[j] = bias[oc]
			per := len(weight) / c.spec.Out
			for _, w := range weight[oc*per:][:per] {
				b.bias[j] -= int32(in.Zero) * int32(w)
			}
		}
	}
	g := grouping{top: int(in.Top)}
	for i, q := range c.quads() {
		var w [4 * Block]int8
		for l := range w {
			w[l] = c.weightOf(weight, block*Block+l/4, q, l%4)
		}
		parts := [][4 * Block]int8{w}
		if c.set.pairs && !new(grouping).fits(&w, int(in.Top)) {
			var half, rest [4 * Block]int8
			for l, v := range w {
				half[l] = v / 2
				rest[l] = v - v/2
			}
			parts = [][4 * Block]int8{half, rest}
		}
		for _, p := range parts {
			b.steps = append(b.steps, int32(i))
			b.weights = append(b.weights, p[:]...)
			if !c.set.pairs {
				g.count++
				continue
			}
			if !g.fits(&p, g.top) {
				b.counts = append(b.counts, g.count)
				g = grouping{top: g.top}
				g.fits(&p, g.top)
			}
			g.count++
		}
	}
	b.counts = append(b.counts, g.count)
}

// grouping bounds the 16-bit sums of a group of steps.
type grouping struct {
	top       int
	count     int64
	high, low [2 * Block]int // sums of the weights of each pair above and below zero
}

// fits adds a step's weights, if the group's sums fit 16 bits with them.
func (g *grouping) fits(w *[4 * Block]int8, top int) bool {
	high, low := g.high, g.low
	for l, v := range w {
		high[l/2] += max(int(v), 0)
		low[l/2] += min(int(v), 0)
	}
	for l := range high {
		if top*high[l] > 1<<15-1 || top*low[l] < -1<<15 {
			return false
		}
	}
	g.high, g.low = high, low
	return true
}

// Offsets8 is where each step of each block of outputs finds its input, for inputs of one shape.
type Offsets8 [][]int64

// Offsets lays the steps out for inputs of the shape of in.
func (c *Conv8) Offsets(in *Levels) Offsets8 {
	quads := c.quads()
	all := make([]int64, len(quads))
	for i, q := range quads {
		all[i] = int64(q.block*in.plane() + q.ky*c.spec.Dilation*in.pitch() + q.kx*c.spec.Dilation*in.Lanes + q.byte)
	}
	out := make(Offsets8, len(c.blocks))
	for b := range c.blocks {
		steps := c.blocks[b].steps
		if len(steps) == len(all) { // none was cut in two
			out[b] = all
			continue
		}
		for _, s := range steps {
			out[b] = append(out[b], all[s])
		}
	}
	return out
}

// Step8 says how to run a layer on one picture of levels. Running one again allocates nothing.
type Step8 struct {
	Out, In  *Levels
	Pad      [2]int      // rows of Zero above and columns to the left; those below and to the right follow from Out's size
	Residual *Levels     // added as Quantize says; nil for none; of Out's shape
	Quantize *Quantizing // from sums to levels

	work func(s *Step8, item int)
	loop func(worker, item int) // calls work
	conv *Conv8
	at   Offsets8
	rows int // of a convolution's item
	taps TapSpec
}

// each does work for every item.
func (s *Step8) each(workers, items int, work func(s *Step8, item int)) {
	if s.loop == nil {
		s.loop = func(_, item int) { s.work(s, item) }
	}
	s.work = work
	parallel.ForWorker(workers, items, s.loop)
}

// scratch8 is what a goroutine computes a row in.
type scratch8 struct {
	sums    []int32
	tile    tile8Args
	level   levelArgs
	pool    pool8Args
	offsets []int64
}

var scratches8 = sync.Pool{New: func() any { return new(scratch8) }}

// takeScratch8 is scratch memory for rows of n pixels. What it points at is let go of by the next use at the latest.
func takeScratch8(n int) *scratch8 {
	s := scratches8.Get().(*scratch8)
	if len(s.sums) < n*Block {
		s.sums = make([]int32, n*Block)
	}
	return s
}

// Run computes s.Out. The input's border must be at least as wide as the padding on every side.
func (c *Conv8) Run(workers int, s *Step8, offsets Offsets8) {
	s.conv, s.at, s.rows = c, offsets, s.Out.H
	if workers > 1 {
		for len(c.blocks)*s.chunks() < 4*workers && s.rows > 1 {
			s.rows = (s.rows + 1) / 2
		}
	}
	for b := range s.Out.Blocks() {
		s.Out.frame(b)
	}
	s.each(workers, len(c.blocks)*s.chunks(), (*Step8).convolve)
}

// chunks are the items of each block of outputs.
func (s *Step8) chunks() int { return (s.Out.H + s.rows - 1) / s.rows }

func (s *Step8) convolve(item int) {
	scratch := takeScratch8(s.Out.W)
	defer scratches8.Put(scratch)
	block, chunk := item/s.chunks(), item%s.chunks()
	for y := chunk * s.rows; y < min(s.Out.H, (chunk+1)*s.rows); y++ {
		s.conv.row(s, s.at[block], block, y, scratch)
	}
}

// row computes one row of one block of outputs.
func (c *Conv8) row(s *Step8, offsets []int64, block, y int, scratch *scratch8) {
	in, out, b := s.In, s.Out, &c.blocks[block]
	t := c.set.tileOf(out.W)
	a := &scratch.tile
	*a = tile8Args{
		offsets: &offsets[0], counts: &b.counts[0], groups: len(b.counts), weights: &b.weights[0], bias: &b.bias[0],
		stride: c.spec.Stride * in.Lanes,
	}
	for x := 0; x < out.W; x += t.pixels {
		x := min(x, out.W-t.pixels)
		a.in = unsafe.Pointer(&in.Data[in.at(0, y*c.spec.Stride-s.Pad[0], x*c.spec.Stride-s.Pad[1])])
		a.sums = &scratch.sums[x*Block]
		t.run(a)
	}
	s.quantizeRow(c.set, block, y, scratch)
}

// MaxPool8 takes the largest level under each window; what lies outside the input does not count.
func MaxPool8(workers int, k TapSpec, s *Step8) {
	s.taps = k
	s.each(workers, s.Out.Blocks(), (*Step8).largest)
}

func (s *Step8) largest(block int) {
	in, out, k := s.In, s.Out, s.taps
	scratch := takeScratch8(1)
	defer scratches8.Put(scratch)
	out.frame(block)
	// columns whose windows lie within the input
	x0 := min(out.W, (s.Pad[1]+k.Stride-1)/k.Stride)
	x1 := max(x0, min(out.W, (in.W+s.Pad[1]-(k.Kernel-1)*k.Dilation-1)/k.Stride+1))
	for y := range out.H {
		for x := range x0 {
			s.largestOf(scratch, block, y, x, 1)
		}
		if x1 > x0 {
			s.largestOf(scratch, block, y, x0, x1-x0)
		}
		for x := x1; x < out.W; x++ {
			s.largestOf(scratch, block, y, x, 1)
		}
	}
}

// largestOf computes neighbouring pixels of a row, whose windows see the same parts of the input.
func (s *Step8) largestOf(scratch *scratch8, block, y, x, pixels int) {
	in, out, k := s.In, s.Out, s.taps
	top, left := y*k.Stride-s.Pad[0], x*k.Stride-s.Pad[1]
	offsets := scratch.offsets[:0]
	for ky := range k.Kernel {
		for kx := range k.Kernel {
			yy, xx := top+ky*k.Dilation, left+kx*k.Dilation
			if yy >= 0 && yy < in.H && xx >= 0 && xx+(pixels-1)*k.Stride < in.W {
				offsets = append(offsets, int64(in.at(block, yy, xx)-in.at(block, 0, 0)))
			}
		}
	}
	scratch.offsets = offsets
	scratch.pool = pool8Args{
		in: unsafe.Pointer(&in.Data[in.at(block, 0, 0)]), offsets: &offsets[0], taps: len(offsets),
		out: unsafe.Pointer(&out.Data[out.at(block, y, x)]), pixels: pixels, stride: k.Stride * Block,
	}
	use8().maxPool(&scratch.pool)
}
