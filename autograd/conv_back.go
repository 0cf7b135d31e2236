package autograd

import (
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// slideBack computes dx (n, ins, in) from dy (n, outs, out) and a bias (ins) or nil, or adds to it. Input rows s·r+p see, of all filter rows, those that are p
// modulo s; so for each of the s·s phases it is a convolution of dy with a part of the filter.
func (t *Tape) slideBack(dx, dy, w, bias []float32, s sliding, accumulate bool) {
	if s.Stride == 2 && s.Groups == 1 && t.slideInterlaced(dx, dy, w, bias, s, accumulate) {
		return
	}
	if bias != nil {
		t.fillChannels(dx, bias, s.n)
		accumulate = true
	}
	if s.Stride == 1 {
		rows := newPhase(0, s.kh, s.in.H, s.Pad.Top, s.Window)
		columns := newPhase(0, s.kw, s.in.W, s.Pad.Left, s.Window)
		t.slidePhase(dx, dy, w, s, rows, columns, accumulate)
		return
	}
	if s.Groups == 1 {
		t.slideApart(dx, dy, w, s, accumulate)
		return
	}
	for py := range s.Stride {
		rows := newPhase(py, s.kh, s.in.H, s.Pad.Top, s.Window)
		for px := range s.Stride {
			columns := newPhase(px, s.kw, s.in.W, s.Pad.Left, s.Window)
			if rows.count <= 0 || columns.count <= 0 {
				continue
			}
			size := rows.count * columns.count
			part := t.memory.take(s.n * s.ins * size)
			t.slidePhase(part, dy, w, s, rows, columns, false)
			parallel.For(t.Workers, s.n*s.ins, func(i int) {
				from, to := part[i*size:(i+1)*size], dx[i*s.in.H*s.in.W:][:s.in.H*s.in.W]
				for r := range rows.count {
					at := (rows.first+r*s.Stride)*s.in.W + columns.first
					for _, v := range from[r*columns.count:][:columns.count] {
						if accumulate {
							v += to[at]
						}
						to[at] = v
						at += s.Stride
					}
				}
			})
			t.memory.give(part)
		}
	}
}

// fillChannels sets pictures (n, channels, …) to a value for each channel.
func (t *Tape) fillChannels(dst, values []float32, n int) {
	plane := len(dst) / (n * len(values))
	parallel.For(t.Workers, n*len(values), func(i int) {
		row, v := dst[i*plane:][:plane], values[i%len(values)]
		for j := range row {
			row[j] = v
		}
	})
}

// slideInterlaced is slideBack for a stride of 2 where rows are long enough to need no packing.
func (t *Tape) slideInterlaced(dx, dy, w, bias []float32, s sliding, accumulate bool) bool {
	if s.kh < 2 || s.kw < 2 || s.in.W < 2*kernel.Block {
		return false
	}
	var rows, columns [2]phase
	top, left := 0, 0 // zeros, so that no shift is negative
	out := kernel.Shape2D{}
	for p := range 2 {
		rows[p], columns[p] = newPhase(p, s.kh, s.in.H, s.Pad.Top, s.Window), newPhase(p, s.kw, s.in.W, s.Pad.Left, s.Window)
		top, left = max(top, rows[p].before()), max(left, columns[p].before())
		out.H, out.W = max(out.H, rows[p].count), max(out.W, columns[p].count)
	}
	c := kernel.Interlaced{M: s.ins, Out: s.in, Bias: bias, Planes: &kernel.Planes{C: s.outs}}
	var all []kernel.Tap
	for i := range 4 {
		r, q := &rows[i/2], &columns[i%2]
		f := &c.Phases[i/2][i%2]
		f.First, f.Count = kernel.Shape2D{H: r.first, W: q.first}, kernel.Shape2D{H: r.count, W: q.count}
		f.Taps = tapsOf(r, q, top, left)
		all = append(all, f.Taps...)
	}
	if !c.Suits() {
		return false
	}
	for i := range 4 {
		f := &c.Phases[i/2][i%2]
		f.Weights = t.memory.take(s.ins * s.outs * len(f.Taps))
		defer t.memory.give(f.Weights)
		t.turn(f.Weights, w, s, rows[i/2].filter, columns[i%2].filter)
	}
	c.Planes = t.lay(dy, s.n, s.outs, s.out, 1, top, left, all, out)
	defer t.memory.give(c.Planes.Data)
	c.Run(t.Workers, dx, accumulate)
	return true
}

// phase is every stride-th input row (or column), and the filter rows that see it.
type phase struct {
	first, count int   // input rows first, first+stride, …
	filter       []int // filter rows
	shift        []int // the output row under the first input row, for each; may be negative
}

func newPhase(p, filterRows, inputRows, before int, w Window) phase {
	s := w.Stride
	r0 := (before - p + s - 1) / s // the first r with s·r+p at or after the picture's first row
	ph := phase{first: s*r0 + p - before}
	ph.count = max(0, (inputRows-1-ph.first)/s+1)
	if ph.first >= inputRows {
		ph.count = 0
	}
	for k := range filterRows {
		if k*w.Dilation%s == p {
			ph.filter = append(ph.filter, k)
			ph.shift = append(ph.shift, r0-k*w.Dilation/s)
		}
	}
	return ph
}

// before is how many zeros before the first position leave no shift negative.
func (p *phase) before() int {
	n := 0
	for _, v := range p.shift {
		n = max(n, -v)
	}
	return n
}

// tapsOf are the positions of dy, behind some rows and columns of zeros, that one of dx's sees.
func tapsOf(rows, columns *phase, top, left int) []kernel.Tap {
	var taps []kernel.Tap
	for _, y := range rows.shift {
		for _, x := range columns.shift {
			taps = append(taps, kernel.Tap{Row: y + top, Column: x + left})
		}
	}
	return taps
}

// slidePhase computes one phase of dx (n, ins, rows.count, columns.count).
func (t *Tape) slidePhase(dx, dy, w []float32, s sliding, rows, columns phase, accumulate bool) {
	top, left := rows.before(), columns.before()
	taps := tapsOf(&rows, &columns, top, left)
	if len(taps) == 0 {
		if !accumulate {
			clear(dx)
		}
		return
	}
	out := kernel.Shape2D{H: rows.count, W: columns.count}
	p := t.lay(dy, s.n, s.outs, s.out, 1, top, left, taps, out)
	defer t.memory.give(p.Data)
	ins, outs := s.ins/s.Groups, s.outs/s.Groups
	turned := t.memory.take(s.ins * outs * len(taps)) // (groups, ins, outs, taps)
	defer t.memory.give(turned)
	t.turn(turned, w, s, rows.filter, columns.filter)
	t.eachGroup(s.Groups, func(g, workers int) {
		c := kernel.Correlation{Planes: p, First: g * outs, C: outs, Taps: taps, Out: out, M: ins, Y: dx, At: g * ins, Channels: s.ins}
		c.Weights = turned[g*ins*outs*len(taps):][:ins*outs*len(taps)]
		c.Run(workers, accumulate)
	})
}

// turn swaps the filters' inputs and outputs, keeping some of their rows and columns.
func (t *Tape) turn(dst, w []float32, s sliding, rows, columns []int) {
	ins, outs := s.ins/s.Groups, s.outs/s.Groups
	size, kept := s.kh*s.kw, len(rows)*len(columns)
	const together = 16 // inputs: their filters lie side by side and share cache lines
	blocks := (ins + together - 1) / together
	parallel.For(t.Workers, s.Groups*blocks, func(i int) {
		g, first := i/blocks, i%blocks*together
		for o := range outs {
			for c := first; c < min(ins, first+together); c++ {
				from := w[((g*outs+o)*ins+c)*size:][:size]
				to := dst[((g*ins+c)*outs+o)*kept:][:kept]
				if kept == size {
					copy(to, from)
					continue
				}
				k := 0
				for _, y := range rows {
					for _, x := range columns {
						to[k] = from[y*s.kw+x]
						k++
					}
				}
			}
		}
	})
}
