package kernel

import (
	"math"
	"unsafe"
)

// LayerNorm normalises the channels of each pixel, then scales and shifts them (Ba et al., 2016, arXiv:1607.06450).
type LayerNorm struct {
	scale, shift []float32
	epsilon      float64
	set          *set
}

// normArgs are the arguments of layerNorm. The assembly knows this layout.
type normArgs struct {
	in       unsafe.Pointer
	inPlane  int // bytes from one block to the next
	out      unsafe.Pointer
	outPlane int
	blocks   int // whole ones
	pixels   int
	scale    *float32
	shift    *float32
	count    float32 // channels
	epsilon  float32
	lo, hi   float32
}

// NewLayerNorm takes scale and shift (C).
func NewLayerNorm(scale, shift []float32, epsilon float64) *LayerNorm {
	return &LayerNorm{scale, shift, epsilon, use()}
}

// pixelsJob computes some pixels of a row, of all channels, in each item.
type pixelsJob struct {
	job
	l     Layer
	spans int // of a row
	do    func(l *Layer, v *Values, w *Worker, y, x0, x1 int)
}

func (j *pixelsJob) Do(v *Values, w *Worker, _, item int) {
	y, span := item/j.spans, item%j.spans
	x0, x1 := span*v.Out.W/j.spans, (span+1)*v.Out.W/j.spans
	if span == 0 {
		for b := range v.Out.Blocks() {
			v.Out.clearRows(b, y, y+1)
		}
	}
	j.do(&j.l, v, w, y, x0, x1)
}

// Prepare makes the norm ready for a layer.
func (n *LayerNorm) Prepare(l Layer) Job {
	spans := min(l.Out.W, max(1, (balanced+l.Out.H-1)/l.Out.H))
	j := &pixelsJob{job: job{phases: []int{l.Out.H * spans}, own: l.In.Blocks() * Block}, l: l, spans: spans}
	j.do = func(l *Layer, v *Values, w *Worker, y, x0, x1 int) {
		if x1 > x0 && l.In.C%Block == 0 {
			w.norm = normArgs{
				in: unsafe.Pointer(&v.In.Data[v.In.at(0, y, x0)]), inPlane: 4 * v.In.plane(), pixels: x1 - x0,
				out: unsafe.Pointer(&v.Out.Data[v.Out.at(0, y, x0)]), outPlane: 4 * v.Out.plane(), blocks: l.In.Blocks(),
				scale: &n.scale[0], shift: &n.shift[0], count: float32(l.In.C), epsilon: float32(n.epsilon), lo: l.Lo, hi: l.Hi,
			}
			n.set.layerNorm(&w.norm)
			return
		}
		for x := x0; x < x1; x++ {
			n.pixel(l, v, w.Scratch[:l.In.C], y, x)
		}
	}
	return j
}

func (n *LayerNorm) pixel(l *Layer, v *Values, values []float32, y, x int) {
	in, out := v.In, v.Out
	at, plane := in.at(0, y, x), in.plane()
	for c := 0; c < len(values); c += Block {
		copy(values[c:min(c+Block, len(values))], in.Data[at:at+Block])
		at += plane
	}
	sum, _ := Moments(values, values, 0, 0)
	mean := float32(sum / float64(len(values)))
	rest, squares := Moments(values, values, mean, mean)
	d := rest / float64(len(values)) // what rounding the mean left
	f := 1 / math.Sqrt(max(0, squares/float64(len(values))-d*d)+n.epsilon)
	Affine(values, values, nil, float32(f), 0, float32(-(float64(mean)+d)*f), -unbounded, unbounded)
	at, plane = out.at(0, y, x), out.plane()
	for c := 0; c < len(values); c += Block {
		to := out.Data[at:][:Block]
		if c+Block > len(values) {
			clear(to)
		}
		part := values[c:min(c+Block, len(values))]
		scale, shift := n.scale[c:][:len(part)], n.shift[c:][:len(part)]
		for i, x := range part {
			to[i] = min(max(x*scale[i]+shift[i], l.Lo), l.Hi)
		}
		at += plane
	}
}
