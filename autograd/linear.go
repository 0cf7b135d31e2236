package autograd

import (
	"fmt"

	"github.com/blemish/blemish/internal/kernel"
)

// Linear is x·wᵀ + b: x (…, in), w (out, in), b (out) or nil, result (…, out).
func (t *Tape) Linear(x, w, b *Var) *Var {
	xs, ws := x.Shape(), w.Shape()
	if len(xs) == 0 || len(ws) != 2 || xs[len(xs)-1] != ws[1] {
		t.misfit("linear", fmt.Sprintf("(…, in) for a weight %v (out, in)", ws), xs)
	}
	if b != nil && (len(b.Shape()) != 1 || b.Shape()[0] != ws[0]) {
		t.misfit("linear", fmt.Sprintf("a bias of %d", ws[0]), b.Shape())
	}
	rows, in, outs := volume(xs)/max(ws[1], 1), ws[1], ws[0]
	var shape [maxDims]int
	n := copy(shape[:], xs)
	shape[n-1] = outs
	out := t.result(shape[:n]...)
	dst := out.Value.Data
	if b != nil {
		for r := range rows {
			copy(dst[r*outs:(r+1)*outs], b.Value.Data)
		}
	}
	X := kernel.Matrix{Data: x.Value.Data, Rows: rows, Cols: in}
	W := kernel.Matrix{Data: w.Value.Data, Rows: outs, Cols: in}
	if outs > rows { // the larger matrix stays where it lies: outᵀ = w·xᵀ
		turned := t.memory.take(rows * outs)
		kernel.MatMul(t.Workers, turned, W, flip(X), false)
		for o := range outs {
			for r, v := range turned[o*rows : (o+1)*rows] {
				if b != nil {
					v += dst[r*outs+o]
				}
				dst[r*outs+o] = v
			}
		}
		t.memory.give(turned)
	} else {
		kernel.MatMul(t.Workers, dst, X, flip(W), b != nil)
	}
	t.record("linear", backLinear, out, x, w, b)
	return out
}

// dx = dout·w, dw = doutᵀ·x, db = Σ dout
func backLinear(t *Tape, n *node) {
	x, w, b := n.in[0], n.in[1], n.in[2]
	outs, in := w.Shape()[0], w.Shape()[1]
	rows := len(n.out.Grad.Data) / max(outs, 1)
	G := kernel.Matrix{Data: n.out.Grad.Data, Rows: rows, Cols: outs}
	if x.requiresGrad {
		dst, accumulate := t.gradient(x)
		kernel.MatMul(t.Workers, dst, G, kernel.Matrix{Data: w.Value.Data, Rows: outs, Cols: in}, accumulate)
	}
	if w.requiresGrad {
		dst, accumulate := t.gradient(w)
		kernel.MatMul(t.Workers, dst, flip(G), kernel.Matrix{Data: x.Value.Data, Rows: rows, Cols: in}, accumulate)
	}
	if b != nil && b.requiresGrad {
		dst := t.summed(b)
		for r := range rows {
			kernel.Axpy(dst, n.out.Grad.Data[r*outs:(r+1)*outs], 1)
		}
	}
}

func flip(m kernel.Matrix) kernel.Matrix {
	m.T = !m.T
	return m
}

// MatMul multiplies the matrices of two batches: x (…, m, k), y (…, k, n), result (…, m, n), with equal leading dimensions.
func (t *Tape) MatMul(x, y *Var) *Var { return t.matMul(x, y, false) }

// MatMulT multiplies by transposed matrices: x (…, m, k), y (…, n, k), result (…, m, n). It is the scores of attention.
func (t *Tape) MatMulT(x, y *Var) *Var { return t.matMul(x, y, true) }

func (t *Tape) matMul(x, y *Var, turned bool) *Var {
	xs, ys := x.Shape(), y.Shape()
	d := len(xs)
	ok := d >= 2 && len(ys) == d
	for i := 0; ok && i < d-2; i++ {
		ok = xs[i] == ys[i]
	}
	var k, n int
	if ok {
		k, n = ys[d-2], ys[d-1]
		if turned {
			k, n = n, k
		}
	}
	if !ok || xs[d-1] != k {
		t.misfit("matmul", fmt.Sprintf("one that can be multiplied by %v", ys), xs)
	}
	m := xs[d-2]
	var shape [maxDims]int
	copy(shape[:], xs)
	shape[d-1] = n
	out := t.result(shape[:d]...)
	batch := volume(xs[:d-2])
	for i := range batch {
		kernel.MatMul(t.Workers, out.Value.Data[i*m*n:(i+1)*m*n], item(x.Value.Data, i, m, k), operand(y.Value.Data, i, k, n, turned), false)
	}
	if r := t.record("matmul", backMatMul, out, x, y); r != nil {
		r.ints = [8]int{batch, m, k, n}
		if turned {
			r.ints[4] = 1
		}
	}
	return out
}

// item is matrix i of a batch of rows x cols.
func item(data []float32, i, rows, cols int) kernel.Matrix {
	return kernel.Matrix{Data: data[i*rows*cols : (i+1)*rows*cols], Rows: rows, Cols: cols}
}

// operand is matrix i (k, n) of a batch, which may lie there transposed.
func operand(data []float32, i, k, n int, turned bool) kernel.Matrix {
	if turned {
		return flip(item(data, i, n, k))
	}
	return item(data, i, k, n)
}

// dx = dout·yᵀ, dy = xᵀ·dout; where y lies transposed, dyᵀ = doutᵀ·x
func backMatMul(t *Tape, n *node) {
	x, y := n.in[0], n.in[1]
	batch, m, k, cols, turned := n.ints[0], n.ints[1], n.ints[2], n.ints[3], n.ints[4] == 1
	g := n.out.Grad.Data
	if x.requiresGrad {
		dst, accumulate := t.gradient(x)
		for i := range batch {
			kernel.MatMul(t.Workers, dst[i*m*k:(i+1)*m*k], item(g, i, m, cols), flip(operand(y.Value.Data, i, k, cols, turned)), accumulate)
		}
	}
	if y.requiresGrad {
		dst, accumulate := t.gradient(y)
		for i := range batch {
			a, b := flip(item(x.Value.Data, i, m, k)), item(g, i, m, cols)
			if turned {
				a, b = flip(b), flip(a)
			}
			kernel.MatMul(t.Workers, dst[i*k*cols:(i+1)*k*cols], a, b, accumulate)
		}
	}
}
