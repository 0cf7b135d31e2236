package infer

import "slices"

// opConcat puts arrays one after the other along an axis.
func opConcat(c *call) []*array {
	first := c.input(0)
	a := axis(c.integer("axis", 0), first.rank())
	shape := slices.Clone(first.shape)
	shape[a] = 0
	for i := range c.in {
		x := c.input(i)
		check(x.rank() == first.rank() && x.isFloat() == first.isFloat(), "shapes %v and %v, types %s and %s", first.shape, x.shape, first.dtype, x.dtype)
		for d, n := range x.shape {
			check(d == a || n == first.shape[d], "shapes %v and %v differ beside axis %d", first.shape, x.shape, a)
		}
		shape[a] += x.shape[a]
	}
	out := first.like(shape...)
	outer, inner := out.around(a)
	at := 0
	for _, x := range c.in {
		n := x.shape[a] * inner
		for o := range outer {
			to := (o*shape[a] + at) * inner
			if x.isFloat() {
				copy(out.floats[to:to+n], x.floats[o*n:])
			} else {
				copy(out.integers[to:to+n], x.integers[o*n:])
			}
		}
		at += x.shape[a]
	}
	return one(out)
}

// opTile repeats the whole along each dimension.
func opTile(c *call) []*array {
	x, repeats := c.input(0), sizes(c.input(1))
	check(len(repeats) == x.rank(), "%d repeats of shape %v", len(repeats), x.shape)
	var wide, from, shape []int // each dimension as (repeats, size)
	for i, s := range strides(x.shape) {
		wide, from = append(wide, repeats[i], x.shape[i]), append(from, 0, s)
		shape = append(shape, elements([]int{max(repeats[i], 0), x.shape[i]}))
	}
	return one(x.gathered(wide, from, 0).reshaped(shape...))
}
