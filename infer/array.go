package infer

import (
	"fmt"
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
)

// array is a value of an imported network: row-major floats or integers of any number of dimensions.
type array struct {
	shape    []int
	floats   []float32
	integers []int64          // instead, where dtype is no float's; booleans are 0 and 1
	dtype    checkpoint.DType // F32 for all floats
}

// maxElements bounds an array, so that a hostile network cannot ask for all memory: 1 GiB of floats. Fuzzing lowers it.
var maxElements = 1 << 28

// broken ends an operator: call turns it into an error.
type broken struct{ err error }

// check ends the operator unless ok.
func check(ok bool, format string, args ...any) {
	if !ok {
		panic(broken{fmt.Errorf(format, args...)})
	}
}

// unsupported ends the operator with an UnsupportedError.
func unsupported(format string, args ...any) {
	panic(broken{&fault.UnsupportedError{What: fmt.Sprintf(format, args...)}})
}

// elements is the number of values of a shape that a network computes.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		check(d >= 0, "a value would have shape %v", shape)
		if d > 0 && n > maxElements/d {
			panic(broken{&fault.LimitError{What: fmt.Sprintf("a value of shape %v", shape), Limit: fmt.Sprint(maxElements, " values")}})
		}
		n *= d
	}
	return n
}

func newFloats(shape ...int) *array {
	return &array{shape: slices.Clone(shape), floats: make([]float32, elements(shape)), dtype: checkpoint.F32}
}

func newIntegers(t checkpoint.DType, shape ...int) *array {
	return &array{shape: slices.Clone(shape), integers: make([]int64, elements(shape)), dtype: t}
}

// like is a new array of x's kind with another shape.
func (x *array) like(shape ...int) *array {
	if x.isFloat() {
		return newFloats(shape...)
	}
	return newIntegers(x.dtype, shape...)
}

// reshaped shares x's values.
func (x *array) reshaped(shape ...int) *array {
	check(elements(shape) == x.len(), "%v values of shape %v cannot take shape %v", x.len(), x.shape, shape)
	return &array{slices.Clone(shape), x.floats, x.integers, x.dtype}
}

func (x *array) isFloat() bool { return x.dtype == checkpoint.F32 }

func (x *array) rank() int { return len(x.shape) }

func (x *array) len() int { return max(len(x.floats), len(x.integers)) }

// axis resolves a dimension, where negative ones count from the last.
func axis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	check(a >= 0 && a < int64(rank), "axis %d of %d dimensions", a, rank)
	return int(a)
}

// around is the number of values before and after dimension a.
func (x *array) around(a int) (outer, inner int) {
	return elements(x.shape[:a]), elements(x.shape[a+1:])
}

// strides are the values from one position of each dimension to the next.
func strides(shape []int) []int {
	out := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		out[i] = n
		n *= shape[i]
	}
	return out
}

// sizes are integers as dimensions.
func sizes(x *array) []int {
	check(!x.isFloat(), "sizes are given as floats")
	out := make([]int, len(x.integers))
	for i, v := range x.integers {
		check(v > -int64(maxElements) && v <= int64(maxElements), "size %d", v)
		out[i] = int(v)
	}
	return out
}

func ofConstant(t *checkpoint.ONNXTensor) *array {
	if t.Floats != nil || t.DType == checkpoint.F32 || t.DType == checkpoint.F64 || t.DType == checkpoint.F16 || t.DType == checkpoint.BF16 {
		return &array{t.Shape, t.Floats, nil, checkpoint.F32}
	}
	return &array{t.Shape, nil, t.Integers, t.DType}
}

// gather copies values of src, whose position moves by steps[d] for each position of dimension d of shape, from position at on.
func gather[T any](dst, src []T, shape, steps []int, at int) {
	if len(dst) == 0 {
		return
	}
	if len(shape) == 0 {
		dst[0] = src[at]
		return
	}
	last := len(shape) - 1
	position := make([]int, last)
	for done := 0; done < len(dst); done += shape[last] {
		row := dst[done : done+shape[last]]
		if steps[last] == 1 {
			copy(row, src[at:])
		} else {
			for i := range row {
				row[i] = src[at+i*steps[last]]
			}
		}
		for d := last - 1; d >= 0; d-- {
			at += steps[d]
			if position[d]++; position[d] < shape[d] {
				break
			}
			at -= shape[d] * steps[d]
			position[d] = 0
		}
	}
}

// gathered is gather into a new array.
func (x *array) gathered(shape, steps []int, at int) *array {
	out := x.like(shape...)
	if x.isFloat() {
		gather(out.floats, x.floats, shape, steps, at)
	} else {
		gather(out.integers, x.integers, shape, steps, at)
	}
	return out
}
