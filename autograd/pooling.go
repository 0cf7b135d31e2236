package autograd

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/parallel"
)

// pictures returns the planes of x (N, C, H, W).
func (t *Tape) pictures(op string, x *Var) (planes, h, w int) {
	s := x.Shape()
	if len(s) != 4 {
		t.misfit(op, "(N, C, H, W)", s)
	}
	return s[0] * s[1], s[2], s[3]
}

// MaxPool2d takes the largest value under a window of k x k; what lies outside the picture does not count.
func (t *Tape) MaxPool2d(x *Var, k int, win Window) *Var {
	win = win.normal()
	planes, h, w := t.pictures("max_pool2d", x)
	oh := positions(h+win.Pad.Top+win.Pad.Bottom, k, win)
	ow := positions(w+win.Pad.Left+win.Pad.Right, k, win)
	if oh < 1 || ow < 1 {
		t.misfit("max_pool2d", fmt.Sprintf("pictures that a %dx%d window fits into", k, k), x.Shape())
	}
	out := t.result(x.Shape()[0], x.Shape()[1], oh, ow)
	index := t.memory.takeIndex(planes * oh * ow)
	src, dst := x.Value.Data, out.Value.Data
	parallel.For(t.Workers, planes, func(p int) {
		from := src[p*h*w : (p+1)*h*w]
		best := make([]int64, w) // of the window's rows, in each column
		for y := range oh {
			y0, y1 := span(y*win.Stride-win.Pad.Top, k, win.Dilation, h)
			for sy := y0; sy < y1; sy += win.Dilation {
				for x, v := range from[sy*w : (sy+1)*w] {
					r := ranked(v, sy*w+x)
					if sy > y0 {
						r = max(r, best[x])
					}
					best[x] = r
				}
			}
			for x := range ow {
				x0, x1 := span(x*win.Stride-win.Pad.Left, k, win.Dilation, w)
				r := best[x0]
				for sx := x0 + win.Dilation; sx < x1; sx += win.Dilation {
					r = max(r, best[sx])
				}
				at := ^int32(r)
				dst[(p*oh+y)*ow+x], index[(p*oh+y)*ow+x] = from[at], at
			}
		}
	})
	if n := t.record("max_pool2d", backMaxPool2d, out, x); n != nil {
		n.index = index
		n.ints = [8]int{planes, h * w, oh * ow}
	} else {
		t.memory.giveIndex(index)
	}
	return out
}

// ranked orders values and, among equal ones, earlier positions first, by one comparison of integers that needs no branch. NaN is the
// largest, or the smallest if its sign is set.
func ranked(v float32, at int) int64 {
	bits := int32(math.Float32bits(v))
	bits ^= bits >> 31 & math.MaxInt32
	return int64(bits)<<32 | int64(^uint32(at))
}

// span is the part of a window's positions from first on that lies in 0..n.
func span(first, k, dilation, n int) (from, to int) {
	from = first
	for from < 0 {
		from += dilation
	}
	return from, min(n, first+(k-1)*dilation+1)
}

// dx gets dout where the largest value was
func backMaxPool2d(t *Tape, n *node) {
	x := n.in[0]
	planes, size, outs := n.ints[0], n.ints[1], n.ints[2]
	dst, g, index := t.summed(x), n.out.Grad.Data, n.index
	parallel.For(t.Workers, planes, func(p int) {
		to := dst[p*size : (p+1)*size]
		for i, at := range index[p*outs : (p+1)*outs] {
			to[at] += g[p*outs+i]
		}
	})
}

// AvgPool2d averages under a window of k x k; zeros outside the picture count, as PyTorch's default has it.
func (t *Tape) AvgPool2d(x *Var, k int, win Window) *Var {
	win = win.normal()
	planes, h, w := t.pictures("avg_pool2d", x)
	oh := positions(h+win.Pad.Top+win.Pad.Bottom, k, win)
	ow := positions(w+win.Pad.Left+win.Pad.Right, k, win)
	if oh < 1 || ow < 1 {
		t.misfit("avg_pool2d", fmt.Sprintf("pictures that a %dx%d window fits into", k, k), x.Shape())
	}
	out := t.result(x.Shape()[0], x.Shape()[1], oh, ow)
	n := t.record("avg_pool2d", backAverage, out, x)
	boxes := boxesOf(oh, ow, func(y, xx int) box {
		y0, x0 := y*win.Stride-win.Pad.Top, xx*win.Stride-win.Pad.Left
		return box{max(0, y0), min(h, y0+k), max(0, x0), min(w, x0+k), 1 / float32(k*k)}
	})
	t.average(out.Value.Data, x.Value.Data, planes, h, w, oh, ow, boxes)
	if n != nil {
		n.boxes, n.ints = boxes, [8]int{planes, h, w, oh, ow}
	}
	return out
}

// AdaptiveAvgPool2d averages over windows that divide the picture into h x w, overlapping or repeating where they must.
func (t *Tape) AdaptiveAvgPool2d(x *Var, h, w int) *Var {
	planes, ih, iw := t.pictures("adaptive_avg_pool2d", x)
	out := t.result(x.Shape()[0], x.Shape()[1], h, w)
	n := t.record("adaptive_avg_pool2d", backAverage, out, x)
	boxes := boxesOf(h, w, func(y, xx int) box {
		b := box{y * ih / h, ((y+1)*ih + h - 1) / h, xx * iw / w, ((xx+1)*iw + w - 1) / w, 0}
		b.weight = 1 / float32((b.y1-b.y0)*(b.x1-b.x0))
		return b
	})
	t.average(out.Value.Data, x.Value.Data, planes, ih, iw, h, w, boxes)
	if n != nil {
		n.boxes, n.ints = boxes, [8]int{planes, ih, iw, h, w}
	}
	return out
}

// box is what one output value averages over, and the weight of each value.
type box struct {
	y0, y1, x0, x1 int
	weight         float32
}

// boxesOf lists the boxes of a plane's results, row by row: all planes have the same.
func boxesOf(h, w int, f func(y, x int) box) []box {
	boxes := make([]box, 0, h*w)
	for y := range h {
		for x := range w {
			boxes = append(boxes, f(y, x))
		}
	}
	return boxes
}

func (t *Tape) average(dst, src []float32, planes, h, w, oh, ow int, boxes []box) {
	parallel.For(t.Workers, planes, func(p int) {
		from, to := src[p*h*w:(p+1)*h*w], dst[p*oh*ow:(p+1)*oh*ow]
		for i, b := range boxes {
			var sum float32
			for y := b.y0; y < b.y1; y++ {
				for _, v := range from[y*w+b.x0 : y*w+max(b.x0, b.x1)] {
					sum += v
				}
			}
			to[i] = sum * b.weight
		}
	})
}

// dx gets dout, spread evenly over each window
func backAverage(t *Tape, n *node) {
	planes, h, w, oh, ow := n.ints[0], n.ints[1], n.ints[2], n.ints[3], n.ints[4]
	dst, g, boxes := t.summed(n.in[0]), n.out.Grad.Data, n.boxes
	parallel.For(t.Workers, planes, func(p int) {
		to := dst[p*h*w : (p+1)*h*w]
		for i, b := range boxes {
			v := g[p*oh*ow+i] * b.weight
			for y := b.y0; y < b.y1; y++ {
				for x := b.x0; x < b.x1; x++ {
					to[y*w+x] += v
				}
			}
		}
	})
}
