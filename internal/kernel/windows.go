package kernel

import "github.com/blemish/blemish/internal/parallel"

// Planes are a batch's channels laid out for sliding windows: with the zeros around them that a window reaches, and, for a stride s,
// split into s·s phases (rows and columns s apart), so that neighbouring positions of a window always read neighbouring values.
type Planes struct {
	N, C, Stride int
	H, W         int       // of a phase
	Data         []float32 // (N, C, Stride, Stride, H, W), and some more, for reading on in groups of four
}

// Slack is how many values beyond the last row a kernel may read.
const Slack = Block

// Shape2D is a channel's rows and columns.
type Shape2D struct{ H, W int }

// PlanesSize is the length of Planes' Data.
func PlanesSize(n, c, stride int, phase Shape2D) int {
	return n*c*stride*stride*phase.H*phase.W + Slack
}

func (p *Planes) channel() int { return p.Stride * p.Stride * p.H * p.W }

// Fill copies x (N,C,h,w) with top rows and left columns of zeros before it; negative ones cut. p.Data need not be cleared.
func (p *Planes) Fill(workers int, x []float32, in Shape2D, top, left int) {
	clear(p.Data[p.N*p.C*p.channel():])
	if len(x) < smallWork/4 {
		for i := range p.N * p.C {
			p.fill(x, i, in, top, left)
		}
		return
	}
	p.fillAll(workers, x, in, top, left)
}

func (p *Planes) fillAll(workers int, x []float32, in Shape2D, top, left int) {
	parallel.For(workers, p.N*p.C, func(i int) { p.fill(x, i, in, top, left) })
}

func (p *Planes) fill(x []float32, i int, in Shape2D, top, left int) {
	src := x[i*in.H*in.W:][:in.H*in.W]
	dst := p.Data[i*p.channel():][:p.channel()]
	s := p.Stride
	if s == 2 {
		p.fillPairs(src, dst, in, top, left)
		return
	}
	for ry := range s {
		for rx := range s {
			// columns q of the phase whose x = q·s+rx-left lies in the picture
			first := min(max(0, (left-rx+s-1)/s), p.W)
			last := p.W
			if end := in.W - 1 + left - rx; end < 0 {
				last = first
			} else {
				last = max(first, min(last, end/s+1))
			}
			for r := range p.H {
				row := dst[((ry*s+rx)*p.H+r)*p.W:][:p.W]
				y := r*s + ry - top
				if y < 0 || y >= in.H || first == last {
					clear(row)
					continue
				}
				clear(row[:first])
				clear(row[last:])
				from := src[y*in.W+first*s+rx-left:]
				if s == 1 {
					copy(row[first:last], from)
					continue
				}
				at := 0
				for q := first; q < last; q++ {
					row[q] = from[at]
					at += s
				}
			}
		}
	}
}

// fillPairs is fill for a stride of 2: the two phases of columns are told apart in one pass over a row.
func (p *Planes) fillPairs(src, dst []float32, in Shape2D, top, left int) {
	for ry := range 2 {
		for r := range p.H {
			rows := [2][]float32{dst[(ry*2*p.H+r)*p.W:][:p.W], dst[((ry*2+1)*p.H+r)*p.W:][:p.W]}
			y := 2*r + ry - top
			if y < 0 || y >= in.H {
				clear(rows[0])
				clear(rows[1])
				continue
			}
			from := src[y*in.W:][:in.W]
			// the picture's first column has place left of both phases together: cut what lies before 0, and after the last
			at := left
			if at < 0 {
				from, at = from[min(-at, in.W):], 0
			}
			from = from[:max(0, min(len(from), 2*p.W-at))]
			even, odd := rows[at%2], rows[1-at%2] // of the picture's columns from here on
			e, o := at/2, (at+1)/2
			ends := [2]int{e + (len(from)+1)/2, o + len(from)/2}
			clear(even[:e])
			clear(odd[:o])
			clear(even[ends[0]:])
			clear(odd[ends[1]:])
			Deinterleave(even[e:ends[0]], odd[o:ends[1]], from)
		}
	}
}

// Tap is one position of a window: which phase it reads, from which row and column on.
type Tap struct{ Phase, Row, Column int }

func (p *Planes) tap(t Tap) int { return (t.Phase*p.H+t.Row)*p.W + t.Column }

// SlidingTaps are the positions of a kh x kw window, row by row.
func SlidingTaps(dst []Tap, kh, kw, stride, dilation int) []Tap {
	dst = dst[:0]
	for ky := range kh {
		for kx := range kw {
			y, x := ky*dilation, kx*dilation
			dst = append(dst, Tap{y%stride*stride + x%stride, y / stride, x / stride})
		}
	}
	return dst
}

// windowPanels are the windows of planes as columns: row (channel, tap), column (image, y, x).
type windowPanels struct {
	p       *Planes
	channel int // the first
	out     Shape2D
	offsets []int64 // of each row of B from a window's position, in bytes

	copyRows func(dst, src *float32, offsets *int64, steps, pitch, n int)
}

func (b *windowPanels) pack(dst []float32, size int, r packing) {
	if j := r.j1 - 1; j*r.width+r.width > r.total { // the last panel is not full
		_, _, width := r.panel(j)
		clear(dst[(j-r.j0)*size:][:(r.k1-r.k0)*width])
	}
	plane := b.out.H * b.out.W
	for k := r.k0; k < r.k1; k += packedTogether {
		offsets := b.offsets[k:min(k+packedTogether, r.k1)]
		for j := r.j0; j < r.j1; j++ {
			first, n, width := r.panel(j)
			to := dst[(j-r.j0)*size+(k-r.k0)*width:]
			image, at := first/plane, first%plane
			y, x := at/b.out.W, at%b.out.W
			for column := 0; column < n; {
				length := min(n-column, b.out.W-x)
				from := &b.p.Data[(image*b.p.C+b.channel)*b.p.channel()+y*b.p.W+x]
				b.copyRows(&to[column], from, &offsets[0], len(offsets), 4*width, length)
				column += length
				if x += length; x == b.out.W {
					x = 0
					if y++; y == b.out.H {
						y, image = 0, image+1
					}
				}
			}
		}
	}
	r.pad(dst, size)
}

// Correlation slides filters over planes: y[n,At+i] = Σ Weights[i,c,t] · Planes[n,First+c] under tap t, for i < M and c < C.
type Correlation struct {
	Planes  *Planes
	First   int // channel of Planes
	C       int // channels from there on
	Taps    []Tap
	Out     Shape2D
	M       int       // filters
	Weights []float32 // (M, C, taps)
	Bias    []float32 // (M), where sums begin; nil for zeros
	Y       []float32 // (N, Channels, Out.H, Out.W)
	At      int       // channel of Y
	// Channels of Y in all.
	Channels int
}

func (c *Correlation) check() {
	if len(c.Weights) != c.M*c.C*len(c.Taps) || c.Bias != nil && len(c.Bias) != c.M || len(c.Y) != c.Planes.N*c.Channels*c.Out.H*c.Out.W || c.At+c.M > c.Channels || c.First+c.C > c.Planes.C {
		panic("kernel: Correlation of shapes that do not fit")
	}
}

// Run computes Y from Weights, or adds to it.
func (c *Correlation) Run(workers int, accumulate bool) {
	c.check()
	if c.slides() {
		c.slide(workers, accumulate)
		return
	}
	if c.Bias != nil {
		c.startFromBias(workers, accumulate)
		accumulate = true
	}
	if c.C == 1 && c.M == 1 {
		c.runSingle(accumulate)
		return
	}
	k := c.C * len(c.Taps)
	p := products.Get().(*product)
	defer products.Put(p)
	p.m, p.k, p.images, p.cols, p.channels, p.accumulate = c.M, k, c.Planes.N, c.Out.H*c.Out.W, c.Channels, accumulate
	p.c = c.Y[c.At*p.cols:]
	p.rowsOf(workers, Matrix{Data: c.Weights, Rows: c.M, Cols: k})
	offsets := p.windows.offsets[:0]
	for ch := range c.C {
		for _, t := range c.Taps {
			offsets = append(offsets, int64(4*(ch*c.Planes.channel()+c.Planes.tap(t))))
		}
	}
	p.windows = windowPanels{c.Planes, c.First, c.Out, offsets, use().copyRows}
	p.b = &p.windows
	p.run(workers)
	p.forget()
}

// startFromBias sets Y to Bias, or adds that.
func (c *Correlation) startFromBias(workers int, accumulate bool) {
	plane := c.Out.H * c.Out.W
	parallel.For(workers, c.Planes.N*c.M, func(i int) {
		row := c.Y[(i/c.M*c.Channels+c.At+i%c.M)*plane:][:plane]
		if !accumulate {
			clear(row)
		}
		Affine(row, row, nil, 1, 0, c.Bias[i%c.M], -unbounded, unbounded)
	})
}

// line is the input of one row of windows' first positions.
func (c *Correlation) line(image, y int, t Tap) []float32 {
	p := c.Planes
	return p.Data[(image*p.C+c.First)*p.channel()+p.tap(t)+y*p.W:][:c.Out.W]
}

// result is one row of the one channel of Y.
func (c *Correlation) result(image, y int) []float32 {
	return c.Y[((image*c.Channels+c.At)*c.Out.H+y)*c.Out.W:][:c.Out.W]
}

// runSingle is Run for one channel and one filter, as in a depthwise convolution: a product of matrices would waste most of its lanes.
func (c *Correlation) runSingle(accumulate bool) {
	for image := range c.Planes.N {
		for y := range c.Out.H {
			row := c.result(image, y)
			for i, t := range c.Taps {
				if i == 0 && !accumulate {
					Scale(row, c.line(image, y, t), c.Weights[0])
				} else {
					Axpy(row, c.line(image, y, t), c.Weights[i])
				}
			}
		}
	}
}

// weightGradSingle is WeightGrad for one channel and one filter.
func (c *Correlation) weightGradSingle(grad []float32, accumulate bool) {
	for i, t := range c.Taps {
		sum := 0.0
		for image := range c.Planes.N {
			for y := range c.Out.H {
				_, product := Moments(c.line(image, y, t), c.result(image, y), 0, 0)
				sum += product
			}
		}
		if accumulate {
			sum += float64(grad[i])
		}
		grad[i] = float32(sum)
	}
}
