package autograd

import "math"

// FocalSoftmax is the focal loss of several classes (Lin et al. 2017): -alpha[y]·(1-p)^γ·log p with p = softmax(x)[y], for logits x (N,C,…)
// with the classes along dimension 1 and one label y for each of the N·… others. nil for alpha is 1 for every class. Its mean divides by the
// number of labels. Unreduced losses have shape (N,…).
func (t *Tape) FocalSoftmax(x *Var, labels []int, gamma float32, alpha []float32, r ...Reduction) *Var {
	const op = "softmax_focal_loss"
	how, v := chosen(r), t.vectors(op, x)
	out := t.reduced(how, v.shape()...)
	j := focalJob{classJob{vectors: v, x: x.Value.Data, out: out.Value.Data, how: how}, float64(gamma)}
	j.labels = t.labels(op, x, labels, 0)
	j.weight = t.classWeights(op, alpha, x)
	var sum float64
	if n := j.count(); many(n, j.c) {
		sum = t.added(n, j.c, j.values)
	} else {
		sum = j.values(0, n)
	}
	if how != ReduceNone {
		out.Value.Data[0] = float32(sum / how.divisor(v.shape()))
	}
	if n := t.record(op, backFocalSoftmax, out, x); n != nil {
		n.ints[0], n.nums[0], n.index, n.saved[0] = int(how), gamma, j.labels, j.weight
		return out
	}
	t.memory.giveIndex(j.labels)
	if j.weight != nil {
		t.memory.give(j.weight)
	}
	return out
}

type focalJob struct {
	classJob
	gamma float64
}

// odds returns the softmax's largest logit and sum for the vector that starts at value at, and of class y: -log p, p, and 1-p, the latter as
// the sum of the others' probabilities, exact where p is nearly 1.
func (j *focalJob) odds(at, y int) (largest, total, entropy, p, rest float64) {
	largest, total = j.logSum(j.x, at)
	for c := range j.c {
		q := math.Exp(float64(j.x[at+c*j.inner])-largest) / total
		if c == y {
			p = q
		} else {
			rest += q
		}
	}
	return largest, total, largest - float64(j.x[at+y*j.inner]) + math.Log(total), p, rest
}

func (j focalJob) values(from, to int) (sum float64) {
	for i := from; i < to; i++ {
		y := int(j.labels[i])
		_, _, entropy, _, rest := j.odds(j.start(i), y)
		v := j.classWeight(y) * math.Pow(rest, j.gamma) * entropy
		if j.how == ReduceNone {
			j.out[i] = float32(v)
		}
		sum += v
	}
	return sum
}

func backFocalSoftmax(t *Tape, n *node) {
	x, r := n.in[0], Reduction(n.ints[0])
	j := focalJob{classJob{vectors: t.vectors(n.op, x), x: x.Value.Data, labels: n.index, weight: n.saved[0], g: n.out.Grad.Data, how: r},
		float64(n.nums[0])}
	j.dx = t.summed(x)
	j.scale = 1 / r.divisor(j.shape())
	if n := j.count(); many(n, j.c) {
		t.chunks(n, j.c, j.slopes)
	} else {
		j.slopes(0, n)
	}
}

// dx of class c = dout·alpha·(γ·(1-p)^(γ-1)·p·log p - (1-p)^γ)·((c is y) - softmax(x)[c])
func (j focalJob) slopes(from, to int) {
	for i := from; i < to; i++ {
		y, at := int(j.labels[i]), j.start(i)
		largest, total, entropy, p, rest := j.odds(at, y)
		k := -math.Pow(rest, j.gamma)
		if j.gamma != 0 && rest != 0 { // the entropy vanishes faster than a negative power of the rest grows
			k -= j.gamma * math.Pow(rest, j.gamma-1) * p * entropy
		}
		k *= j.classWeight(y) * pull(j.g, i, j.how, j.scale)
		for c := range j.c {
			d := -math.Exp(float64(j.x[at+c*j.inner])-largest) / total
			if c == y {
				d = rest
			}
			j.dx[at+c*j.inner] += float32(k * d)
		}
	}
}
