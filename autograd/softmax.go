package autograd

import "math"

// Softmax is exp(x)/Σexp(x) over the last dimension.
func (t *Tape) Softmax(x *Var) *Var {
	out, d := t.rows("softmax", x)
	for r := 0; r < len(out.Value.Data); r += d {
		from, to := x.Value.Data[r:r+d], out.Value.Data[r:r+d]
		shift, total := logSum(from)
		for i, v := range from {
			to[i] = float32(math.Exp(float64(v)-shift) / total)
		}
	}
	t.record("softmax", backSoftmax, out, x)
	return out
}

// dx = y·(dout - Σ dout·y)
func backSoftmax(t *Tape, n *node) {
	dst := t.summed(n.in[0])
	s := n.out.Shape()
	d := s[len(s)-1]
	for r := 0; r < len(dst); r += d {
		y, g, to := n.out.Value.Data[r:r+d], n.out.Grad.Data[r:r+d], dst[r:r+d]
		dot := 0.0
		for i, v := range g {
			dot += float64(v) * float64(y[i])
		}
		for i, v := range g {
			to[i] += float32(float64(y[i]) * (float64(v) - dot))
		}
	}
}

// LogSoftmax is x - log Σexp(x) over the last dimension.
func (t *Tape) LogSoftmax(x *Var) *Var {
	out, d := t.rows("log_softmax", x)
	for r := 0; r < len(out.Value.Data); r += d {
		from, to := x.Value.Data[r:r+d], out.Value.Data[r:r+d]
		shift, total := logSum(from)
		total = math.Log(total)
		for i, v := range from {
			to[i] = float32(float64(v) - shift - total)
		}
	}
	t.record("log_softmax", backLogSoftmax, out, x)
	return out
}

// dx = dout - exp(y)·Σ dout
func backLogSoftmax(t *Tape, n *node) {
	dst := t.summed(n.in[0])
	s := n.out.Shape()
	d := s[len(s)-1]
	for r := 0; r < len(dst); r += d {
		y, g, to := n.out.Value.Data[r:r+d], n.out.Grad.Data[r:r+d], dst[r:r+d]
		sum := 0.0
		for _, v := range g {
			sum += float64(v)
		}
		for i, v := range g {
			to[i] += v - float32(math.Exp(float64(y[i]))*sum)
		}
	}
}

// logSum returns the largest value and Σexp(x-largest).
func logSum(x []float32) (largest, total float64) {
	largest = math.Inf(-1)
	for _, v := range x {
		largest = max(largest, float64(v))
	}
	for _, v := range x {
		total += math.Exp(float64(v) - largest)
	}
	return largest, total
}

// rows is a result of x's shape (…, D), and D.
func (t *Tape) rows(op string, x *Var) (*Var, int) {
	s := x.Shape()
	if len(s) == 0 || s[len(s)-1] == 0 {
		t.misfit(op, "(…, D)", s)
	}
	return t.result(s...), s[len(s)-1]
}
