package autograd

import "fmt"

// Reshape is x with another shape of the same volume, over the same memory. One dimension may be -1: it follows from the others.
func (t *Tape) Reshape(x *Var, shape ...int) *Var {
	var dims [maxDims]int
	n := copy(dims[:], shape)
	known, open := 1, -1
	for i, d := range dims[:n] {
		if d < 0 {
			open = i
		} else {
			known *= d
		}
	}
	if open >= 0 {
		dims[open] = len(x.Value.Data) / max(known, 1)
	}
	if volume(dims[:n]) != len(x.Value.Data) {
		t.misfit("reshape", fmt.Sprintf("as many values as %v", shape), x.Shape())
	}
	out := t.view(x, dims[:n]...)
	t.record("reshape", backReshape, out, x)
	return out
}

func backReshape(t *Tape, n *node) { t.addTo(n.in[0], n.out.Grad.Data, 1) }

// Flatten joins all dimensions but the first: (N, …) to (N, D).
func (t *Tape) Flatten(x *Var) *Var { return t.Reshape(x, x.Shape()[0], -1) }

// Permute reorders dimensions: dimension i of the result is dimension order[i] of x.
func (t *Tape) Permute(x *Var, order ...int) *Var {
	xs := x.Shape()
	if len(order) != len(xs) {
		t.misfit("permute", fmt.Sprintf("%d dimensions", len(order)), xs)
	}
	var shape, steps [maxDims]int
	step := 1
	var from [maxDims]int
	for i := len(xs) - 1; i >= 0; i-- {
		from[i] = step
		step *= xs[i]
	}
	for i, d := range order {
		shape[i], steps[i] = xs[d], from[d]
	}
	out := t.result(shape[:len(xs)]...)
	src, dst := x.Value.Data, out.Value.Data
	walk(out.Shape(), steps[:len(xs)], func(i, j int) { dst[i] = src[j] })
	if n := t.record("permute", backPermute, out, x); n != nil {
		n.ints = [8]int(append(steps[:], 0, 0))
	}
	return out
}

func backPermute(t *Tape, n *node) {
	dst, g := t.summed(n.in[0]), n.out.Grad.Data
	walk(n.out.Shape(), n.ints[:len(n.out.Shape())], func(i, j int) { dst[j] += g[i] })
}

// walk calls f(i, j) for every index i of a shape in order, and j = Σ index·step.
func walk(shape, steps []int, f func(i, j int)) {
	var at [maxDims]int
	total, last := volume(shape), len(shape)-1
	j := 0
	for i := 0; i < total; {
		if last < 0 {
			f(0, 0)
			return
		}
		for range shape[last] {
			f(i, j)
			i++
			j += steps[last]
		}
		j -= steps[last] * shape[last]
		for d := last - 1; d >= 0; d-- {
			at[d]++
			j += steps[d]
			if at[d] < shape[d] {
				break
			}
			j -= steps[d] * shape[d]
			at[d] = 0
		}
	}
}

// Concat joins values along a dimension; all others are equal.
func (t *Tape) Concat(dim int, xs ...*Var) *Var {
	var shape [maxDims]int
	d := copy(shape[:], xs[0].Shape())
	for _, x := range xs[1:] {
		s := x.Shape()
		ok := len(s) == d
		for i := 0; ok && i < d; i++ {
			ok = i == dim || s[i] == shape[i]
		}
		if !ok {
			t.misfit("concat", fmt.Sprintf("%v but for dimension %d", xs[0].Shape(), dim), s)
		}
		shape[dim] += s[dim]
	}
	out := t.result(shape[:d]...)
	pieces(out, dim, xs, func(i, at, from, n int) { copy(out.Value.Data[at:at+n], xs[i].Value.Data[from:from+n]) })
	needed := xs[0]
	for _, x := range xs {
		if x.requiresGrad {
			needed = x
		}
	}
	if n := t.record("concat", backConcat, out, needed); n != nil {
		n.in[0] = nil
		n.many = append([]*Var(nil), xs...)
		n.ints[0] = dim
	}
	return out
}

func backConcat(t *Tape, n *node) {
	dst := make([][]float32, len(n.many))
	for i, x := range n.many {
		if x.requiresGrad {
			dst[i] = t.summed(x)
		}
	}
	pieces(n.out, n.ints[0], n.many, func(i, at, from, length int) {
		if dst[i] != nil {
			for k, v := range n.out.Grad.Data[at : at+length] {
				dst[i][from+k] += v
			}
		}
	})
}

// pieces calls f for every run of values that xs[i] contributes to their concatenation.
func pieces(out *Var, dim int, xs []*Var, f func(i, at, from, n int)) {
	inner := volume(out.Shape()[dim+1:])
	at := 0
	for o := range volume(out.Shape()[:dim]) {
		for i, x := range xs {
			n := x.Shape()[dim] * inner
			f(i, at, o*n, n)
			at += n
		}
	}
}

// Narrow is rows from..from+n of a dimension.
func (t *Tape) Narrow(x *Var, dim, from, n int) *Var {
	xs := x.Shape()
	if dim >= len(xs) || from < 0 || n < 0 || from+n > xs[dim] {
		t.misfit("narrow", fmt.Sprintf("%d to %d in dimension %d", from, from+n, dim), xs)
	}
	var shape [maxDims]int
	d := copy(shape[:], xs)
	shape[dim] = n
	out := t.result(shape[:d]...)
	inner, size := volume(xs[dim+1:]), xs[dim]
	for o := range volume(xs[:dim]) {
		copy(out.Value.Data[o*n*inner:(o+1)*n*inner], x.Value.Data[(o*size+from)*inner:])
	}
	if r := t.record("narrow", backNarrow, out, x); r != nil {
		r.ints = [8]int{volume(xs[:dim]), size * inner, from * inner, n * inner}
	}
	return out
}

func backNarrow(t *Tape, r *node) {
	dst, g := t.summed(r.in[0]), r.out.Grad.Data
	outer, step, from, n := r.ints[0], r.ints[1], r.ints[2], r.ints[3]
	for o := range outer {
		to := dst[o*step+from:][:n]
		for i, v := range g[o*n : (o+1)*n] {
			to[i] += v
		}
	}
}
