package autograd

import (
	"math"

	"github.com/blemish/blemish/internal/kernel"
)

// ReLU is max(x, 0).
func (t *Tape) ReLU(x *Var) *Var { return t.clamp("relu", x, 0, inf, false) }

// ReLU6 is min(max(x, 0), 6).
func (t *Tape) ReLU6(x *Var) *Var { return t.clamp("relu6", x, 0, 6, false) }

// ReLUInPlace is ReLU in x's memory: x.Value must not be needed by the operator that made it, and cannot be used again.
func (t *Tape) ReLUInPlace(x *Var) *Var { return t.clamp("relu", x, 0, inf, true) }

// ReLU6InPlace is ReLU6 in x's memory, like ReLUInPlace.
func (t *Tape) ReLU6InPlace(x *Var) *Var { return t.clamp("relu6", x, 0, 6, true) }

func (t *Tape) clamp(op string, x *Var, lo, hi float32, inPlace bool) *Var {
	var out *Var
	if inPlace {
		out = t.taken(op, x)
		t.affine(out.Value.Data, out.Value.Data, nil, 1, 0, 0, lo, hi)
	} else {
		out = t.result(x.Shape()...)
		t.affine(out.Value.Data, x.Value.Data, nil, 1, 0, 0, lo, hi)
	}
	if n := t.record(op, backClamp, out, x); n != nil {
		n.nums[0], n.nums[1] = lo, hi
	}
	return out
}

// dx = dout where lo < out < hi, else 0
func backClamp(t *Tape, n *node) {
	x := n.in[0]
	if !x.requiresGrad {
		return
	}
	if x.Grad == nil && !x.leaf && !n.out.kept { // in the memory of out's gradient, which nothing needs any more
		t.handOver(x, n.out)
		t.gate(x.Grad.Data, x.Grad.Data, n.out.Value.Data, 0, n.nums[0], n.nums[1])
		return
	}
	dst, accumulate := t.gradient(x)
	keep := float32(0)
	if accumulate {
		keep = 1
	}
	t.gate(dst, n.out.Grad.Data, n.out.Value.Data, keep, n.nums[0], n.nums[1])
}

func (t *Tape) gate(dst, x, y []float32, keep, lo, hi float32) {
	if len(dst) <= piece {
		kernel.Gate(dst, x, y, keep, lo, hi)
		return
	}
	t.spread(len(dst), func(from, to int) { kernel.Gate(dst[from:to], x[from:to], y[from:to], keep, lo, hi) })
}

// pointwise is a function of one value and its derivative, in terms of the value x and the result y.
type pointwise struct {
	name  string
	f     func(x float64) float64
	slope func(x, y float64) float64

	many func(dst, x []float32)    // f of many values; nil where one at a time will do
	back func(dst, g, y []float32) // likewise: g times the slopes, where the results tell them
}

func (t *Tape) apply(p *pointwise, x *Var) *Var {
	out := t.result(x.Shape()...)
	src, dst := x.Value.Data, out.Value.Data
	if len(src) <= piece {
		p.values(dst, src)
	} else {
		t.spread(len(src), func(from, to int) { p.values(dst[from:to], src[from:to]) })
	}
	if n := t.record(p.name, backApply, out, x); n != nil {
		n.pointwise = p
	}
	return out
}

func (p *pointwise) values(dst, src []float32) {
	if p.many != nil {
		p.many(dst, src)
		return
	}
	for i, v := range src {
		dst[i] = float32(p.f(float64(v)))
	}
}

// dx = dout·f'(x)
func backApply(t *Tape, n *node) {
	x := n.in[0]
	if !x.requiresGrad {
		return
	}
	dst, accumulate := t.gradient(x)
	g, xs, ys, p := n.out.Grad.Data, x.Value.Data, n.out.Value.Data, n.pointwise
	if len(xs) <= piece {
		p.pull(dst, g, xs, ys, accumulate)
		return
	}
	t.spread(len(xs), func(from, to int) { p.pull(dst[from:to], g[from:to], xs[from:to], ys[from:to], accumulate) })
}

// pull sets dst to g times the slopes, or adds that.
func (p *pointwise) pull(dst, g, xs, ys []float32, accumulate bool) {
	if p.back != nil && !accumulate {
		p.back(dst, g, ys)
		return
	}
	for i, v := range g {
		d := v * float32(p.slope(float64(xs[i]), float64(ys[i])))
		if accumulate {
			d += dst[i]
		}
		dst[i] = d
	}
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

var (
	sigmoid = &pointwise{name: "sigmoid", f: logistic, slope: func(_, y float64) float64 { return y * (1 - y) }, many: kernel.Sigmoid,
		back: func(dst, g, y []float32) {
			g, dst = g[:len(y)], dst[:len(y)]
			for i, v := range y {
				dst[i] = g[i] * (v * (1 - v))
			}
		}}
	tanh = &pointwise{name: "tanh", f: math.Tanh, slope: func(_, y float64) float64 { return 1 - y*y }, many: kernel.Tanh,
		back: func(dst, g, y []float32) {
			g, dst = g[:len(y)], dst[:len(y)]
			for i, v := range y {
				dst[i] = g[i] * (1 - v*v)
			}
		}}
	silu = &pointwise{name: "silu", f: func(x float64) float64 { return x * logistic(x) }, slope: func(x, y float64) float64 {
		s := logistic(x)
		return s * (1 + x*(1-s))
	}}
	gelu = &pointwise{name: "gelu", f: func(x float64) float64 { return x * normal(x) }, slope: func(x, _ float64) float64 {
		return normal(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	}}
	hardswish = &pointwise{name: "hardswish", f: func(x float64) float64 { return x * min(max(x+3, 0), 6) / 6 }, slope: func(x, _ float64) float64 {
		switch {
		case x <= -3:
			return 0
		case x < 3:
			return x/3 + 0.5
		}
		return 1
	}}
	elu = &pointwise{name: "elu", f: func(x float64) float64 {
		if x > 0 {
			return x
		}
		return math.Expm1(x)
	}, slope: func(x, y float64) float64 {
		if x > 0 {
			return 1
		}
		return y + 1
	}}
	softplus = &pointwise{name: "softplus", f: func(x float64) float64 {
		if x > 20 {
			return x
		}
		return math.Log1p(math.Exp(x))
	}, slope: func(x, _ float64) float64 { return logistic(x) }}
	exp    = &pointwise{name: "exp", f: math.Exp, slope: func(_, y float64) float64 { return y }}
	log    = &pointwise{name: "log", f: math.Log, slope: func(x, _ float64) float64 { return 1 / x }}
	square = &pointwise{name: "square", f: func(x float64) float64 { return x * x }, slope: func(x, _ float64) float64 { return 2 * x }}
	root   = &pointwise{name: "sqrt", f: math.Sqrt, slope: func(_, y float64) float64 { return 0.5 / y }}
	recip  = &pointwise{name: "reciprocal", f: func(x float64) float64 { return 1 / x }, slope: func(_, y float64) float64 { return -y * y }}
	abs    = &pointwise{name: "abs", f: math.Abs, slope: func(x, _ float64) float64 {
		if x == 0 {
			return 0
		}
		return math.Copysign(1, x)
	}}
)

// normal is the standard normal distribution function.
func normal(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// Sigmoid is 1/(1+exp(-x)).
func (t *Tape) Sigmoid(x *Var) *Var { return t.apply(sigmoid, x) }

// Tanh is the hyperbolic tangent.
func (t *Tape) Tanh(x *Var) *Var { return t.apply(tanh, x) }

// SiLU is x·sigmoid(x).
func (t *Tape) SiLU(x *Var) *Var { return t.apply(silu, x) }

// GELU is x·Φ(x), exact, as PyTorch's default.
func (t *Tape) GELU(x *Var) *Var { return t.apply(gelu, x) }

// Hardswish is x·ReLU6(x+3)/6.
func (t *Tape) Hardswish(x *Var) *Var { return t.apply(hardswish, x) }

// ELU is x for positive x, else exp(x)-1.
func (t *Tape) ELU(x *Var) *Var { return t.apply(elu, x) }

// Softplus is log(1+exp(x)).
func (t *Tape) Softplus(x *Var) *Var { return t.apply(softplus, x) }

// Exp is the exponential function.
func (t *Tape) Exp(x *Var) *Var { return t.apply(exp, x) }

// Log is the natural logarithm.
func (t *Tape) Log(x *Var) *Var { return t.apply(log, x) }

// Square is x².
func (t *Tape) Square(x *Var) *Var { return t.apply(square, x) }

// Sqrt is the square root.
func (t *Tape) Sqrt(x *Var) *Var { return t.apply(root, x) }

// Reciprocal is 1/x.
func (t *Tape) Reciprocal(x *Var) *Var { return t.apply(recip, x) }

// Abs is |x|, with slope 0 at 0.
func (t *Tape) Abs(x *Var) *Var { return t.apply(abs, x) }

// LeakyReLU is x for positive x, else slope·x.
func (t *Tape) LeakyReLU(x *Var, slope float32) *Var {
	s := float64(slope)
	return t.apply(&pointwise{name: "leaky_relu", f: func(x float64) float64 {
		if x > 0 {
			return x
		}
		return s * x
	}, slope: func(x, _ float64) float64 {
		if x > 0 {
			return 1
		}
		return s
	}}, x)
}
