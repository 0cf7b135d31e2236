package autograd

import (
	"fmt"
	"slices"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// piece is how many values a goroutine takes at once; fewer are not worth one.
const piece = 1 << 15

// spread calls f for pieces of n values.
func (t *Tape) spread(n int, f func(from, to int)) {
	parallel.For(t.Workers, (n+piece-1)/piece, func(i int) { f(i*piece, min(n, (i+1)*piece)) })
}

// affine sets dst to s·x + u·y + c, clamped; y may be nil.
func (t *Tape) affine(dst, x, y []float32, s, u, c, lo, hi float32) {
	if len(dst) <= piece {
		kernel.Affine(dst, x, y, s, u, c, lo, hi)
		return
	}
	t.spread(len(dst), func(from, to int) {
		if y == nil {
			kernel.Affine(dst[from:to], x[from:to], nil, s, u, c, lo, hi)
		} else {
			kernel.Affine(dst[from:to], x[from:to], y[from:to], s, u, c, lo, hi)
		}
	})
}

// addTo adds s·g to v's gradient, if one is wanted.
func (t *Tape) addTo(v *Var, g []float32, s float32) {
	if v == nil || !v.requiresGrad {
		return
	}
	dst, accumulate := t.gradient(v)
	if accumulate {
		t.affine(dst, g, dst, s, 1, 0, -inf, inf)
	} else {
		t.affine(dst, g, nil, s, 0, 0, -inf, inf)
	}
}

// Add is x + y. As in PyTorch, dimensions of size 1, and missing leading ones, stretch.
func (t *Tape) Add(x, y *Var) *Var { return t.combine("add", x, y, 1) }

// Sub is x - y, stretched like Add.
func (t *Tape) Sub(x, y *Var) *Var { return t.combine("sub", x, y, -1) }

func (t *Tape) combine(op string, x, y *Var, sign float32) *Var {
	if slices.Equal(x.Shape(), y.Shape()) {
		out := t.result(x.Shape()...)
		t.affine(out.Value.Data, x.Value.Data, y.Value.Data, 1, sign, 0, -inf, inf)
		if n := t.record(op, backCombine, out, x, y); n != nil {
			n.nums[0] = sign
		}
		return out
	}
	out := t.stretched(op, x, y)
	o, xs, ys := out.Value.Data, x.Value.Data, y.Value.Data
	stretch(out.Shape(), x.Shape(), y.Shape(), func(i, j, k int) { o[i] = xs[j] + sign*ys[k] })
	if n := t.record(op, backCombine, out, x, y); n != nil {
		n.nums[0] = sign
	}
	return out
}

// out = x ± y: dx = dout, dy = ±dout, summed over what was stretched
func backCombine(t *Tape, n *node) {
	g := n.out.Grad.Data
	for i, s := range []float32{1, n.nums[0]} {
		v := n.in[i]
		if slices.Equal(v.Shape(), n.out.Shape()) {
			t.addTo(v, g, s)
		} else if v.requiresGrad {
			dst := t.summed(v)
			stretch(n.out.Shape(), v.Shape(), v.Shape(), func(i, j, _ int) { dst[j] += s * g[i] })
		}
	}
}

// AddInPlace is x + y of equal shapes, in x's memory: x.Value must not be needed by the operator that made it, and cannot be used again.
// It is what a residual block adds with.
func (t *Tape) AddInPlace(x, y *Var) *Var {
	if !slices.Equal(x.Shape(), y.Shape()) {
		t.misfit("add", fmt.Sprint(y.Shape()), x.Shape())
	}
	out := t.taken("add", x)
	t.affine(out.Value.Data, out.Value.Data, y.Value.Data, 1, 1, 0, -inf, inf)
	t.record("add", backAddInPlace, out, x, y)
	return out
}

// out = x + y: dx takes dout over, dy gets it added
func backAddInPlace(t *Tape, n *node) {
	t.addTo(n.in[1], n.out.Grad.Data, 1)
	t.handOver(n.in[0], n.out)
}

// taken returns a Var of x's shape that has taken over its memory.
func (t *Tape) taken(op string, x *Var) *Var {
	if x.leaf || x.base != nil || x.kept || needsOutput(t, x) {
		panic("autograd: " + op + " in place of a value that is still needed")
	}
	out := t.newVar()
	out.shape(x.Shape(), x.Value.Data)
	x.Value = nil
	return out
}

// needsOutput reports whether the operator that made x, the last that was recorded, reads its own result in backward.
func needsOutput(t *Tape, x *Var) bool {
	for i := len(t.nodes) - 1; i >= 0; i-- {
		if t.nodes[i].out == x {
			switch t.nodes[i].op {
			case "batch_norm", "conv2d", "conv_transpose2d", "linear", "add", "layer_norm", "matmul":
				return false
			}
			return true
		}
	}
	return false
}

// handOver makes out's gradient v's, without a copy where v has none yet.
func (t *Tape) handOver(v, out *Var) {
	if !v.requiresGrad {
		return
	}
	if v.Grad != nil || v.leaf || out.kept {
		t.addTo(v, out.Grad.Data, 1)
		return
	}
	v.grad, v.Grad = out.grad, &v.grad
	out.grad.Data = t.memory.take(0)
}

// Mul is the product of values, stretched like Add.
func (t *Tape) Mul(x, y *Var) *Var {
	out := t.stretched("mul", x, y)
	o, xs, ys := out.Value.Data, x.Value.Data, y.Value.Data
	stretch(out.Shape(), x.Shape(), y.Shape(), func(i, j, k int) { o[i] = xs[j] * ys[k] })
	t.record("mul", backMul, out, x, y)
	return out
}

// out = x·y: dx = dout·y, dy = dout·x
func backMul(t *Tape, n *node) {
	g := n.out.Grad.Data
	for i, v := range n.in[:2] {
		if !v.requiresGrad {
			continue
		}
		other := n.in[1-i]
		dst, o := t.summed(v), other.Value.Data
		stretch(n.out.Shape(), v.Shape(), other.Shape(), func(i, j, k int) { dst[j] += g[i] * o[k] })
	}
}

// summed returns v's gradient, zero where it is new, to add to.
func (t *Tape) summed(v *Var) []float32 {
	dst, accumulate := t.gradient(v)
	if !accumulate {
		clear(dst)
	}
	return dst
}

// Scale is s·x + c.
func (t *Tape) Scale(x *Var, s, c float32) *Var {
	out := t.result(x.Shape()...)
	t.affine(out.Value.Data, x.Value.Data, nil, s, 0, c, -inf, inf)
	if n := t.record("scale", backScale, out, x); n != nil {
		n.nums[0] = s
	}
	return out
}

// dx = s·dout
func backScale(t *Tape, n *node) { t.addTo(n.in[0], n.out.Grad.Data, n.nums[0]) }

// stretched is a result of the shape that x and y stretch to.
func (t *Tape) stretched(op string, x, y *Var) *Var {
	var shape [maxDims]int
	a, b := x.Shape(), y.Shape()
	n := max(len(a), len(b))
	for i := 1; i <= n; i++ {
		da, db := 1, 1
		if i <= len(a) {
			da = a[len(a)-i]
		}
		if i <= len(b) {
			db = b[len(b)-i]
		}
		if da != db && da != 1 && db != 1 {
			t.misfit(op, fmt.Sprintf("one that stretches to %v", b), a)
		}
		shape[n-i] = max(da, db)
		if da == 0 || db == 0 {
			shape[n-i] = 0
		}
	}
	return t.result(shape[:n]...)
}

// stretch calls f(i, j, k) for every index i of a result and the indices j and k of the operands' values it is made from.
func stretch(shape, a, b []int, f func(i, j, k int)) {
	var sa, sb, at [maxDims]int
	steps := func(dst *[maxDims]int, s []int) {
		step := 1
		for i := 1; i <= len(s); i++ {
			if s[len(s)-i] > 1 {
				dst[len(shape)-i] = step
			}
			step *= s[len(s)-i]
		}
	}
	steps(&sa, a)
	steps(&sb, b)
	total := 1
	for _, d := range shape {
		total *= d
	}
	if total == 0 {
		return
	}
	last := len(shape) - 1
	j, k := 0, 0
	for i := 0; i < total; {
		if last < 0 {
			f(0, 0, 0)
			return
		}
		for range shape[last] {
			f(i, j, k)
			i++
			j += sa[last]
			k += sb[last]
		}
		j -= sa[last] * shape[last]
		k -= sb[last] * shape[last]
		for d := last - 1; d >= 0; d-- {
			at[d]++
			j += sa[d]
			k += sb[d]
			if at[d] < shape[d] {
				break
			}
			j -= sa[d] * shape[d]
			k -= sb[d] * shape[d]
			at[d] = 0
		}
	}
}
