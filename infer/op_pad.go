package infer

import "slices"

// opPad adds a border: of a constant, of the edge, or of the picture mirrored (reflect) or repeated (wrap). Negative amounts cut.
func opPad(c *call) []*array {
	x, pads := c.input(0), sizes(c.input(1))
	axes := make([]int, x.rank())
	for i := range axes {
		axes[i] = i
	}
	if a := c.optional(3); a != nil {
		axes = nil
		for _, v := range a.integers {
			axes = append(axes, axis(v, x.rank()))
		}
	}
	check(len(pads) == 2*len(axes), "%d pads for %d axes", len(pads), len(axes))
	source, ok := sources[c.text("mode", "constant")]
	if !ok {
		unsupported("Pad by %q", c.text("mode", "constant"))
	}
	filling := x.like(1)
	if v := c.optional(2); v != nil {
		check(v.len() == 1 && v.isFloat() == x.isFloat(), "a filling of shape %v and type %s", v.shape, v.dtype)
		filling = v
	}
	for i, a := range axes {
		x = padAxis(x, a, pads[i], pads[len(axes)+i], filling, source)
	}
	return one(x)
}

// sources say where the value at position i of a dimension of n comes from; -1 is the constant.
var sources = map[string]func(i, n int) int{
	"constant": func(i, n int) int {
		if i < 0 || i >= n {
			return -1
		}
		return i
	},
	"edge": func(i, n int) int { return min(max(i, 0), n-1) },
	"reflect": func(i, n int) int {
		if n == 1 {
			return 0
		}
		i = ((i % (2*n - 2)) + 2*n - 2) % (2*n - 2)
		return min(i, 2*n-2-i)
	},
	"wrap": func(i, n int) int { return (i%n + n) % n },
}

func padAxis(x *array, a, before, after int, filling *array, source func(i, n int) int) *array {
	if before == 0 && after == 0 {
		return x
	}
	shape := slices.Clone(x.shape)
	n := shape[a]
	shape[a] = n + before + after
	check(shape[a] >= 0 && n > 0, "padding %d and %d of shape %v", before, after, x.shape)
	out := x.like(shape...)
	outer, inner := x.around(a)
	for i := range shape[a] {
		from := source(i-before, n)
		for o := range outer {
			to := (o*shape[a] + i) * inner
			switch {
			case from >= 0 && x.isFloat():
				copy(out.floats[to:to+inner], x.floats[(o*n+from)*inner:])
			case from >= 0:
				copy(out.integers[to:to+inner], x.integers[(o*n+from)*inner:])
			case x.isFloat():
				fill(out.floats[to:to+inner], filling.floats[0])
			default:
				fill(out.integers[to:to+inner], filling.integers[0])
			}
		}
	}
	return out
}

func fill[T any](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}
