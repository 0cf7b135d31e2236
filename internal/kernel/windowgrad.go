package kernel

import (
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// weightGrad is the product of a correlation's planes with the gradient of its output: for each tap, a matrix (C, M) whose inner dimension
// runs over all positions of all images. The planes are read where they lie; the gradient is packed once, positions as rows.
type weightGrad struct {
	c       *Correlation
	set     *set
	lines   int // rows of positions: image by image
	length  int // of a line, a multiple of 4
	packed  []float32
	sums    []float32 // (panels, taps, C, width)
	offsets []int64   // of each line in the planes, in bytes
	args    []tileArgs
}

var weightGrads = sync.Pool{New: func() any { return new(weightGrad) }}

// WeightGrad sets grad (M, C, taps) to the gradient of the loss with respect to Weights, or adds it; Y holds the loss's gradient with
// respect to the correlation's result. Weights is not read.
func (c *Correlation) WeightGrad(workers int, grad []float32, accumulate bool) {
	if c.C == 1 && c.M == 1 {
		c.weightGradSingle(grad, accumulate)
		return
	}
	workers = parallel.Workers(workers)
	g := weightGrads.Get().(*weightGrad)
	defer weightGrads.Put(g)
	g.c, g.set = c, use()
	p := c.Planes
	rows, columns := c.Out.H, c.Out.W
	if len(c.Taps) == 1 && c.Taps[0] == (Tap{}) && p.Stride == 1 && p.W == columns && p.H == rows { // 1x1: a plane is one line
		rows, columns = 1, rows*columns
	}
	g.lines, g.length = p.N*rows, roundUp(columns, 4)
	width := g.set.blocks * Block
	panels := (c.M + width - 1) / width
	g.packed = grown(g.packed, panels*g.lines*g.length*width)
	g.sums = grown(g.sums, panels*len(c.Taps)*c.C*width)
	g.offsets = g.offsets[:0]
	for n := range p.N {
		for y := range rows {
			g.offsets = append(g.offsets, int64(4*(n*p.C*p.channel()+y*p.W)))
		}
	}
	parts := max(1, min(len(c.Taps), (2*workers+panels-1)/panels))
	if g.lines*g.length*c.M*c.C*len(c.Taps) < smallWork {
		workers = 1
	}
	if len(g.args) < workers {
		g.args = make([]tileArgs, workers)
	}
	parallel.For(workers, panels*g.lines, func(i int) { g.pack(i/g.lines, i%g.lines, rows, columns, width) })
	parallel.ForWorker(workers, panels*parts, func(w, i int) {
		part := i % parts
		g.block(&g.args[w], i/parts, part*len(c.Taps)/parts, (part+1)*len(c.Taps)/parts, width)
	})
	parallel.For(workers, panels, func(i int) { g.unpack(grad, i, width, accumulate) })
	g.c = nil
}

// grown returns memory for n values, the old one if it is large enough.
func grown(b []float32, n int) []float32 {
	if len(b) < n {
		return aligned(n)
	}
	return b
}

// panelWidth is the number of columns that are packed for a panel's filters.
func (g *weightGrad) panelWidth(panel, width int) int {
	return min(width, roundUp(g.c.M-panel*width, Block))
}

// pack transposes one line of a panel's gradients: (positions, filters).
func (g *weightGrad) pack(panel, line, rows, columns, width int) {
	c := g.c
	n, y := line/rows, line%rows
	w := g.panelWidth(panel, width)
	dst := g.packed[panel*g.lines*g.length*width+line*g.length*w:][:g.length*w]
	filters := min(w, c.M-panel*width)
	if filters < w || columns < g.length {
		clear(dst)
	}
	plane := c.Out.H * c.Out.W
	for i := range filters {
		at := i
		for _, v := range c.Y[(n*c.Channels+c.At+panel*width+i)*plane+y*columns:][:columns] {
			dst[at] = v
			at += w
		}
	}
}

// block sums all positions for taps t0..t1 of a panel, some lines at a time: they stay in the cache for all channels and taps.
func (g *weightGrad) block(a *tileArgs, panel, t0, t1, width int) {
	c, p := g.c, g.c.Planes
	w := g.panelWidth(panel, width)
	lines := max(1, depth/g.length)
	for first := 0; first < g.lines; first += lines {
		*a = tileArgs{
			offsets: &g.offsets[first], steps: min(lines, g.lines-first), quads: g.length / 4,
			weights: &g.packed[panel*g.lines*g.length*width+first*g.length*w], bias: &noBias[0],
			stride: 4 * p.channel(), lo: -unbounded, hi: unbounded, pitch: 4 * w,
		}
		for t := t0; t < t1; t++ {
			for ch := 0; ch < c.C; {
				tile := g.set.tileFor(c.C - ch)
				a.in = unsafe.Pointer(&p.Data[(c.First+ch)*p.channel()+p.tap(c.Taps[t])])
				a.out0 = unsafe.Pointer(&g.sums[((panel*len(c.Taps)+t)*c.C)*width+ch*w])
				if w > Block {
					a.out1 = unsafe.Add(a.out0, 4*Block)
				}
				if first > 0 {
					a.residual = [2]unsafe.Pointer{a.out0, a.out1}
				}
				tile.run[w/Block-1](a)
				ch += tile.pixels
			}
		}
	}
}

// unpack brings a panel's sums (taps, C, filters) into the order of weights.
func (g *weightGrad) unpack(grad []float32, panel, width int, accumulate bool) {
	c := g.c
	taps := len(c.Taps)
	w := g.panelWidth(panel, width)
	filters := min(w, c.M-panel*width)
	dst := grad[panel*width*c.C*taps:]
	for ch := range c.C {
		for t := range taps {
			at := ch*taps + t
			for _, v := range g.sums[(panel*taps+t)*c.C*width+ch*w:][:filters] {
				if accumulate {
					v += dst[at]
				}
				dst[at] = v
				at += c.C * taps
			}
		}
	}
}
