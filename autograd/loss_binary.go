package autograd

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/tensor"
)

// BCE holds the settings of BCEWithLogits. The weights have shapes that stretch to the input's, as in Add: (C) for (N,C), (C,1,1) for
// (N,C,H,W).
type BCE struct {
	Weight    *tensor.Tensor // of each value; nil for 1
	PosWeight *tensor.Tensor // of the positive part: more than 1 asks for fewer misses; nil for 1
	Reduction Reduction      // the mean divides by the number of values, whatever their weights
}

// BCEWithLogits is the cross-entropy of targets y in 0..1 and the probabilities sigmoid(x), for x and y of equal shapes:
// weight·(posWeight·y·log(1+exp(-x)) + (1-y)·log(1+exp(x))).
func (t *Tape) BCEWithLogits(x, y *Var, o BCE) *Var {
	const op = "binary_cross_entropy_with_logits"
	t.alike(op, x, y)
	out := t.reduced(o.Reduction, x.Shape()...)
	j := binaryJob{x: x.Value.Data, y: y.Value.Data, out: out.Value.Data, how: o.Reduction}
	j.weight, j.pos = t.expanded(op, o.Weight, x), t.expanded(op, o.PosWeight, x)
	var sum float64
	if n := len(j.x); many(n, 1) {
		sum = t.added(n, 1, j.values)
	} else {
		sum = j.values(0, n)
	}
	if o.Reduction != ReduceNone {
		out.Value.Data[0] = float32(sum / o.Reduction.divisor(x.Shape()))
	}
	if n := t.record(op, backBCE, out, x, y); n != nil {
		n.ints[0], n.saved[0], n.saved[1] = int(o.Reduction), j.weight, j.pos
		return out
	}
	for _, b := range [][]float32{j.weight, j.pos} {
		if b != nil {
			t.memory.give(b)
		}
	}
	return out
}

// expanded is w stretched to x's shape, in the tape's memory; nil for nil.
func (t *Tape) expanded(op string, w *tensor.Tensor, x *Var) []float32 {
	if w == nil {
		return nil
	}
	xs, d := x.Shape(), len(x.Shape())-len(w.Shape)
	for i, n := range w.Shape {
		if d < 0 || n != 1 && n != xs[d+i] {
			t.misfit(op, fmt.Sprintf("weights that stretch to %v", xs), w.Shape)
		}
	}
	dst := t.memory.take(volume(xs))
	stretch(xs, w.Shape, w.Shape, func(i, j, _ int) { dst[i] = w.Data[j] })
	return dst
}

type binaryJob struct {
	x, y, weight, pos, out, dx, dy, g []float32
	scale                             float64
	how                               Reduction
}

func (j *binaryJob) weights(i int) (weight, pos float64) {
	weight, pos = 1, 1
	if j.weight != nil {
		weight = float64(j.weight[i])
	}
	if j.pos != nil {
		pos = float64(j.pos[i])
	}
	return weight, pos
}

// logExp1 is log(1+exp(x)) for x and -x, without overflow.
func logExp1(x float64) (up, down float64) {
	l := math.Log1p(math.Exp(-math.Abs(x)))
	return max(x, 0) + l, max(-x, 0) + l
}

func (j binaryJob) values(from, to int) (sum float64) {
	for i := from; i < to; i++ {
		weight, pos := j.weights(i)
		y := float64(j.y[i])
		up, down := logExp1(float64(j.x[i]))
		v := weight * ((1-y)*up + pos*y*down)
		if j.how == ReduceNone {
			j.out[i] = float32(v)
		}
		sum += v
	}
	return sum
}

// dx = weight·((1-y)·sigmoid(x) - posWeight·y·sigmoid(-x)), dy = weight·(posWeight·log(1+exp(-x)) - log(1+exp(x)))
func backBCE(t *Tape, n *node) {
	x, y, r := n.in[0], n.in[1], Reduction(n.ints[0])
	j := binaryJob{x: x.Value.Data, y: y.Value.Data, weight: n.saved[0], pos: n.saved[1], g: n.out.Grad.Data, how: r}
	j.scale = 1 / r.divisor(x.Shape())
	j.dx, j.dy = t.wanted(x), t.wanted(y)
	if n := len(j.x); many(n, 1) {
		t.chunks(n, 1, j.slopes)
	} else {
		j.slopes(0, n)
	}
}

func (j binaryJob) slopes(from, to int) {
	for i := from; i < to; i++ {
		weight, pos := j.weights(i)
		x, y := float64(j.x[i]), float64(j.y[i])
		g := weight * pull(j.g, i, j.how, j.scale)
		if j.dx != nil {
			j.dx[i] += float32(g * ((1-y)*logistic(x) - pos*y*logistic(-x)))
		}
		if j.dy != nil {
			up, down := logExp1(x)
			j.dy[i] += float32(g * (pos*down - up))
		}
	}
}

// Focal is the focal loss of binary targets (Lin et al. 2017), for logits x and targets y in 0..1 of equal shapes:
// -αₜ·(1-pₜ)^γ·log pₜ, where pₜ is the probability of the target and αₜ is α for positive and 1-α for negative ones, or 1 if α is negative.
// The paper's values are α = 0.25 and γ = 2.
func (t *Tape) Focal(x, y *Var, alpha, gamma float32, r ...Reduction) *Var {
	return t.pair(focal, backFocal, x, y, alpha, gamma, chosen(r))
}

var focal = &pairwise{"sigmoid_focal_loss", func(x, y, alpha, gamma float64) float64 {
	up, down := logExp1(x)
	return side(y, alpha) * ((1-y)*up + y*down) * math.Pow(miss(x, y), gamma)
}, func(x, y, alpha, gamma float64) (dx, dy float64) {
	// the product rule for α·entropy·miss^γ
	up, down := logExp1(x)
	entropy, a, u := (1-y)*up+y*down, side(y, alpha), miss(x, y)
	p, q := logistic(x), logistic(-x)
	uγ := math.Pow(u, gamma)
	lead := 0.0 // d(u^γ)/du·entropy; the entropy vanishes faster than a negative power of u grows
	if gamma != 0 && u != 0 {
		lead = entropy * gamma * math.Pow(u, gamma-1)
	}
	dx = a * (((1-y)*p-y*q)*uγ + lead*p*q*(1-2*y))
	dy = a * (-x*uγ + lead*(q-p))
	if alpha >= 0 {
		dy += (2*alpha - 1) * entropy * uγ
	}
	return dx, dy
}}

// miss is the probability of what the target is not.
func miss(x, y float64) float64 { return logistic(x)*(1-y) + logistic(-x)*y }

func side(y, alpha float64) float64 {
	if alpha < 0 {
		return 1
	}
	return alpha*y + (1-alpha)*(1-y)
}

func backFocal(t *Tape, n *node) { t.backPair(n, focal) }
