package infer

import (
	"slices"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// opMatMul multiplies (…,m,k) and (…,k,n), as numpy.matmul: leading dimensions broadcast, and an array of one dimension is a row on the left, a
// column on the right.
func opMatMul(c *call) []*array {
	a, b := c.floats(0), c.floats(1)
	check(a.rank() > 0 && b.rank() > 0, "MatMul of a number")
	row, column := a.rank() == 1, b.rank() == 1
	if row {
		a = a.reshaped(1, a.len())
	}
	if column {
		b = b.reshaped(b.len(), 1)
	}
	ra, rb := a.rank()-2, b.rank()-2
	m, k, n := a.shape[ra], a.shape[ra+1], b.shape[rb+1]
	check(b.shape[rb] == k, "shapes %v and %v do not fit", a.shape, b.shape)
	if rb == 0 && ra > 0 { // one matrix for all of a's
		m *= elements(a.shape[:ra])
		out := newFloats(append(slices.Clone(a.shape[:ra+1]), n)...)
		product(c.workers, out.floats, a.floats, b.floats, m, k, n)
		return one(dropped(out, row, column))
	}
	batch := broadcast(a.shape[:ra], b.shape[:rb])
	out := newFloats(append(slices.Clone(batch), m, n)...)
	count := elements(batch)
	as, bs := make([]int, count), make([]int, count)
	position := make([]int, count)
	for i := range position {
		position[i] = i
	}
	gather(as, append(position, 0), batch, repeated(a.shape[:ra], batch), 0)
	gather(bs, append(position, 0), batch, repeated(b.shape[:rb], batch), 0)
	within := max(1, c.workers/max(count, 1))
	parallel.For(c.workers/within, count, func(i int) {
		product(within, out.floats[i*m*n:][:m*n], a.floats[as[i]*m*k:][:m*k], b.floats[bs[i]*k*n:][:k*n], m, k, n)
	})
	return one(dropped(out, row, column))
}

func product(workers int, c, a, b []float32, m, k, n int) {
	kernel.MatMul(workers, c, kernel.Matrix{Data: a, Rows: m, Cols: k}, kernel.Matrix{Data: b, Rows: k, Cols: n}, false)
}

// dropped takes out the dimensions that stood in for a missing row or column.
func dropped(x *array, row, column bool) *array {
	shape := slices.Clone(x.shape)
	if column {
		shape = shape[:len(shape)-1]
	}
	if row {
		at := len(shape) - 1
		if !column {
			at--
		}
		shape = slices.Delete(shape, at, at+1)
	}
	return x.reshaped(shape...)
}

// opGemm is alpha·A·B + beta·C, with A and B transposed where asked.
func opGemm(c *call) []*array {
	a, b := c.floats(0), c.floats(1)
	check(a.rank() == 2 && b.rank() == 2, "shapes %v and %v, want matrices", a.shape, b.shape)
	left := kernel.Matrix{Data: a.floats, Rows: a.shape[0], Cols: a.shape[1], T: c.integer("transA", 0) != 0}
	right := kernel.Matrix{Data: b.floats, Rows: b.shape[0], Cols: b.shape[1], T: c.integer("transB", 0) != 0}
	m, k := a.shape[0], a.shape[1]
	if left.T {
		m, k = k, m
	}
	n, inner := b.shape[1], b.shape[0]
	if right.T {
		n, inner = inner, n
	}
	check(k == inner, "shapes %v and %v do not fit", a.shape, b.shape)
	out := newFloats(m, n)
	kernel.MatMul(c.workers, out.floats, left, right, false)
	if alpha := c.float("alpha", 1); alpha != 1 {
		for i := range out.floats {
			out.floats[i] *= alpha
		}
	}
	if bias := c.optional(2); bias != nil {
		beta := c.float("beta", 1)
		check(bias.isFloat() && slices.Equal(broadcast(bias.shape, out.shape), out.shape), "C has shape %v, want %v", bias.shape, out.shape)
		pairwise(out.floats, out.shape, out.floats, bias.floats, out.shape, bias.shape, func(x, y float32) float32 { return x + beta*y })
	}
	return one(out)
}
