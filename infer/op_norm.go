package infer

import (
	"math"

	"github.com/blemish/blemish/internal/parallel"
)

// opBatchNorm is γ·(x-μ)/√(σ²+ε) + β for each channel of x (N,C,…).
func opBatchNorm(c *call) []*array {
	x := c.floats(0)
	check(x.rank() >= 2, "a value of shape %v", x.shape)
	if c.integer("training_mode", 0) != 0 {
		unsupported("batch norm in training mode")
	}
	channels := x.shape[1]
	var parts [4][]float32 // scale, bias, mean, variance
	for i := range parts {
		p := c.floats(i + 1)
		check(p.len() == channels, "input %d has shape %v, want %d channels", i+1, p.shape, channels)
		parts[i] = p.floats
	}
	epsilon := float64(c.float("epsilon", 1e-5))
	y := newFloats(x.shape...)
	plane := elements(x.shape[2:])
	parallel.For(c.workers, x.shape[0]*channels, func(i int) {
		ch := i % channels
		f := float64(parts[0][ch]) / math.Sqrt(float64(parts[3][ch])+epsilon)
		scale, shift := float32(f), float32(float64(parts[1][ch])-float64(parts[2][ch])*f)
		to := y.floats[i*plane:][:plane]
		for j, v := range x.floats[i*plane:][:plane] {
			to[j] = v*scale + shift
		}
	})
	return one(y)
}

// normalise sets dst to (src-mean)/√(variance+ε).
func normalise(dst, src []float32, epsilon float64) {
	sum, squares := 0.0, 0.0
	for _, v := range src {
		sum += float64(v)
	}
	mean := sum / float64(len(src))
	for _, v := range src {
		d := float64(v) - mean
		squares += d * d
	}
	f := 1 / math.Sqrt(squares/float64(len(src))+epsilon)
	for i, v := range src {
		dst[i] = float32((float64(v) - mean) * f)
	}
}

// opLayerNorm normalises over the dimensions from axis on, then scales and shifts each of their values.
func opLayerNorm(c *call) []*array {
	x, scale, bias := c.floats(0), c.floats(1), c.optional(2)
	if len(c.node.Out) > 1 {
		unsupported("LayerNormalization with its mean")
	}
	at := axis(c.integer("axis", -1), x.rank())
	n := elements(x.shape[at:])
	check(scale.len() == n && (bias == nil || bias.isFloat() && bias.len() == n), "a scale of shape %v for %v", scale.shape, x.shape[at:])
	epsilon := float64(c.float("epsilon", 1e-5))
	y := newFloats(x.shape...)
	if n == 0 {
		return one(y)
	}
	parallel.For(c.workers, x.len()/n, func(i int) {
		row := y.floats[i*n:][:n]
		normalise(row, x.floats[i*n:][:n], epsilon)
		for j := range row {
			row[j] *= scale.floats[j]
			if bias != nil {
				row[j] += bias.floats[j]
			}
		}
	})
	return one(y)
}

// opInstanceNorm normalises each channel of each picture of x (N,C,…).
func opInstanceNorm(c *call) []*array {
	x, scale, bias := c.floats(0), c.floats(1), c.floats(2)
	check(x.rank() >= 3 && scale.len() == x.shape[1] && bias.len() == x.shape[1] && x.len() > 0, "a scale of shape %v for %v", scale.shape, x.shape)
	epsilon := float64(c.float("epsilon", 1e-5))
	y := newFloats(x.shape...)
	n := elements(x.shape[2:])
	parallel.For(c.workers, x.len()/n, func(i int) {
		row := y.floats[i*n:][:n]
		normalise(row, x.floats[i*n:][:n], epsilon)
		for j := range row {
			row[j] = row[j]*scale.floats[i%x.shape[1]] + bias.floats[i%x.shape[1]]
		}
	})
	return one(y)
}
