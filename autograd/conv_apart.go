package autograd

import (
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// slideApart is slideBack for strides above 1 and one group. What a position of dy contributes under each tap is a product of matrices that
// reads dy where it lies, (ins·taps, outs)·(outs, positions), image by image; then every row of dx gathers what belongs to it. Packing windows
// of dy, as for a stride of 1, would copy each of its values once for every tap.
func (t *Tape) slideApart(dx, dy, w []float32, s sliding, accumulate bool) {
	taps, positions := s.kh*s.kw, s.out.H*s.out.W
	turned := t.memory.take(s.ins * taps * s.outs) // (ins·taps, outs)
	defer t.memory.give(turned)
	kernel.Transpose(t.Workers, turned, w, s.outs, s.ins*taps)
	apart := t.memory.take(s.ins * taps * positions) // (ins, taps, positions)
	defer t.memory.give(apart)
	g := gathering{sliding: s, apart: apart}
	for p := range s.Stride {
		g.rows = append(g.rows, newPhase(p, s.kh, s.in.H, s.Pad.Top, s.Window))
		g.columns = append(g.columns, newPhase(p, s.kw, s.in.W, s.Pad.Left, s.Window))
	}
	lines := t.memory.take(s.ins * s.Stride * (s.in.W/s.Stride + 1))
	defer t.memory.give(lines)
	a := kernel.Matrix{Data: turned, Rows: s.ins * taps, Cols: s.outs}
	for n := range s.n {
		kernel.MatMul(t.Workers, apart, a, item(dy, n, s.outs, positions), false)
		picture := dx[n*s.ins*s.in.H*s.in.W:][:s.ins*s.in.H*s.in.W]
		parallel.For(t.Workers, s.ins, func(c int) {
			g.gather(picture[c*s.in.H*s.in.W:][:s.in.H*s.in.W], c, lines[c*len(lines)/s.ins:(c+1)*len(lines)/s.ins], accumulate)
		})
	}
}

// gathering adds up what the taps contribute to the pictures that a window slid over.
type gathering struct {
	sliding
	apart         []float32 // (ins, taps, positions) of an image
	rows, columns []phase   // one for each remainder of the stride
}

// gather sums one channel of an image (in.H, in.W). lines is scratch for a row of each phase of columns.
func (g *gathering) gather(dst []float32, channel int, lines []float32, accumulate bool) {
	width := len(lines) / g.Stride
	for _, rows := range g.rows {
		for r := range max(0, rows.count) {
			for i, columns := range g.columns {
				line := lines[i*width:][:max(0, columns.count)]
				clear(line)
				for ky, y := range rows.filter {
					at := rows.shift[ky] + r
					if at < 0 || at >= g.out.H {
						continue
					}
					for kx, x := range columns.filter {
						first, shift := 0, columns.shift[kx]
						first = max(first, -shift)
						last := min(len(line), g.out.W-shift)
						if first < last {
							from := g.apart[((channel*g.kh+y)*g.kw+x)*g.out.H*g.out.W+at*g.out.W:][:g.out.W]
							kernel.Axpy(line[first:last], from[first+shift:last+shift], 1)
						}
					}
				}
			}
			g.weave(dst[(rows.first+r*g.Stride)*g.in.W:][:g.in.W], lines, width, accumulate)
		}
	}
}

// weave sets a row, or adds to it, from the rows of its phases.
func (g *gathering) weave(row, lines []float32, width int, accumulate bool) {
	if g.Stride == 2 && !accumulate {
		even, odd := 0, 1
		if g.columns[0].first != 0 {
			even, odd = 1, 0
		}
		kernel.Interleave(row, lines[even*width:][:g.columns[even].count], lines[odd*width:][:max(0, g.columns[odd].count)])
		return
	}
	for i, columns := range g.columns {
		at := columns.first
		for _, v := range lines[i*width:][:max(0, columns.count)] {
			if accumulate {
				v += row[at]
			}
			row[at] = v
			at += g.Stride
		}
	}
}
