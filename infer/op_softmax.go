package infer

import (
	"math"

	"github.com/blemish/blemish/internal/parallel"
)

// opSoftmax is exp(x)/Σexp(x) along an axis; before opset 13, over all dimensions from the axis on.
func opSoftmax(c *call) []*array {
	return softmax(c, func(row []float64, highest float64) {
		sum := 0.0
		for i, v := range row {
			row[i] = math.Exp(v - highest)
			sum += row[i]
		}
		for i := range row {
			row[i] /= sum
		}
	})
}

// opLogSoftmax is the logarithm of opSoftmax.
func opLogSoftmax(c *call) []*array {
	return softmax(c, func(row []float64, highest float64) {
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(v - highest)
		}
		for i, v := range row {
			row[i] = v - highest - math.Log(sum)
		}
	})
}

// softmax hands each line along the axis, and its highest value, to finish.
func softmax(c *call, finish func(row []float64, highest float64)) []*array {
	x := c.floats(0)
	y := newFloats(x.shape...)
	if x.len() == 0 {
		return one(y)
	}
	var n, inner int
	if c.opset < 13 {
		n, inner = elements(x.shape[axis(c.integer("axis", 1), x.rank()):]), 1
	} else {
		a := axis(c.integer("axis", -1), x.rank())
		_, inner = x.around(a)
		n = x.shape[a]
	}
	parallel.For(c.workers, x.len()/n, func(i int) {
		first := i/inner*n*inner + i%inner
		row := make([]float64, n)
		highest := math.Inf(-1)
		for j := range row {
			row[j] = float64(x.floats[first+j*inner])
			highest = math.Max(highest, row[j])
		}
		finish(row, highest)
		for j, v := range row {
			y.floats[first+j*inner] = float32(v)
		}
	})
	return one(y)
}
