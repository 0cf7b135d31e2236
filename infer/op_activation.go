package infer

import (
	"math"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// each applies f to blocks of an array of floats.
func (c *call) each(f func(dst, src []float32)) []*array {
	const block = 1 << 14
	x := c.floats(0)
	y := newFloats(x.shape...)
	parallel.For(c.workers, (x.len()+block-1)/block, func(i int) {
		end := min(x.len(), (i+1)*block)
		f(y.floats[i*block:end], x.floats[i*block:end])
	})
	return one(y)
}

// unary is an operator that maps each value.
func unary(f func(v float32) float32) operator {
	return func(c *call) []*array {
		return c.each(func(dst, src []float32) {
			for i, v := range src {
				dst[i] = f(v)
			}
		})
	}
}

// wide is unary in float64.
func wide(f func(float64) float64) operator {
	return unary(func(v float32) float32 { return float32(f(float64(v))) })
}

var (
	opErf   = wide(math.Erf)
	opExp   = wide(math.Exp)
	opLog   = wide(math.Log)
	opSqrt  = wide(math.Sqrt)
	opFloor = wide(math.Floor)
	opCeil  = wide(math.Ceil)
	opRound = wide(math.RoundToEven)
	opSin   = wide(math.Sin)
	opCos   = wide(math.Cos)
	opRelu  = unary(func(v float32) float32 { return max(v, 0) })
)

func reciprocal(v float32) float32 { return 1 / v }

func opSigmoid(c *call) []*array { return c.each(kernel.Sigmoid) }

func opTanh(c *call) []*array { return c.each(kernel.Tanh) }

// hardSwish is x·max(0, min(1, x/6 + 1/2)).
func hardSwish(v float32) float32 { return v * min(max(v/6+0.5, 0), 1) }

func softplus(v float32) float32 {
	return float32(math.Log1p(math.Exp(-math.Abs(float64(v)))) + math.Max(float64(v), 0))
}

func mish(v float32) float32 { return v * float32(math.Tanh(float64(softplus(v)))) }

func opLeakyRelu(c *call) []*array {
	alpha := c.float("alpha", 0.01)
	return unary(func(v float32) float32 {
		if v < 0 {
			return alpha * v
		}
		return v
	})(c)
}

func opElu(c *call) []*array {
	alpha := float64(c.float("alpha", 1))
	return unary(func(v float32) float32 {
		if v < 0 {
			return float32(alpha * math.Expm1(float64(v)))
		}
		return v
	})(c)
}

func opHardSigmoid(c *call) []*array {
	alpha, beta := c.float("alpha", 0.2), c.float("beta", 0.5)
	return unary(func(v float32) float32 { return min(max(alpha*v+beta, 0), 1) })(c)
}

// opClip limits values to min..max, which may be absent.
func opClip(c *call) []*array {
	if x := c.input(0); !x.isFloat() {
		unsupported("Clip of integers")
	}
	lo, hi := float32(math.Inf(-1)), float32(math.Inf(1))
	for i, bound := range []*float32{&lo, &hi} {
		if b := c.optional(i + 1); b != nil {
			check(b.isFloat() && b.len() == 1, "a bound of shape %v", b.shape)
			*bound = b.floats[0]
		}
	}
	return unary(func(v float32) float32 { return min(max(v, lo), hi) })(c)
}

// opGelu is x·Φ(x), by the error function or by tanh (Hendrycks and Gimpel, 2016).
func opGelu(c *call) []*array {
	switch form := c.text("approximate", "none"); form {
	case "none":
		return wide(func(v float64) float64 { return 0.5 * v * (1 + math.Erf(v/math.Sqrt2)) })(c)
	case "tanh":
		return wide(func(v float64) float64 { return 0.5 * v * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))) })(c)
	default:
		unsupported("Gelu by %q", form)
		return nil
	}
}

func opNeg(c *call) []*array {
	return signed(c, func(v int64) int64 { return -v }, func(v float32) float32 { return -v })
}

func opAbs(c *call) []*array {
	return signed(c, func(v int64) int64 { return max(v, -v) }, func(v float32) float32 { return float32(math.Abs(float64(v))) })
}

// signed maps floats or integers.
func signed(c *call, integer func(int64) int64, float func(float32) float32) []*array {
	x := c.input(0)
	if x.isFloat() {
		return unary(float)(c)
	}
	y := x.like(x.shape...)
	for i, v := range x.integers {
		y.integers[i] = integer(v)
	}
	return one(y)
}
