package infer

import (
	"math"
	"slices"
)

func opReduceMean(c *call) []*array { return reduce(c, meanOf) }
func opReduceSum(c *call) []*array  { return reduce(c, sumOf) }
func opReduceMax(c *call) []*array  { return reduce(c, maxOf) }
func opReduceMin(c *call) []*array {
	return reduce(c, func(values []float32) float32 { return slices.Min(values) })
}

func opReduceL2(c *call) []*array {
	return reduce(c, func(values []float32) float32 {
		sum := 0.0
		for _, v := range values {
			sum += float64(v) * float64(v)
		}
		return float32(math.Sqrt(sum))
	})
}

func sum64(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum
}

func sumOf(values []float32) float32  { return float32(sum64(values)) }
func meanOf(values []float32) float32 { return float32(sum64(values) / float64(len(values))) }
func maxOf(values []float32) float32  { return slices.Max(values) }

// reduce makes one value of all along the axes; without axes, of all, or of none where noop_with_empty_axes says so.
func reduce(c *call, of func([]float32) float32) []*array {
	x := c.floats(0)
	axes, given := c.axes(1, x.rank())
	if !given || len(axes) == 0 {
		if c.integer("noop_with_empty_axes", 0) != 0 {
			return one(x)
		}
		axes = nil
		for i := range x.shape {
			axes = append(axes, i)
		}
	}
	var kept, order, shape, result []int
	for i, d := range x.shape {
		if slices.Contains(axes, i) {
			if c.integer("keepdims", 1) != 0 {
				result = append(result, 1)
			}
			continue
		}
		kept, shape, result = append(kept, i), append(shape, d), append(result, d)
	}
	order = slices.Clone(kept)
	for i := range x.shape {
		if slices.Contains(axes, i) {
			order = append(order, i)
		}
	}
	moved := transposed(x, order)
	y := newFloats(shape...)
	check(x.len() > 0, "a value of shape %v has nothing to reduce", x.shape)
	n := x.len() / y.len()
	for i := range y.floats {
		y.floats[i] = of(moved.floats[i*n:][:n])
	}
	return one(y.reshaped(result...))
}
