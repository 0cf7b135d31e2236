package infer

import (
	"math"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// known activations; whatever operators one is written in, it is told by its values.
var activations = []struct {
	act kernel.Act
	f   func(x float64) float64
}{
	{kernel.ActSigmoid, sigmoid64},
	{kernel.ActSiLU, func(x float64) float64 { return x * sigmoid64(x) }},
	{kernel.ActGELU, func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }},
	{kernel.ActGELUTanh, func(x float64) float64 {
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}},
	{kernel.ActHardSwish, func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }},
}

func sigmoid64(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// samples tell activations from one another; constants of float32 leave 1e-7 of a value.
var samples = []float64{-7, -5, -3.25, -2.9, -2.1, -1.4, -0.8, -0.3, -0.05, 0, 0.07, 0.4, 0.9, 1.6, 2.3, 2.95, 3.3, 4.8, 6.5}

// activated is the symbol of f of a value, with a value of its own if f is a known activation.
func (l *lifter) activated(x symbol, base Value, f func(float64) float64) symbol {
	s := symbol{form: x.form, v: none, base: base, f: f}
	for _, a := range activations {
		same := true
		for _, v := range samples {
			same = same && math.Abs(a.f(v)-f(v)) <= 2e-6*max(1, math.Abs(v))
		}
		if same {
			s.v = l.made(x.form, l.graph.like(base, node{kind: activation, act: a.act}), base).v
		}
	}
	return s
}

// function is x as a function of a base.
func (x symbol) function() (base Value, f func(float64) float64) {
	if x.f != nil {
		return x.base, x.f
	}
	return x.v, func(v float64) float64 { return v }
}

func (l *lifter) unary(n *checkpoint.ONNXNode, x symbol) (symbol, bool) {
	if x.form >= storable || x.part != nil {
		return symbol{}, false
	}
	base, f := x.function()
	if base == none || l.padded[base] > 0 {
		return symbol{}, false
	}
	c := call{node: n}
	var g func(float64) float64
	switch n.Op {
	case "Erf":
		g = math.Erf
	case "Sigmoid":
		g = sigmoid64
	case "Tanh":
		g = math.Tanh
	case "HardSigmoid":
		alpha, beta := float64(c.float("alpha", 0.2)), float64(c.float("beta", 0.5))
		if l.graph.nodes[base].kind == conv && x.f == nil && l.exclusive(base) {
			l.scaleConv(base, func(int) float64 { return alpha })
			l.shiftConv(base, func(int) float64 { return beta })
			return l.made(x.form, l.graph.clamp(base, 0, 1), base), true
		}
		g = func(v float64) float64 { return min(max(alpha*v+beta, 0), 1) }
	case "HardSwish":
		g = activations[4].f
	case "Gelu":
		g = activations[2].f
		if c.text("approximate", "none") == "tanh" {
			g = activations[3].f
		}
	}
	return l.activated(x, base, func(v float64) float64 { return g(f(v)) }), true
}

// binary is a sum, a product … of values, of a value and its activation, or of a value and constants.
func (l *lifter) binary(n *checkpoint.ONNXNode, name string) (symbol, bool) {
	if len(n.In) != 2 {
		return symbol{}, false
	}
	x, xs := l.symbols[n.In[0]]
	y, ys := l.symbols[n.In[1]]
	if s, ok := l.normStep(n, x, y, xs, ys, name); ok {
		return s, true
	}
	if s, ok := l.scaledHead(n, x, y, xs, ys); ok {
		return s, true
	}
	if xs && x.part != nil || ys && y.part != nil {
		return symbol{}, false
	}
	arithmetic := map[string]func(a, b float64) float64{
		"Add": func(a, b float64) float64 { return a + b }, "Sub": func(a, b float64) float64 { return a - b },
		"Mul": func(a, b float64) float64 { return a * b }, "Div": func(a, b float64) float64 { return a / b }, "Pow": math.Pow,
	}[n.Op]
	if xs && ys {
		bx, f := x.function()
		by, g := y.function()
		if bx == by && bx != none && x.form == y.form && x.form < storable {
			return l.activated(x, bx, func(v float64) float64 { return arithmetic(f(v), g(v)) }), true
		}
		if x.v == none || y.v == none || x.form != y.form || x.form >= storable || l.padded[x.v]+l.padded[y.v] > 0 ||
			l.graph.Channels(x.v) != l.graph.Channels(y.v) || x.v == 0 || y.v == 0 {
			return symbol{}, false
		}
		if n.Op == "Mul" && l.single[y.v] {
			return l.made(x.form, l.graph.like(x.v, node{kind: gate, in: []Value{y.v}, name: name}), x.v), true
		}
		if n.Op == "Mul" && l.single[x.v] {
			return l.made(y.form, l.graph.like(y.v, node{kind: gate, in: []Value{x.v}, name: name}), y.v), true
		}
		if n.Op != "Add" || l.single[x.v] != l.single[y.v] {
			return symbol{}, false
		}
		return l.made(x.form, l.graph.Add(x.v, y.v), x.v), true
	}
	value, constant, left := x, n.In[1], true
	if !xs {
		value, constant, left = y, n.In[0], false
	}
	if value.form >= storable {
		return symbol{}, false
	}
	if c, ok := l.number(constant); ok {
		base, f := value.function()
		if base == none || l.padded[base] > 0 {
			return symbol{}, false
		}
		return l.activated(value, base, func(v float64) float64 {
			if left {
				return arithmetic(f(v), c)
			}
			return arithmetic(c, f(v))
		}), true
	}
	if s, ok := l.positions(n, value, constant, name); ok {
		return s, true
	}
	c, ok := l.vectorOf(constant, value)
	if !ok || l.graph.nodes[value.v].kind != conv || !l.exclusive(value.v) {
		return symbol{}, false
	}
	switch n.Op {
	case "Add":
		l.shiftConv(value.v, func(i int) float64 { return float64(c[i]) })
	case "Mul":
		l.scaleConv(value.v, func(i int) float64 { return float64(c[i]) })
	default:
		return symbol{}, false
	}
	return value, true
}

// scaleConv multiplies a convolution's results, channel by channel, in its parameters.
func (l *lifter) scaleConv(v Value, factor func(channel int) float64) {
	c := &l.graph.nodes[v].conv
	for _, part := range []string{".weight", ".bias"} {
		old := l.weights[c.Name+part]
		if old == nil {
			continue
		}
		t := tensor.New(old.Shape...)
		per := len(t.Data) / c.Out
		for i, w := range old.Data {
			t.Data[i] = float32(float64(w) * factor(i/per))
		}
		l.weights[c.Name+part] = t
	}
}

// shiftConv adds to a convolution's results in its bias.
func (l *lifter) shiftConv(v Value, by func(channel int) float64) {
	c := &l.graph.nodes[v].conv
	t := tensor.New(c.Out)
	if c.Bias == WithBias {
		copy(t.Data, l.weights[c.Name+".bias"].Data)
	}
	for i := range t.Data {
		t.Data[i] = float32(float64(t.Data[i]) + by(i))
	}
	c.Bias = WithBias
	l.weights[c.Name+".bias"] = t
}
