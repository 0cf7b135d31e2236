package kernel

import (
	"math"
	"unsafe"
)

// rowsJob computes some rows of one block in each item.
type rowsJob struct {
	job
	l     Layer
	spans int // of rows
	do    func(l *Layer, v *Values, w *Worker, block, y int)
}

// perRow makes a job of a function that computes one row of one block.
func perRow(l Layer, do func(l *Layer, v *Values, w *Worker, block, y int)) *rowsJob {
	blocks := l.Out.Blocks()
	j := &rowsJob{l: l, spans: min(l.Out.H, max(1, (balanced+blocks-1)/blocks)), do: do}
	j.phases = []int{blocks * j.spans}
	return j
}

func (j *rowsJob) Do(v *Values, w *Worker, _, item int) {
	block, span := item/j.spans, item%j.spans
	y0, y1 := span*v.Out.H/j.spans, (span+1)*v.Out.H/j.spans
	v.Out.clearRows(block, y0, y1)
	for y := y0; y < y1; y++ {
		j.do(&j.l, v, w, block, y)
	}
}

// Prepare makes the convolution ready for a layer without a residual.
func (d *Depthwise) Prepare(l Layer) Job {
	offsets := tapOffsets(d.spec, &l.In)
	taps := len(offsets)
	return perRow(l, func(l *Layer, v *Values, w *Worker, block, y int) {
		w.taps = tapArgs{
			in:      unsafe.Pointer(&v.In.Data[v.In.at(block, y*d.spec.Stride-l.Pad[0], -l.Pad[1])]),
			offsets: &offsets[0], taps: taps, weights: &d.weights[block*taps*Block],
			out: unsafe.Pointer(&v.Out.Data[v.Out.at(block, y, 0)]), pixels: v.Out.W, bias: &d.bias[block*Block],
			stride: 4 * d.spec.Stride * Block, lo: l.Lo, hi: l.Hi,
		}
		if l.Act != NoAct {
			w.taps.lo, w.taps.hi = -unbounded, unbounded
		}
		d.set.depthwise(&w.taps)
		l.Act.apply(v.Out.row(block, y), l.Lo, l.Hi)
	})
}

// lowest are where maxima begin; a maximum has no weights.
var (
	lowest = func() (x [Block]float32) {
		for i := range x {
			x[i] = float32(math.Inf(-1))
		}
		return x
	}()
	unused [32 * 32 * Block]float32
)

// MaxPoolLimit is the largest window of PrepareMaxPool.
const MaxPoolLimit = 32

// PrepareMaxPool takes the largest value under each window; what lies outside the input does not count, as in PyTorch.
func PrepareMaxPool(k TapSpec, l Layer) Job {
	fn := use().maxPool
	// columns whose windows lie within the input
	x0 := min(l.Out.W, (l.Pad[1]+k.Stride-1)/k.Stride)
	x1 := max(x0, min(l.Out.W, (l.In.W+l.Pad[1]-(k.Kernel-1)*k.Dilation-1)/k.Stride+1))
	return perRow(l, func(l *Layer, v *Values, w *Worker, block, y int) {
		in, out := v.In, v.Out
		top := y*k.Stride - l.Pad[0]
		for x := 0; x < out.W; {
			pixels := 1
			if x == x0 && x1 > x0 {
				pixels = x1 - x0
			}
			w.offsets = w.offsets[:0]
			left := x*k.Stride - l.Pad[1]
			for ky := range k.Kernel {
				for kx := range k.Kernel {
					yy, xx := top+ky*k.Dilation, left+kx*k.Dilation
					if yy >= 0 && yy < in.H && xx >= 0 && xx+(pixels-1)*k.Stride < in.W {
						w.offsets = append(w.offsets, int64(4*(in.at(block, yy, xx)-in.at(block, 0, 0))))
					}
				}
			}
			w.taps = tapArgs{
				in: unsafe.Pointer(&in.Data[in.at(block, 0, 0)]), offsets: &w.offsets[0], taps: len(w.offsets), weights: &unused[0],
				out: unsafe.Pointer(&out.Data[out.at(block, y, x)]), pixels: pixels, bias: &lowest[0],
				stride: 4 * k.Stride * Block, lo: l.Lo, hi: l.Hi,
			}
			fn(&w.taps)
			x += pixels
		}
		if l.Act != NoAct {
			l.Act.apply(out.row(block, y), l.Lo, l.Hi)
		}
	})
}

// PrepareAdd computes in + residual, of one shape.
func PrepareAdd(l Layer) Job {
	return perRow(l, func(l *Layer, v *Values, _ *Worker, block, y int) {
		lo, hi := l.Lo, l.Hi
		if l.Act != NoAct {
			lo, hi = -unbounded, unbounded
		}
		row := v.Out.row(block, y)
		Affine(row, v.In.row(block, y), v.Residual.row(block, y), 1, 1, 0, lo, hi)
		l.Act.apply(row, l.Lo, l.Hi)
	})
}

// PrepareAct only clamps and activates.
func PrepareAct(l Layer) Job {
	return perRow(l, func(l *Layer, v *Values, _ *Worker, block, y int) {
		row := v.Out.row(block, y)
		if l.Act == NoAct {
			Affine(row, v.In.row(block, y), nil, 1, 0, 0, l.Lo, l.Hi)
			return
		}
		copy(row, v.In.row(block, y))
		l.Act.apply(row, l.Lo, l.Hi)
	})
}
