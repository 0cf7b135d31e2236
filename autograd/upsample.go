package autograd

import "github.com/blemish/blemish/internal/parallel"

// UpsampleNearest repeats values: row y of the result is row ⌊y·H/h⌋ of x (N, C, H, W).
func (t *Tape) UpsampleNearest(x *Var, h, w int) *Var {
	return t.resize("upsample_nearest", x, h, w, func(i, in, out int) (int, int, float32) {
		at := min(in-1, int(float32(i)*(float32(in)/float32(out))))
		return at, at, 0
	})
}

// UpsampleBilinear interpolates between pixel centres (PyTorch's align_corners=False, no antialiasing).
func (t *Tape) UpsampleBilinear(x *Var, h, w int) *Var {
	return t.resize("upsample_bilinear", x, h, w, func(i, in, out int) (int, int, float32) {
		at := max(0, (float32(i)+0.5)*(float32(in)/float32(out))-0.5)
		lo := min(in-1, int(at))
		return lo, min(lo+1, in-1), at - float32(lo)
	})
}

// blend is a value made of two: (1-weight)·lo + weight·hi.
type blend struct {
	lo, hi int
	weight float32
}

func (t *Tape) resize(op string, x *Var, h, w int, from func(i, in, out int) (lo, hi int, weight float32)) *Var {
	planes, ih, iw := t.pictures(op, x)
	out := t.result(x.Shape()[0], x.Shape()[1], h, w)
	blends := func(in, out int) []blend {
		b := make([]blend, out)
		for i := range b {
			b[i].lo, b[i].hi, b[i].weight = from(i, in, out)
		}
		return b
	}
	rows, columns := blends(ih, h), blends(iw, w)
	src, dst := x.Value.Data, out.Value.Data
	parallel.For(t.Workers, planes, func(p int) {
		plane := src[p*ih*iw : (p+1)*ih*iw]
		for y, r := range rows {
			upper, lower := plane[r.lo*iw:][:iw], plane[r.hi*iw:][:iw]
			to := dst[(p*h+y)*w:][:w]
			for i, c := range columns {
				a := upper[c.lo]*(1-c.weight) + upper[c.hi]*c.weight
				b := lower[c.lo]*(1-c.weight) + lower[c.hi]*c.weight
				to[i] = a*(1-r.weight) + b*r.weight
			}
		}
	})
	if n := t.record(op, backResize, out, x); n != nil {
		n.rows, n.columns = rows, columns
		n.ints = [8]int{planes, ih, iw, h, w}
	}
	return out
}

// dx gets dout in the proportions in which x was blended
func backResize(t *Tape, n *node) {
	planes, ih, iw, h, w := n.ints[0], n.ints[1], n.ints[2], n.ints[3], n.ints[4]
	dst, g, rows, columns := t.summed(n.in[0]), n.out.Grad.Data, n.rows, n.columns
	parallel.For(t.Workers, planes, func(p int) {
		plane := dst[p*ih*iw : (p+1)*ih*iw]
		for y, r := range rows {
			upper, lower := plane[r.lo*iw:][:iw], plane[r.hi*iw:][:iw]
			for i, c := range columns {
				v := g[(p*h+y)*w+i]
				upper[c.lo] += v * (1 - r.weight) * (1 - c.weight)
				upper[c.hi] += v * (1 - r.weight) * c.weight
				lower[c.lo] += v * r.weight * (1 - c.weight)
				lower[c.hi] += v * r.weight * c.weight
			}
		}
	})
}
