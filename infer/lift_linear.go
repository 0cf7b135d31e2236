package infer

import (
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// matMul is a linear layer, or a step of attention.
func (l *lifter) matMul(n *checkpoint.ONNXNode, x symbol, name string) (symbol, bool) {
	if len(n.In) != 2 {
		return symbol{}, false
	}
	if y, ok := l.symbols[n.In[1]]; ok {
		x, hx := x.part.(headed)
		y, hy := y.part.(headed)
		if !hx || !hy {
			return symbol{}, false
		}
		return l.attend(x, y)
	}
	w := l.arrays[n.In[1]]
	if w == nil || !w.isFloat() || w.rank() != 2 || !(x.form.last() || x.form == vector) || x.v == none {
		return symbol{}, false
	}
	t := tensor.New(w.shape[1], w.shape[0])
	for i, v := range w.floats {
		t.Data[i%w.shape[1]*w.shape[0]+i/w.shape[1]] = v
	}
	return l.linear(x, t, name)
}

// gemm is a linear layer with its bias.
func (l *lifter) gemm(n *checkpoint.ONNXNode, x symbol, name string) (symbol, bool) {
	c := call{node: n}
	w := l.arrays[n.In[min(1, len(n.In)-1)]]
	if len(n.In) < 2 || x.form != vector || w == nil || !w.isFloat() || w.rank() != 2 || c.integer("transB", 0) == 0 || c.integer("transA", 0) != 0 ||
		c.float("alpha", 1) != 1 || c.float("beta", 1) != 1 {
		return symbol{}, false
	}
	var bias []float32
	if len(n.In) > 2 && n.In[2] != "" {
		b := l.arrays[n.In[2]]
		if b == nil || !b.isFloat() || b.len() != w.shape[0] || b.shape[b.rank()-1] != b.len() {
			return symbol{}, false
		}
		bias = b.floats
	}
	s, ok := l.linear(x, tensor.From(w.floats, w.shape...), name)
	if ok && bias != nil {
		l.shiftConv(s.v, func(i int) float64 { return float64(bias[i]) })
	}
	return s, ok
}

// linear is a convolution of single pixels, with weights (Out, In). What pads attention's heads has none.
func (l *lifter) linear(x symbol, w *tensor.Tensor, name string) (symbol, bool) {
	if x.v == none || x.v == 0 || x.form >= storable {
		return symbol{}, false
	}
	out, in, channels := w.Shape[0], w.Shape[1], l.graph.Channels(x.v)
	if dim := l.padded[x.v]; dim > 0 {
		padded := kernel.Attention{Dim: dim}.Padded()
		if l.graph.nodes[x.v].kind != attention || in%dim != 0 || in/dim*padded != channels {
			return symbol{}, false
		}
		wide := tensor.New(out, channels)
		for i := range out {
			for j := range in {
				wide.Data[i*channels+j/dim*padded+j%dim] = w.Data[i*in+j]
			}
		}
		w, in = wide, channels
	}
	if in != channels || out == 0 {
		return symbol{}, false
	}
	l.weights[name+".weight"] = tensor.From(w.Data, out, in, 1, 1)
	return l.made(x.form, l.graph.Conv(x.v, Conv{Name: name, Out: out, Kernel: 1}), x.v), true
}

// mean is the average of all pixels, or a step of a norm.
func (l *lifter) mean(n *checkpoint.ONNXNode, x symbol) (symbol, bool) {
	keep := (&call{node: n}).integer("keepdims", 1) != 0
	if n.Op == "ReduceMean" {
		axes := n.Attributes["axes"].Ints
		if len(n.In) > 1 && l.arrays[n.In[1]] != nil {
			axes = l.arrays[n.In[1]].integers
		}
		if s, ok := l.normMean(x, axes, keep); ok {
			return s, true
		}
		if !slices.Equal(axes, []int64{2, 3}) && !slices.Equal(axes, []int64{-2, -1}) && !slices.Equal(axes, []int64{-1, -2}) {
			return symbol{}, false
		}
	}
	if x.form != planes || x.v == none || x.v == 0 || l.padded[x.v] > 0 {
		return symbol{}, false
	}
	s := symbol{form: planes, v: l.graph.like(x.v, node{kind: mean}), base: none}
	if n.Op == "ReduceMean" && !keep {
		s.form = vector
	}
	l.single[s.v] = true
	l.sizes[s.v] = size{1, 1}
	return s, true
}

func (l *lifter) layerNorm(n *checkpoint.ONNXNode, x symbol, name string) (symbol, bool) {
	c := call{node: n}
	axis := c.integer("axis", -1)
	rank := map[form]int64{last: 4, sequence: 3, vector: 2}[x.form]
	if rank == 0 || axis != -1 && axis != rank-1 || len(n.In) < 2 || x.v == none {
		return symbol{}, false
	}
	scale, ok := l.vectorOf(n.In[1], x)
	shift := make([]float32, len(scale))
	if ok && len(n.In) > 2 && n.In[2] != "" {
		shift, ok = l.vectorOf(n.In[2], x)
	}
	if !ok {
		return symbol{}, false
	}
	return l.normed(x, scale, shift, float64(c.float("epsilon", 1e-5)), name), true
}

func (l *lifter) normed(x symbol, scale, shift []float32, epsilon float64, name string) symbol {
	l.weights[name+".weight"], l.weights[name+".bias"] = tensor.From(scale, len(scale)), tensor.From(shift, len(shift))
	return l.made(x.form, l.graph.like(x.v, node{kind: layerNorm, name: name, eps: epsilon}), x.v)
}

// norming is a step of layer norm as it was exported before opset 17: the mean of x; x-mean; its square; the square's mean, and with ε; its root;
// the quotient, and its product with the scale.
type norming struct {
	x       symbol
	step    string
	epsilon float64
	scale   []float32
}

func (m norming) at(step string) (symbol, bool) {
	m.step = step
	return symbol{form: storable, v: none, base: none, part: m}, true
}

func (l *lifter) normMean(x symbol, axes []int64, keep bool) (symbol, bool) {
	if !slices.Equal(axes, []int64{-1}) || !keep {
		return symbol{}, false
	}
	if m, ok := x.part.(norming); ok && m.step == "square" {
		return m.at("variance")
	}
	if x.part != nil || x.v == none || x.v == 0 || !x.form.last() || l.padded[x.v] > 0 {
		return symbol{}, false
	}
	return norming{x: x}.at("mean")
}

func (l *lifter) root(x symbol) (symbol, bool) {
	if m, ok := x.part.(norming); ok && m.step == "with epsilon" {
		return m.at("deviation")
	}
	return symbol{}, false
}

func (l *lifter) normStep(n *checkpoint.ONNXNode, x, y symbol, xs, ys bool, name string) (symbol, bool) {
	mx, okX := x.part.(norming)
	my, okY := y.part.(norming)
	switch {
	case xs && ys && n.Op == "Sub" && okY && my.step == "mean" && x.v == my.x.v && x.form == my.x.form:
		return my.at("centred")
	case xs && ys && n.Op == "Div" && okX && okY && mx.step == "centred" && my.step == "deviation" && mx.x.v == my.x.v:
		return my.at("quotient")
	case xs && ys && n.Op == "Mul" && okX && okY && mx.step == "centred" && my.step == "centred" && mx.x.v == my.x.v:
		return mx.at("square")
	case xs && ys:
		return symbol{}, false
	}
	m, ok, constant := mx, okX, n.In[1]
	if !xs {
		m, ok, constant = my, okY, n.In[0]
	}
	if !ok {
		return symbol{}, false
	}
	c, number := l.number(constant)
	switch {
	case number && n.Op == "Pow" && xs && m.step == "centred" && c == 2:
		return m.at("square")
	case number && n.Op == "Add" && m.step == "variance":
		m.epsilon = c
		return m.at("with epsilon")
	case n.Op == "Mul" && m.step == "quotient":
		if m.scale, ok = l.vectorOf(constant, m.x); ok {
			return m.at("scaled")
		}
	case n.Op == "Add" && m.step == "scaled":
		if shift, ok := l.vectorOf(constant, m.x); ok {
			return l.normed(m.x, m.scale, shift, m.epsilon, name), true
		}
	}
	return symbol{}, false
}
