package autograd

import (
	"fmt"
	"math"
)

// Ignored is the label of what has none, PyTorch's default ignore_index: it adds nothing to the loss or to its mean's divisor.
const Ignored = -100

// Classes holds the settings of CrossEntropy and CrossEntropySoft.
type Classes struct {
	Weight    []float32 // of each class; nil for 1
	Smoothing float32   // what part of a target, 0 to 1, is spread evenly over all classes
	Reduction Reduction
}

// CrossEntropy is -weight[y]·log softmax(x)[y] of logits x (N,C,…) with the classes along dimension 1, and one label y for each of the N·…
// others. As in PyTorch, the mean divides by the sum of the weights of the labels. Unreduced losses have shape (N,…).
func (t *Tape) CrossEntropy(x *Var, labels []int, o Classes) *Var {
	const op = "cross_entropy"
	v := t.vectors(op, x)
	out := t.reduced(o.Reduction, v.shape()...)
	j := classJob{vectors: v, x: x.Value.Data, out: out.Value.Data, smoothing: float64(o.Smoothing), how: o.Reduction}
	j.labels = t.labels(op, x, labels, Ignored)
	j.weight = t.classWeights(op, o.Weight, x)
	out = t.crossEntropy(op, &j, out, x, nil)
	if !out.requiresGrad {
		t.memory.giveIndex(j.labels)
	}
	return out
}

// CrossEntropySoft is CrossEntropy with a target distribution y of x's shape: -Σ weight·y·log softmax(x) over the classes. Its mean divides
// by the number of distributions, whatever the weights.
func (t *Tape) CrossEntropySoft(x, y *Var, o Classes) *Var {
	const op = "cross_entropy"
	t.alike(op, x, y)
	v := t.vectors(op, x)
	out := t.reduced(o.Reduction, v.shape()...)
	j := classJob{vectors: v, x: x.Value.Data, target: y.Value.Data, out: out.Value.Data, smoothing: float64(o.Smoothing), how: o.Reduction}
	j.weight = t.classWeights(op, o.Weight, x)
	return t.crossEntropy(op, &j, out, x, y)
}

// crossEntropy computes and records the job.
func (t *Tape) crossEntropy(op string, j *classJob, out, x, y *Var) *Var {
	var sum float64
	if n := j.count(); many(n, j.c) {
		job := *j
		sum = t.added(n, j.c, job.values)
	} else {
		sum = j.values(0, n)
	}
	if j.how != ReduceNone {
		out.Value.Data[0] = float32(sum / j.divisor())
	}
	if n := t.record(op, backCrossEntropy, out, x, y); n != nil {
		n.ints[0], n.nums[0], n.index, n.saved[0] = int(j.how), float32(j.smoothing), j.labels, j.weight
	} else if j.weight != nil {
		t.memory.give(j.weight)
	}
	return out
}

// labels copies labels to the tape's memory. It panics where there is not one in 0..C-1, or also, for each vector.
func (t *Tape) labels(op string, x *Var, labels []int, also int) []int32 {
	s := x.Shape()
	if n := len(x.Value.Data) / s[1]; len(labels) != n {
		t.misfit(op, fmt.Sprintf("(N,C,…) with N·… = %d, the number of labels", len(labels)), s)
	}
	index := t.memory.takeIndex(len(labels))
	for i, v := range labels {
		if v != also && (v < 0 || v >= s[1]) {
			t.misfit(op, fmt.Sprintf("(N,C,…) with labels from 0 to C-1 = %d, not %d, as labels[%d] is", s[1]-1, v, i), s)
		}
		index[i] = int32(v)
	}
	return index
}

// classWeights copies weights to the tape's memory; nil for nil.
func (t *Tape) classWeights(op string, w []float32, x *Var) []float32 {
	if w == nil {
		return nil
	}
	if len(w) != x.Shape()[1] {
		t.misfit(op, fmt.Sprintf("(N,C,…) with C = %d, the number of class weights", len(w)), x.Shape())
	}
	dst := t.memory.take(len(w))
	copy(dst, w)
	return dst
}

type classJob struct {
	vectors
	x, target, weight, out, dx, dt, g []float32
	labels                            []int32
	smoothing, scale                  float64
	how                               Reduction
}

// divisor is what the sum of the losses is divided by.
func (j *classJob) divisor() float64 {
	if j.how != ReduceMean || j.labels == nil {
		return j.how.divisor(j.shape())
	}
	sum := 0.0
	for _, y := range j.labels {
		if y != Ignored {
			sum += j.classWeight(int(y))
		}
	}
	return sum
}

// logSum returns the largest logit of the vector that starts at value at, and Σexp(x-largest).
func (v *vectors) logSum(x []float32, at int) (largest, total float64) {
	largest = math.Inf(-1)
	for c := range v.c {
		largest = max(largest, float64(x[at+c*v.inner]))
	}
	for c := range v.c {
		total += math.Exp(float64(x[at+c*v.inner]) - largest)
	}
	return largest, total
}

func (j *classJob) classWeight(c int) float64 {
	if j.weight == nil {
		return 1
	}
	return float64(j.weight[c])
}

// share is what class c, whose logit is value at, has of the smoothed target of vector i, times its weight.
func (j *classJob) share(i, c, at int) float64 {
	y := 0.0
	if j.target == nil && j.labels[i] == Ignored {
		return 0
	}
	if j.target != nil {
		y = float64(j.target[at])
	} else if int(j.labels[i]) == c {
		y = 1
	}
	return j.classWeight(c) * ((1-j.smoothing)*y + j.smoothing/float64(j.c))
}

func (j *classJob) values(from, to int) (sum float64) {
	for i := from; i < to; i++ {
		at := j.start(i)
		largest, total := j.logSum(j.x, at)
		total = math.Log(total)
		v := 0.0
		for c := range j.c {
			k := at + c*j.inner
			if q := j.share(i, c, k); q != 0 {
				v += q * (largest - float64(j.x[k]) + total)
			}
		}
		if j.how == ReduceNone {
			j.out[i] = float32(v)
		}
		sum += v
	}
	return sum
}

// With q the weighted target: dx = dout·(Σq·softmax(x) - q), dy = -dout·weight·(1-smoothing)·log softmax(x)
func backCrossEntropy(t *Tape, n *node) {
	x, y, r := n.in[0], n.in[1], Reduction(n.ints[0])
	j := classJob{vectors: t.vectors(n.op, x), x: x.Value.Data, labels: n.index, weight: n.saved[0], g: n.out.Grad.Data, how: r}
	j.smoothing = float64(n.nums[0])
	j.dx, j.dt = t.wanted(x), t.wanted(y)
	if y != nil {
		j.target = y.Value.Data
	}
	j.scale = 1 / j.divisor()
	if n := j.count(); many(n, j.c) {
		job := j
		t.chunks(n, j.c, job.slopes)
	} else {
		j.slopes(0, n)
	}
}

func (j *classJob) slopes(from, to int) {
	for i := from; i < to; i++ {
		at, g := j.start(i), pull(j.g, i, j.how, j.scale)
		largest, total := j.logSum(j.x, at)
		all, logTotal := 0.0, math.Log(total)
		for c := range j.c {
			all += j.share(i, c, at+c*j.inner)
		}
		for c := range j.c {
			k := at + c*j.inner
			z := float64(j.x[k]) - largest
			if j.dx != nil {
				j.dx[k] += float32(g * (all*math.Exp(z)/total - j.share(i, c, k)))
			}
			if j.dt != nil {
				j.dt[k] += float32(g * j.classWeight(c) * (1 - j.smoothing) * (logTotal - z))
			}
		}
	}
}
