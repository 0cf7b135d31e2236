package infer

import (
	"math"

	"github.com/blemish/blemish/checkpoint"
)

// broadcast is the shape of two arrays side by side: dimensions are matched from the last, and those of size 1 repeat.
func broadcast(a, b []int) []int {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append([]int{}, a...)
	skip := len(a) - len(b)
	for i, d := range b {
		switch at := skip + i; {
		case out[at] == 1:
			out[at] = d
		default:
			check(d == 1 || d == out[at], "shapes %v and %v do not fit", a, b)
		}
	}
	return out
}

// repeated are the steps by which an array of one shape is read as if it had the shape to.
func repeated(shape, to []int) []int {
	out := make([]int, len(to))
	for i, s := range strides(shape) {
		if shape[i] != 1 {
			out[len(to)-len(shape)+i] = s
		}
	}
	return out
}

// pairwise sets dst to f of a and b, both read as if they had dst's shape.
func pairwise[T, R any](dst []R, shape []int, a, b []T, aShape, bShape []int, f func(x, y T) R) {
	if len(dst) == 0 {
		return
	}
	dims, as, bs := merged(shape, repeated(aShape, shape), repeated(bShape, shape))
	last := len(dims) - 1
	n, da, db := dims[last], as[last], bs[last]
	position := make([]int, last)
	i, j := 0, 0
	for done := 0; done < len(dst); done += n {
		row := dst[done : done+n]
		switch {
		case da == 1 && db == 1:
			x, y := a[i:][:n], b[j:][:n]
			for k := range row {
				row[k] = f(x[k], y[k])
			}
		case da == 1 && db == 0:
			y := b[j]
			for k, v := range a[i:][:n] {
				row[k] = f(v, y)
			}
		default:
			for k := range row {
				row[k] = f(a[i+k*da], b[j+k*db])
			}
		}
		for d := last - 1; d >= 0; d-- {
			i += as[d]
			j += bs[d]
			if position[d]++; position[d] < dims[d] {
				break
			}
			i -= dims[d] * as[d]
			j -= dims[d] * bs[d]
			position[d] = 0
		}
	}
}

// merged joins neighbouring dimensions that both arrays walk through evenly.
func merged(shape, a, b []int) (dims, as, bs []int) {
	for i, d := range shape {
		if d == 1 {
			continue
		}
		if n := len(dims); n > 0 && as[n-1] == d*a[i] && bs[n-1] == d*b[i] {
			dims[n-1] *= d
			as[n-1], bs[n-1] = a[i], b[i]
			continue
		}
		dims, as, bs = append(dims, d), append(as, a[i]), append(bs, b[i])
	}
	if len(dims) == 0 {
		return []int{1}, []int{0}, []int{0}
	}
	return dims, as, bs
}

// arithmetic applies an operator from the left on all inputs, two in most.
func arithmetic(float func(x, y float32) float32, integer func(x, y int64) int64) operator {
	return func(c *call) []*array {
		out := c.input(0)
		for i := 1; i < len(c.in); i++ {
			x, y := out, c.input(i)
			check(x.isFloat() == y.isFloat(), "values of types %s and %s", x.dtype, y.dtype)
			out = x.like(broadcast(x.shape, y.shape)...)
			if x.isFloat() {
				pairwise(out.floats, out.shape, x.floats, y.floats, x.shape, y.shape, float)
			} else {
				pairwise(out.integers, out.shape, x.integers, y.integers, x.shape, y.shape, integer)
			}
		}
		return one(out)
	}
}

var (
	opAdd = arithmetic(func(x, y float32) float32 { return x + y }, func(x, y int64) int64 { return x + y })
	opSub = arithmetic(func(x, y float32) float32 { return x - y }, func(x, y int64) int64 { return x - y })
	opMul = arithmetic(func(x, y float32) float32 { return x * y }, func(x, y int64) int64 { return x * y })
	opDiv = arithmetic(func(x, y float32) float32 { return x / y }, divide)
	opMin = arithmetic(func(x, y float32) float32 { return min(x, y) }, func(x, y int64) int64 { return min(x, y) })
	opMax = arithmetic(func(x, y float32) float32 { return max(x, y) }, func(x, y int64) int64 { return max(x, y) })
	// slopes are those of PRelu, whose shape broadcasts to x's
	opPRelu = arithmetic(func(x, slope float32) float32 {
		if x < 0 {
			return slope * x
		}
		return x
	}, func(x, _ int64) int64 { return x })
)

func divide(x, y int64) int64 {
	check(y != 0, "division by zero")
	return x / y
}

// opMod is what is left of x over y: with y's sign, or with x's where fmod says so, as it must for floats.
func opMod(c *call) []*array {
	fmod := c.integer("fmod", 0) != 0
	check(fmod || !c.input(0).isFloat(), "Mod of floats without fmod")
	return arithmetic(func(x, y float32) float32 { return float32(math.Mod(float64(x), float64(y))) }, func(x, y int64) int64 {
		check(y != 0, "division by zero")
		left := x % y
		if left != 0 && !fmod && (left < 0) != (y < 0) {
			left += y
		}
		return left
	})(c)
}

// opPow is x to the power of y, of any type.
func opPow(c *call) []*array {
	x, y := c.floats(0), c.input(1)
	if !y.isFloat() {
		y = asFloats(y)
	}
	out := newFloats(broadcast(x.shape, y.shape)...)
	pairwise(out.floats, out.shape, x.floats, y.floats, x.shape, y.shape, power)
	return one(out)
}

func power(x, y float32) float32 {
	switch y {
	case 2:
		return x * x
	case 3:
		return x * x * x
	case 0.5:
		return float32(math.Sqrt(float64(x)))
	}
	return float32(math.Pow(float64(x), float64(y)))
}

func asFloats(x *array) *array {
	out := newFloats(x.shape...)
	for i, v := range x.integers {
		out.floats[i] = float32(v)
	}
	return out
}

// comparison is an operator whose result is 1 or 0.
func comparison(float func(x, y float32) bool, integer func(x, y int64) bool) operator {
	return func(c *call) []*array {
		x, y := c.input(0), c.input(1)
		check(x.isFloat() == y.isFloat(), "values of types %s and %s", x.dtype, y.dtype)
		out := newIntegers(checkpoint.Bool, broadcast(x.shape, y.shape)...)
		if x.isFloat() {
			pairwise(out.integers, out.shape, x.floats, y.floats, x.shape, y.shape, func(x, y float32) int64 { return truth(float(x, y)) })
		} else {
			pairwise(out.integers, out.shape, x.integers, y.integers, x.shape, y.shape, func(x, y int64) int64 { return truth(integer(x, y)) })
		}
		return one(out)
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

var (
	opEqual          = comparison(func(x, y float32) bool { return x == y }, func(x, y int64) bool { return x == y })
	opLess           = comparison(func(x, y float32) bool { return x < y }, func(x, y int64) bool { return x < y })
	opGreater        = comparison(func(x, y float32) bool { return x > y }, func(x, y int64) bool { return x > y })
	opLessOrEqual    = comparison(func(x, y float32) bool { return x <= y }, func(x, y int64) bool { return x <= y })
	opGreaterOrEqual = comparison(func(x, y float32) bool { return x >= y }, func(x, y int64) bool { return x >= y })
	opAnd            = comparison(func(x, y float32) bool { return x != 0 && y != 0 }, func(x, y int64) bool { return x != 0 && y != 0 })
	opOr             = comparison(func(x, y float32) bool { return x != 0 || y != 0 }, func(x, y int64) bool { return x != 0 || y != 0 })
)

func opNot(c *call) []*array {
	x := c.input(0)
	check(!x.isFloat(), "Not of floats")
	out := newIntegers(checkpoint.Bool, x.shape...)
	for i, v := range x.integers {
		out.integers[i] = truth(v == 0)
	}
	return one(out)
}

// opWhere chooses between x and y by a condition.
func opWhere(c *call) []*array {
	condition, x, y := c.input(0), c.input(1), c.input(2)
	check(!condition.isFloat() && x.isFloat() == y.isFloat(), "a condition of type %s between %s and %s", condition.dtype, x.dtype, y.dtype)
	shape := broadcast(broadcast(condition.shape, x.shape), y.shape)
	choose := condition.gathered(shape, repeated(condition.shape, shape), 0)
	out, other := x.gathered(shape, repeated(x.shape, shape), 0), y.gathered(shape, repeated(y.shape, shape), 0)
	for i, yes := range choose.integers {
		switch {
		case yes != 0:
		case out.isFloat():
			out.floats[i] = other.floats[i]
		default:
			out.integers[i] = other.integers[i]
		}
	}
	return one(out)
}
