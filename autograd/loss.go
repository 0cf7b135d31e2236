package autograd

import (
	"fmt"
	"slices"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// Reduction says what a loss makes of the losses of single values. The mean is the default.
type Reduction int

// The reductions of PyTorch.
const (
	ReduceMean      Reduction = iota // their mean, of shape ()
	ReduceSum                        // their sum, of shape ()
	ReduceBatchMean                  // their sum divided by the first dimension, of shape ()
	ReduceNone                       // each by itself
)

func chosen(r []Reduction) Reduction {
	if len(r) == 0 {
		return ReduceMean
	}
	return r[0]
}

// divisor is what the sum of the losses of values of the given shape is divided by.
func (r Reduction) divisor(shape []int) float64 {
	switch {
	case r == ReduceMean:
		return float64(volume(shape))
	case r == ReduceBatchMean && len(shape) > 0:
		return float64(shape[0])
	}
	return 1
}

// reduced is a loss whose values have the given shape before they are reduced.
func (t *Tape) reduced(r Reduction, shape ...int) *Var {
	if r == ReduceNone {
		return t.result(shape...)
	}
	return t.result()
}

// alike panics unless both have one shape. PyTorch stretches here, and warns: it is nearly always a mistake.
func (t *Tape) alike(op string, x, y *Var) {
	if !slices.Equal(x.Shape(), y.Shape()) {
		t.misfit(op, fmt.Sprintf("%v, the target's", y.Shape()), x.Shape())
	}
}

// many reports whether n items of some values each are worth goroutines.
func many(n, each int) bool { return n*each > piece }

// chunks calls f for runs of n items of some values each.
func (t *Tape) chunks(n, each int, f func(from, to int)) {
	run := max(1, piece/max(each, 1))
	parallel.For(t.Workers, (n+run-1)/run, func(i int) { f(i*run, min(n, (i+1)*run)) })
}

// added is the sum of what f returns for runs of n items of some values each, added in their order.
func (t *Tape) added(n, each int, f func(from, to int) float64) float64 {
	run := max(1, piece/max(each, 1))
	partial := make([]float64, (n+run-1)/run)
	t.chunks(n, each, func(from, to int) { partial[from/run] = f(from, to) })
	sum := 0.0
	for _, v := range partial {
		sum += v
	}
	return sum
}

// pull is the gradient that reaches the loss of value i: the loss's own, divided by what its mean was divided by.
func pull(g []float32, i int, r Reduction, scale float64) float64 {
	if r == ReduceNone {
		return float64(g[i])
	}
	return float64(g[0]) * scale
}

// MSE is the mean of (x-y)², for x and y of equal shapes.
func (t *Tape) MSE(x, y *Var, r ...Reduction) *Var {
	t.alike("mse_loss", x, y)
	how, n := chosen(r), len(x.Value.Data)
	d := t.memory.take(n)
	t.affine(d, x.Value.Data, y.Value.Data, 1, -1, 0, -inf, inf)
	out := t.reduced(how, x.Shape()...)
	if how == ReduceNone {
		for i, v := range d {
			out.Value.Data[i] = v * v
		}
	} else {
		var sum float64
		if many(n, 1) {
			sum = t.added(n, 1, func(from, to int) float64 { return squares(d[from:to]) })
		} else {
			sum = squares(d)
		}
		out.Value.Data[0] = float32(sum / how.divisor(x.Shape()))
	}
	if n := t.record("mse_loss", backMSE, out, x, y); n != nil {
		n.saved[0], n.ints[0] = d, int(how)
	} else {
		t.memory.give(d)
	}
	return out
}

func squares(x []float32) float64 {
	_, sum := kernel.Moments(x, x, 0, 0)
	return sum
}

// dx = 2(x-y)·dout, dy = -dx
func backMSE(t *Tape, n *node) {
	d, g, r := n.saved[0], n.out.Grad.Data, Reduction(n.ints[0])
	for i, sign := range []float64{2, -2} {
		v := n.in[i]
		if r != ReduceNone {
			t.addTo(v, d, float32(sign*float64(g[0])/r.divisor(v.Shape())))
		} else if v.requiresGrad {
			dst := t.summed(v)
			for k, u := range d {
				dst[k] += float32(sign) * u * g[k]
			}
		}
	}
}

// L1 is the mean of |x-y|, for x and y of equal shapes. Its slope at 0 is 0.
func (t *Tape) L1(x, y *Var, r ...Reduction) *Var { return t.pair(l1, backL1, x, y, 0, 0, chosen(r)) }

// SmoothL1 is the mean of (x-y)²/2β where |x-y| < β and of |x-y| - β/2 elsewhere, for x and y of equal shapes. PyTorch's default for β is 1;
// with 0 it is L1.
func (t *Tape) SmoothL1(x, y *Var, beta float32, r ...Reduction) *Var {
	return t.pair(smoothL1, backSmoothL1, x, y, beta, 0, chosen(r))
}

var l1 = &pairwise{"l1_loss", func(x, y, _, _ float64) float64 { return abs.f(x - y) }, func(x, y, _, _ float64) (dx, dy float64) {
	s := abs.slope(x-y, 0)
	return s, -s
}}

var smoothL1 = &pairwise{"smooth_l1_loss", func(x, y, beta, _ float64) float64 {
	d := abs.f(x - y)
	if d < beta {
		return d * d / (2 * beta)
	}
	return d - beta/2
}, func(x, y, beta, _ float64) (dx, dy float64) {
	d := x - y
	s := abs.slope(d, 0)
	if abs.f(d) < beta {
		s = d / beta
	}
	return s, -s
}}

func backL1(t *Tape, n *node)       { t.backPair(n, l1) }
func backSmoothL1(t *Tape, n *node) { t.backPair(n, smoothL1) }

// pairwise is a loss of two values with two settings, and its derivatives.
type pairwise struct {
	name  string
	f     func(x, y, a, b float64) float64
	slope func(x, y, a, b float64) (dx, dy float64)
}

// pairJob computes a pairwise loss or its derivatives for a run of values. Its methods take it by value: it goes to the heap only with the
// closures of large inputs.
type pairJob struct {
	*pairwise
	x, y, out, dx, dy, g []float32
	a, b, scale          float64
	how                  Reduction
}

func (t *Tape) pair(p *pairwise, back func(*Tape, *node), x, y *Var, a, b float32, r Reduction) *Var {
	t.alike(p.name, x, y)
	out := t.reduced(r, x.Shape()...)
	j := pairJob{pairwise: p, x: x.Value.Data, y: y.Value.Data, out: out.Value.Data, a: float64(a), b: float64(b), how: r}
	var sum float64
	if n := len(j.x); many(n, 1) {
		sum = t.added(n, 1, j.values)
	} else {
		sum = j.values(0, n)
	}
	if r != ReduceNone {
		out.Value.Data[0] = float32(sum / r.divisor(x.Shape()))
	}
	if n := t.record(p.name, back, out, x, y); n != nil {
		n.ints[0], n.nums[0], n.nums[1] = int(r), a, b
	}
	return out
}

func (j pairJob) values(from, to int) (sum float64) {
	for i := from; i < to; i++ {
		v := j.f(float64(j.x[i]), float64(j.y[i]), j.a, j.b)
		if j.how == ReduceNone {
			j.out[i] = float32(v)
		}
		sum += v
	}
	return sum
}

func (t *Tape) backPair(n *node, p *pairwise) {
	x, y, r := n.in[0], n.in[1], Reduction(n.ints[0])
	j := pairJob{pairwise: p, x: x.Value.Data, y: y.Value.Data, g: n.out.Grad.Data, a: float64(n.nums[0]), b: float64(n.nums[1]), how: r}
	j.scale = 1 / r.divisor(x.Shape())
	j.dx, j.dy = t.wanted(x), t.wanted(y)
	if n := len(j.x); many(n, 1) {
		t.chunks(n, 1, j.slopes)
	} else {
		j.slopes(0, n)
	}
}

func (j pairJob) slopes(from, to int) {
	for i := from; i < to; i++ {
		g := pull(j.g, i, j.how, j.scale)
		dx, dy := j.slope(float64(j.x[i]), float64(j.y[i]), j.a, j.b)
		if j.dx != nil {
			j.dx[i] += float32(g * dx)
		}
		if j.dy != nil {
			j.dy[i] += float32(g * dy)
		}
	}
}

// wanted is v's gradient to add to, nil if none is wanted.
func (t *Tape) wanted(v *Var) []float32 {
	if v == nil || !v.requiresGrad {
		return nil
	}
	return t.summed(v)
}
