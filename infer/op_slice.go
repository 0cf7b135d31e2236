package infer

import "slices"

// opSlice takes start, start+step … before end along some axes. Ends beyond the dimension mean its end.
func opSlice(c *call) []*array {
	x := c.input(0)
	starts, ends := c.input(1), c.input(2)
	check(!starts.isFloat() && !ends.isFloat() && starts.len() == ends.len(), "%d starts and %d ends", starts.len(), ends.len())
	axes := make([]int64, starts.len())
	for i := range axes {
		axes[i] = int64(i)
	}
	if a := c.optional(3); a != nil {
		axes = a.integers
	}
	steps := slices.Repeat([]int64{1}, starts.len())
	if s := c.optional(4); s != nil {
		steps = s.integers
	}
	check(len(axes) == starts.len() && len(steps) == starts.len(), "%d axes and %d steps for %d starts", len(axes), len(steps), starts.len())
	shape, jumps, at := slices.Clone(x.shape), strides(x.shape), 0
	taken := make([]bool, x.rank())
	for i := range axes {
		a, step := axis(axes[i], x.rank()), steps[i]
		check(!taken[a], "axis %d is sliced twice", a)
		taken[a] = true
		n := int64(x.shape[a])
		check(step != 0, "a step of 0")
		clamp := func(v, lo, hi int64) int64 {
			if v < 0 {
				v += n
			}
			return min(max(v, lo), hi)
		}
		var start, count int64
		if step > 0 {
			start = clamp(starts.integers[i], 0, n)
			count = (clamp(ends.integers[i], 0, n) - start + min(step, n+1) - 1) / min(step, n+1)
		} else {
			start = clamp(starts.integers[i], 0, n-1)
			back := min(-max(step, -n-1), n+1)
			count = (start - clamp(ends.integers[i], -1, n-1) + back - 1) / back
		}
		shape[a] = int(max(count, 0))
		at += int(start) * jumps[a]
		if shape[a] > 1 {
			jumps[a] *= int(step)
		}
	}
	return one(x.gathered(shape, jumps, at))
}

// opSplit cuts along an axis into parts of the sizes given, or equal ones.
func opSplit(c *call) []*array {
	x := c.input(0)
	a := axis(c.integer("axis", 0), x.rank())
	n, count := x.shape[a], len(c.node.Out)
	check(count > 0, "no outputs")
	var parts []int
	switch s := c.optional(1); {
	case s != nil:
		parts = sizes(s)
	case c.has("split"):
		parts = c.list("split", count, 0)
	default:
		each := (n + count - 1) / count // the last may be smaller
		for i := range count {
			parts = append(parts, min(each, max(n-i*each, 0)))
		}
	}
	total := 0
	for _, p := range parts {
		check(p >= 0, "parts of %v", parts)
		total += p
	}
	check(total == n && len(parts) == count, "parts of %v of a dimension of %d, for %d outputs", parts, n, count)
	jumps := strides(x.shape)
	var out []*array
	at := 0
	for _, p := range parts {
		shape := slices.Clone(x.shape)
		shape[a] = p
		out = append(out, x.gathered(shape, jumps, at*jumps[a]))
		at += p
	}
	return out
}

// opGather takes the entries of an axis that indices name; their shape takes the axis's place.
func opGather(c *call) []*array {
	x, indices := c.input(0), c.input(1)
	a := axis(c.integer("axis", 0), x.rank())
	check(!indices.isFloat(), "indices are floats")
	shape := slices.Concat(x.shape[:a], indices.shape, x.shape[a+1:])
	out := x.like(shape...)
	outer, inner := x.around(a)
	n := x.shape[a]
	for o := range outer {
		for i, v := range indices.integers {
			if v < 0 {
				v += int64(n)
			}
			check(v >= 0 && v < int64(n), "index %d of a dimension of %d", v, n)
			to, from := (o*indices.len()+i)*inner, (o*n+int(v))*inner
			if x.isFloat() {
				copy(out.floats[to:to+inner], x.floats[from:])
			} else {
				copy(out.integers[to:to+inner], x.integers[from:])
			}
		}
	}
	return one(out)
}
