package autograd

// Dropout sets each value to zero with probability p and scales the others by 1/(1-p), drawing from t.Rand in the order of the values.
func (t *Tape) Dropout(x *Var, p float64) *Var {
	out := t.result(x.Shape()...)
	mask := t.memory.take(len(x.Value.Data))
	keep := float32(1 / (1 - p))
	for i, v := range x.Value.Data {
		mask[i] = 0
		if t.Rand.Float64() >= p {
			mask[i] = keep
		}
		out.Value.Data[i] = v * mask[i]
	}
	if n := t.record("dropout", backDropout, out, x); n != nil {
		n.saved[0] = mask
	} else {
		t.memory.give(mask)
	}
	return out
}

func backDropout(t *Tape, n *node) {
	dst := t.summed(n.in[0])
	for i, g := range n.out.Grad.Data {
		dst[i] += g * n.saved[0][i]
	}
}
