package kernel

import (
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// Where rows of results are long enough, filters slide over planes that nobody has packed: set.slides are functions that read 16 or 32
// neighbouring positions where they lie. With the same arguments as a tile's they compute, for P rows of filters and F·16 columns,
//
//	out[p][j] = clamp(bias[p] + Σ_k in[p·stride + k] · weights[offsets[k] + j] + residual[p][j])
//
// over 4·quads values of k; offsets, stride and pitch are in bytes.

const slideDepth = 1152 // rows above which the planes of all channels no longer stay in the second cache

// slides reports whether a correlation needs no packing.
func (c *Correlation) slides() bool {
	return len(c.Taps) > 1 && c.C*c.M > 1 && canSlide(c.Out.W, c.C*len(c.Taps))
}

func canSlide(columns, depth int) bool {
	return len(use().slides) > 0 && columns >= Block && depth <= slideDepth
}

// slider is a correlation's filters, and where their values are multiplied.
type slider struct {
	a       []float32 // (m, lda), zero beyond the values
	lda, m  int
	bias    []float32 // (m)
	offsets []int64   // (lda)
	own     []slideTask
}

// slideTask is what one goroutine needs.
type slideTask struct {
	args  tileArgs
	edge  [maxPixels * 2 * Block]float32
	lines []float32 // of both phases of columns
}

var sliders = sync.Pool{New: func() any { return new(slider) }}

// set brings filters (m, channels, taps) into rows of a multiple of 4.
func (s *slider) set(p *Planes, first, channels, m int, taps []Tap, weights, bias []float32) {
	k := channels * len(taps)
	s.m, s.lda = m, roundUp(k, 4)
	s.offsets = s.offsets[:0]
	for ch := range channels {
		for _, t := range taps {
			s.offsets = append(s.offsets, int64(4*((first+ch)*p.channel()+p.tap(t))))
		}
	}
	for len(s.offsets) < s.lda {
		s.offsets = append(s.offsets, s.offsets[k-1]) // times zero
	}
	s.a = grown(s.a, m*s.lda)
	for i := range m {
		row := s.a[i*s.lda:][:s.lda]
		copy(row, weights[i*k:][:k])
		clear(row[k:])
	}
	s.bias = grown(s.bias, m)
	clear(s.bias[:m])
	copy(s.bias, bias)
}

func (s *slider) goroutines(workers int) {
	for len(s.own) < workers {
		s.own = append(s.own, slideTask{})
	}
}

// row computes n columns of some rows of filters, from a position in a plane on. Results lie pitch values apart.
func (s *slider) row(set *set, t *slideTask, f tileFunc, filter int, from []float32, dst []float32, pitch, n int, accumulate bool) {
	blocks := set.blocks
	if n < blocks*Block {
		blocks = 1
	}
	width := blocks * Block
	a := &t.args
	*a = tileArgs{
		in: unsafe.Pointer(&s.a[filter*s.lda]), offsets: &s.offsets[0], quads: s.lda / 4, bias: &s.bias[filter],
		stride: 4 * s.lda, lo: -unbounded, hi: unbounded,
	}
	for at := 0; at < n; at += width {
		x := min(at, n-width) // the last columns overlap those before
		a.weights = &from[x]
		if accumulate && x < at {
			a.out0, a.out1, a.pitch, a.residual = unsafe.Pointer(&t.edge[0]), unsafe.Pointer(&t.edge[Block]), 4*width, [2]unsafe.Pointer{}
			f.run[blocks-1](a)
			for p := range f.pixels {
				row := dst[p*pitch+at : p*pitch+n]
				for i, v := range t.edge[p*width+at-x:][:n-at] {
					row[i] += v
				}
			}
			continue
		}
		a.out0, a.pitch = unsafe.Pointer(&dst[x]), 4*pitch
		a.out1 = nil
		if blocks > 1 {
			a.out1 = unsafe.Pointer(&dst[x+Block])
		}
		if accumulate {
			a.residual = [2]unsafe.Pointer{a.out0, a.out1}
		}
		f.run[blocks-1](a)
	}
}

// slideRows is how many rows of results are computed for some filters before the next filters: what they read stays at hand.
const slideRows = 8

func (c *Correlation) slide(workers int, accumulate bool) {
	s := sliders.Get().(*slider)
	defer sliders.Put(s)
	workers = parallel.Workers(workers)
	s.goroutines(workers)
	s.set(c.Planes, c.First, c.C, c.M, c.Taps, c.Weights, c.Bias)
	set, p := use(), c.Planes
	chunks := (c.Out.H + slideRows - 1) / slideRows
	parallel.ForWorker(workers, p.N*chunks, func(w, i int) {
		image, first := i/chunks, i%chunks*slideRows
		for m := 0; m < c.M; {
			f := highest(set.slides, c.M-m)
			for y := first; y < min(c.Out.H, first+slideRows); y++ {
				dst := c.Y[((image*c.Channels+c.At+m)*c.Out.H+y)*c.Out.W:]
				s.row(set, &s.own[w], f, m, p.Data[image*p.C*p.channel()+y*p.W:], dst, c.Out.H*c.Out.W, c.Out.W, accumulate)
			}
			m += f.pixels
		}
	})
}

// Interlaced is four correlations of the same planes, whose results are every second row and column of y (N, M, Out.H, Out.W): what a filter
// of stride 2 spreads over a picture.
type Interlaced struct {
	Planes *Planes
	M      int
	Out    Shape2D
	Bias   []float32    // (M), where sums begin; nil for zeros
	Phases [2][2]Filter // by rows and columns
}

// Filter makes the results of one phase: rows First.H, First.H+2, …, Count.H in all, and columns likewise.
type Filter struct {
	Taps         []Tap
	Weights      []float32 // (M, Planes.C, taps)
	First, Count Shape2D
}

// Suits reports whether Run can compute it.
func (c *Interlaced) Suits() bool {
	for _, row := range c.Phases {
		for _, f := range row {
			if len(f.Taps) == 0 || !canSlide(f.Count.W, c.Planes.C*len(f.Taps)) || f.Count.H < 1 {
				return false
			}
		}
	}
	return true
}

// Run computes y, or adds to it.
func (c *Interlaced) Run(workers int, y []float32, accumulate bool) {
	workers = parallel.Workers(workers)
	var phases [2][2]*slider
	for i := range 4 {
		s := sliders.Get().(*slider)
		defer sliders.Put(s)
		f := &c.Phases[i/2][i%2]
		s.set(c.Planes, 0, c.Planes.C, c.M, f.Taps, f.Weights, c.Bias)
		phases[i/2][i%2] = s
	}
	phases[0][0].goroutines(workers)
	set, p := use(), c.Planes
	width := c.Out.W/2 + 1
	rows := max(c.Phases[0][0].Count.H, c.Phases[1][0].Count.H)
	chunks := (rows + slideRows - 1) / slideRows
	parallel.ForWorker(workers, p.N*chunks, func(w, i int) {
		t := &phases[0][0].own[w]
		t.lines = grown(t.lines, 2*maxPixels*width)
		image, first := i/chunks, i%chunks*slideRows
		for m := 0; m < c.M; {
			f := highest(set.slides, c.M-m)
			for py, sliders := range phases {
				for r := first; r < min(c.Phases[py][0].Count.H, first+slideRows); r++ {
					for px, s := range sliders {
						s.row(set, t, f, m, p.Data[image*p.C*p.channel()+r*p.W:], t.lines[px*maxPixels*width:], width, c.Phases[py][px].Count.W, false)
					}
					for i := range f.pixels {
						at := ((image*c.M+m+i)*c.Out.H + c.Phases[py][0].First.H + 2*r) * c.Out.W
						c.weave(y[at:at+c.Out.W], t.lines[i*width:], t.lines[(maxPixels+i)*width:], py, accumulate)
					}
				}
			}
			m += f.pixels
		}
	})
}

// weave sets a row, or adds to it, from the rows of its phases.
func (c *Interlaced) weave(row, first, second []float32, py int, accumulate bool) {
	first, second = first[:c.Phases[py][0].Count.W], second[:c.Phases[py][1].Count.W]
	if c.Phases[py][0].First.W != 0 {
		first, second = second, first
	}
	if accumulate {
		for i, v := range first {
			row[2*i] += v
		}
		for i, v := range second {
			row[2*i+1] += v
		}
		return
	}
	Interleave(row, first, second)
}
