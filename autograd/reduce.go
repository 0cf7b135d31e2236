package autograd

import "github.com/blemish/blemish/internal/kernel"

// Sum is the sum of all values, of shape ().
func (t *Tape) Sum(x *Var) *Var { return t.total("sum", x, 1) }

// Mean is the mean of all values, of shape ().
func (t *Tape) Mean(x *Var) *Var { return t.total("mean", x, 1/float64(len(x.Value.Data))) }

func (t *Tape) total(op string, x *Var, s float64) *Var {
	out := t.result()
	sum, _ := kernel.Moments(x.Value.Data, x.Value.Data, 0, 0)
	out.Value.Data[0] = float32(sum * s)
	if n := t.record(op, backTotal, out, x); n != nil {
		n.nums[0] = float32(s)
	}
	return out
}

func backTotal(t *Tape, n *node) {
	d := n.out.Grad.Data[0] * n.nums[0]
	dst := t.summed(n.in[0])
	for i := range dst {
		dst[i] += d
	}
}

// MeanLast is the mean over the last dimension: (…, D) to (…).
func (t *Tape) MeanLast(x *Var) *Var {
	xs := x.Shape()
	if len(xs) == 0 || xs[len(xs)-1] == 0 {
		t.misfit("mean", "(…, D)", xs)
	}
	d := xs[len(xs)-1]
	out := t.result(xs[:len(xs)-1]...)
	for r := range out.Value.Data {
		row := x.Value.Data[r*d : (r+1)*d]
		sum, _ := kernel.Moments(row, row, 0, 0)
		out.Value.Data[r] = float32(sum / float64(d))
	}
	t.record("mean", backMeanLast, out, x)
	return out
}

func backMeanLast(t *Tape, n *node) {
	dst := t.summed(n.in[0])
	d := len(dst) / len(n.out.Grad.Data)
	for r, g := range n.out.Grad.Data {
		v := g / float32(d)
		row := dst[r*d : (r+1)*d]
		for i := range row {
			row[i] += v
		}
	}
}
