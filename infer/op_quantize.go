package infer

import (
	"math"

	"github.com/blemish/blemish/checkpoint"
)

// levels are the least and the greatest value of an integer type.
func levels(t checkpoint.DType) (lo, hi float32) {
	switch t {
	case checkpoint.I8:
		return -128, 127
	case checkpoint.U8:
		return 0, 255
	case checkpoint.I16:
		return -32768, 32767
	}
	unsupported("quantising to %s", t)
	return 0, 0
}

// perAxis visits the runs of values that share one scale and zero point.
func perAxis(c *call, x, scale, zero *array, run func(from, to int, scale, zero float32)) {
	check(scale.isFloat() && (zero == nil || !zero.isFloat() && zero.len() == scale.len()), "scales of shape %v and their zero points", scale.shape)
	if c.integer("block_size", 0) != 0 {
		unsupported("quantising in blocks")
	}
	at := func(i int) float32 {
		if zero == nil {
			return 0
		}
		return float32(zero.integers[i])
	}
	if scale.len() == 1 {
		run(0, x.len(), scale.floats[0], at(0))
		return
	}
	a := axis(c.integer("axis", 1), x.rank())
	check(scale.len() == x.shape[a], "%d scales for axis %d of shape %v", scale.len(), a, x.shape)
	outer, inner := x.around(a)
	for o := range outer {
		for i, s := range scale.floats {
			from := (o*scale.len() + i) * inner
			run(from, from+inner, s, at(i))
		}
	}
}

// opQuantizeLinear is x/scale, rounded to nearest even, plus the zero point, limited to the type's range.
func opQuantizeLinear(c *call) []*array {
	x, scale, zero := c.floats(0), c.input(1), c.optional(2)
	t := c.quantized()
	if zero != nil {
		t = zero.dtype
	}
	lo, hi := levels(t)
	y := newIntegers(t, x.shape...)
	perAxis(c, x, scale, zero, func(from, to int, s, z float32) {
		out := y.integers[from:to]
		for i, v := range x.floats[from:to] {
			out[i] = int64(level(v, s, z, lo, hi))
		}
	})
	return one(y)
}

// quantized is the type of levels that have no zero point: from opset 21 on an attribute's.
func (c *call) quantized() checkpoint.DType {
	kind := c.integer("output_dtype", 0)
	if kind == 0 {
		return checkpoint.U8
	}
	t, ok := castTypes[kind]
	if !ok {
		unsupported("quantising to ONNX data type %d", kind)
	}
	return t
}

func level(v, scale, zero, lo, hi float32) float32 {
	return min(max(float32(math.RoundToEven(float64(v/scale)))+zero, lo), hi)
}

// opDequantizeLinear is (x - zero point)·scale.
func opDequantizeLinear(c *call) []*array {
	x, scale, zero := c.input(0), c.input(1), c.optional(2)
	check(!x.isFloat(), "dequantising floats")
	y := newFloats(x.shape...)
	perAxis(c, x, scale, zero, func(from, to int, s, z float32) {
		out := y.floats[from:to]
		for i, v := range x.integers[from:to] {
			out[i] = (float32(v) - z) * s
		}
	})
	return one(y)
}
