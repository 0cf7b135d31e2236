package infer

import (
	"math"

	"github.com/blemish/blemish/checkpoint"
)

// opConstant is the value of an attribute.
func opConstant(c *call) []*array {
	for name, a := range c.node.Attributes {
		switch name {
		case "value":
			check(a.Tensor != nil, "an empty value")
			return one(ofConstant(a.Tensor))
		case "value_float":
			return one(&array{[]int{}, []float32{a.Float}, nil, checkpoint.F32})
		case "value_floats":
			return one(&array{[]int{len(a.Floats)}, a.Floats, nil, checkpoint.F32})
		case "value_int":
			return one(&array{[]int{}, nil, []int64{a.Int}, checkpoint.I64})
		case "value_ints":
			return one(&array{[]int{len(a.Ints)}, nil, a.Ints, checkpoint.I64})
		}
	}
	unsupported("a constant of this kind")
	return nil
}

// opConstantOfShape fills a shape with one value, 0 unless said otherwise.
func opConstantOfShape(c *call) []*array {
	shape := sizes(c.input(0))
	value := newFloats(1)
	if a, ok := c.node.Attributes["value"]; ok {
		check(a.Tensor != nil, "an empty value")
		value = ofConstant(a.Tensor)
		check(value.len() == 1, "a value of shape %v", value.shape)
	}
	out := value.like(shape...)
	if out.isFloat() {
		fill(out.floats, value.floats[0])
	} else {
		fill(out.integers, value.integers[0])
	}
	return one(out)
}

// opRange is start, start+delta … before limit.
func opRange(c *call) []*array {
	start, limit, delta := c.input(0), c.input(1), c.input(2)
	check(start.len() == 1 && limit.len() == 1 && delta.len() == 1 && start.isFloat() == limit.isFloat() && start.isFloat() == delta.isFloat(), "bounds that are no numbers of one type")
	if start.isFloat() {
		s, d := float64(start.floats[0]), float64(delta.floats[0])
		n := math.Ceil((float64(limit.floats[0]) - s) / d)
		check(n <= float64(maxElements), "a range of %v values", n) // false for NaN
		out := newFloats(int(max(n, 0)))
		for i := range out.floats {
			out.floats[i] = float32(s + float64(i)*d)
		}
		return one(out)
	}
	s, d := start.integers[0], delta.integers[0]
	check(d != 0, "a range in steps of 0")
	n := math.Ceil((float64(limit.integers[0]) - float64(s)) / float64(d))
	check(n <= float64(maxElements), "a range of %v values", n)
	out := newIntegers(start.dtype, int(max(n, 0)))
	for i := range out.integers {
		out.integers[i] = s + int64(i)*d
	}
	return one(out)
}

// castTypes maps TensorProto.DataType to types that arrays have.
var castTypes = map[int64]checkpoint.DType{
	1: checkpoint.F32, 2: checkpoint.U8, 3: checkpoint.I8, 5: checkpoint.I16, 6: checkpoint.I32, 7: checkpoint.I64, 9: checkpoint.Bool,
	10: checkpoint.F32, 11: checkpoint.F32, 16: checkpoint.F32,
}

// opCast changes the type; all floats are computed in 32 bits.
func opCast(c *call) []*array {
	to, ok := castTypes[c.integer("to", 0)]
	if !ok {
		unsupported("Cast to ONNX data type %d", c.integer("to", 0))
	}
	return one(cast(c.input(0), to))
}

func opCastLike(c *call) []*array { return one(cast(c.input(0), c.input(1).dtype)) }

func cast(x *array, to checkpoint.DType) *array {
	switch {
	case x.dtype == to:
		return x
	case to == checkpoint.F32:
		return asFloats(x)
	}
	out := newIntegers(to, x.shape...)
	for i := range out.integers {
		var v int64
		if x.isFloat() {
			v = int64(x.floats[i])
			if to == checkpoint.Bool {
				v = truth(x.floats[i] != 0)
			}
		} else {
			v = x.integers[i]
		}
		out.integers[i] = narrow(v, to)
	}
	return out
}

// narrow keeps as many bits as the type has.
func narrow(v int64, to checkpoint.DType) int64 {
	switch to {
	case checkpoint.I32:
		return int64(int32(v))
	case checkpoint.I16:
		return int64(int16(v))
	case checkpoint.I8:
		return int64(int8(v))
	case checkpoint.U8:
		return int64(uint8(v))
	case checkpoint.Bool:
		return truth(v != 0)
	}
	return v
}
