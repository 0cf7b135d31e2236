package infer

import (
	"slices"

	"github.com/blemish/blemish/checkpoint"
)

func opIdentity(c *call) []*array { return one(c.input(0)) }

// opReshape gives a shape in which 0 keeps a size (unless allowzero) and -1 is what is left.
func opReshape(c *call) []*array {
	x, want := c.input(0), sizes(c.input(1))
	open, known := -1, 1
	for i, d := range want {
		if d == 0 && c.integer("allowzero", 0) == 0 {
			check(i < x.rank(), "size 0 at %d of shape %v keeps nothing", i, want)
			want[i] = x.shape[i]
		}
		if d == -1 {
			check(open < 0, "shape %v leaves two sizes open", want)
			open = i
			continue
		}
		check(want[i] >= 0, "shape %v", want)
		known = elements([]int{known, want[i]})
	}
	if open >= 0 {
		check(known > 0 && x.len()%known == 0, "shape %v cannot hold the values of shape %v: the network was exported for another size of picture", want, x.shape)
		want[open] = x.len() / known
	}
	check(elements(want) == x.len(), "shape %v cannot hold the values of shape %v: the network was exported for another size of picture", want, x.shape)
	return one(x.reshaped(want...))
}

// opTranspose reorders dimensions; without perm it reverses them.
func opTranspose(c *call) []*array {
	x := c.input(0)
	if !c.has("perm") {
		order := make([]int, x.rank())
		for i := range order {
			order[i] = x.rank() - 1 - i
		}
		return one(transposed(x, order))
	}
	order := c.list("perm", x.rank(), 0)
	seen := slices.Clone(order)
	slices.Sort(seen)
	for i, d := range seen {
		check(d == i, "perm %v is no order of %d dimensions", order, x.rank())
	}
	return one(transposed(x, order))
}

func transposed(x *array, order []int) *array {
	if slices.IsSorted(order) {
		return x
	}
	from := strides(x.shape)
	shape, steps := make([]int, len(order)), make([]int, len(order))
	for i, d := range order {
		shape[i], steps[i] = x.shape[d], from[d]
	}
	return x.gathered(shape, steps, 0)
}

// opSqueeze drops dimensions of size 1: those named, or all.
func opSqueeze(c *call) []*array {
	x := c.input(0)
	axes, given := c.axes(1, x.rank())
	var shape []int
	for i, d := range x.shape {
		if slices.Contains(axes, i) {
			check(d == 1, "dimension %d of shape %v is not 1", i, x.shape)
			continue
		}
		if given || d != 1 {
			shape = append(shape, d)
		}
	}
	return one(x.reshaped(shape...))
}

// opUnsqueeze adds dimensions of size 1; the axes count in the result.
func opUnsqueeze(c *call) []*array {
	x := c.input(0)
	count := len(c.node.Attributes["axes"].Ints)
	if !c.has("axes") {
		count = c.input(1).len()
	}
	check(count <= 16, "%d axes", count)
	axes, _ := c.axes(1, x.rank()+count)
	shape, rest := make([]int, 0, x.rank()+count), x.shape
	for i := range x.rank() + count {
		if slices.Contains(axes, i) {
			shape = append(shape, 1)
			continue
		}
		check(len(rest) > 0, "axes %v name a dimension twice", axes)
		shape, rest = append(shape, rest[0]), rest[1:]
	}
	return one(x.reshaped(shape...))
}

// opFlatten makes a matrix: the dimensions before the axis, and those from it on.
func opFlatten(c *call) []*array {
	x := c.input(0)
	a := c.integer("axis", 1)
	if a < 0 {
		a += int64(x.rank())
	}
	check(a >= 0 && a <= int64(x.rank()), "axis %d of shape %v", a, x.shape)
	return one(x.reshaped(elements(x.shape[:a]), elements(x.shape[a:])))
}

// opExpand repeats dimensions of size 1.
func opExpand(c *call) []*array {
	x, want := c.input(0), sizes(c.input(1))
	shape := broadcast(x.shape, want)
	return one(x.gathered(shape, repeated(x.shape, shape), 0))
}

// opShape is the shape, or its part start..end, as 64-bit integers.
func opShape(c *call) []*array {
	x := c.input(0)
	n := int64(x.rank())
	bound := func(v int64) int64 {
		if v < 0 {
			v += n
		}
		return min(max(v, 0), n)
	}
	start, end := bound(c.integer("start", 0)), bound(c.integer("end", n))
	out := newIntegers(checkpoint.I64, int(max(0, end-start)))
	for i := range out.integers {
		out.integers[i] = int64(x.shape[int(start)+i])
	}
	return one(out)
}

func opSize(c *call) []*array {
	out := newIntegers(checkpoint.I64)
	out.integers[0] = int64(c.input(0).len())
	return one(out)
}

// opDepthToSpace moves channels into blocks of b x b pixels.
func opDepthToSpace(c *call) []*array {
	x, b := c.input(0), int(c.integer("blocksize", 0))
	check(x.rank() == 4 && b > 0 && b <= 64 && x.shape[1]%(b*b) == 0, "a picture of shape %v in blocks of %d", x.shape, b)
	n, ch, h, w := x.shape[0], x.shape[1]/(b*b), x.shape[2], x.shape[3]
	moved := transposed(x.reshaped(n, b, b, ch, h, w), []int{0, 3, 4, 1, 5, 2})
	if c.text("mode", "DCR") == "CRD" {
		moved = transposed(x.reshaped(n, ch, b, b, h, w), []int{0, 1, 4, 2, 5, 3})
	}
	return one(moved.reshaped(n, ch, h*b, w*b))
}

// opSpaceToDepth moves blocks of b x b pixels into channels.
func opSpaceToDepth(c *call) []*array {
	x, b := c.input(0), int(c.integer("blocksize", 0))
	check(x.rank() == 4 && b > 0 && b <= 1<<12 && x.shape[2]%b == 0 && x.shape[3]%b == 0, "a picture of shape %v in blocks of %d", x.shape, b)
	n, ch, h, w := x.shape[0], x.shape[1], x.shape[2]/b, x.shape[3]/b
	return one(transposed(x.reshaped(n, ch, h, b, w, b), []int{0, 3, 5, 1, 2, 4}).reshaped(n, ch*b*b, h, w))
}
