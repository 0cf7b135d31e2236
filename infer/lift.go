package infer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// front is the part of an imported network, from the picture on, that runs as a Network; operators compute what is left of it.
type front struct {
	network *Network
	only    size // the only size of picture it can be, if any: numbers of pixels are part of it
}

// symbol is what is known of an imported value: which value of the graph it is, and how it lies.
type symbol struct {
	form form
	v    Value // none where it is a step of a pattern
	// an activation, perhaps an unfinished one, of base
	base Value
	f    func(x float64) float64
	part any // of other patterns: headed, or normed
}

// lifter translates ONNX nodes into a graph as far as it knows them. Values are symbols of one picture: N is 1.
type lifter struct {
	fuser
	opset   int
	symbols map[string]symbol
	arrays  map[string]*array // constants, and what follows from them
	readers map[string]int
	taps    []string
	sizes   map[Value]size // where the picture's is known
	single  map[Value]bool // of one pixel, whatever the picture
	sized   bool           // a number of pixels became part of the graph
	padded  map[Value]int  // channels of a head, whose blocks are padded
}

// lift moves what it can from the steps to a front.
func (n *Imported) lift(g *checkpoint.ONNX, nodes []*checkpoint.ONNXNode, taps []string) error {
	graph, in := NewGraph(n.channels)
	l := &lifter{fuser: fuser{constants: maps.Clone(g.Constants), graph: graph, weights: map[string]*tensor.Tensor{}}, opset: g.Opset, taps: taps,
		symbols: map[string]symbol{g.Inputs[0].Name: {form: planes, v: in, base: none}}, arrays: map[string]*array{}, readers: map[string]int{},
		sizes: map[Value]size{}, single: map[Value]bool{}, padded: map[Value]int{}}
	h, w, fixed := n.InputSize()
	if fixed {
		l.sizes[in] = size{h, w}
	}
	for name, t := range g.Constants {
		l.arrays[name] = ofConstant(t)
	}
	for _, node := range nodes {
		for _, x := range node.In {
			l.readers[x]++
		}
	}
	var rest []*checkpoint.ONNXNode
	for i, node := range nodes {
		if !l.lift(node, fmt.Sprint(i)) {
			rest = append(rest, node)
		}
	}
	var names, values []string
	var forms []form
	known := *g
	known.Constants = maps.Clone(g.Constants)
	leave := func(name string) bool { // what a step or the caller reads leaves the graph
		s, ok := l.symbols[name]
		if !ok || name == g.Inputs[0].Name || slices.Contains(values, name) {
			return true
		}
		if s.v == none || s.v == 0 || s.form >= storable || l.padded[s.v] > 0 {
			return false
		}
		names, values, forms = append(names, fmt.Sprint(len(names))), append(values, name), append(forms, s.form)
		graph.Tap(names[len(names)-1], s.v)
		return true
	}
	for _, node := range rest {
		for _, x := range node.In {
			if a := l.arrays[x]; a != nil && known.Constants[x] == nil {
				known.Constants[x] = &checkpoint.ONNXTensor{DType: a.dtype, Shape: a.shape, Floats: a.floats, Integers: a.integers}
			}
			if !leave(x) {
				return nil
			}
		}
	}
	for _, tap := range taps {
		if !leave(tap) {
			return nil
		}
	}
	if len(names) == 0 {
		return nil
	}
	network, err := Compile(graph, func(name string) (*tensor.Tensor, error) { return l.weights[name], nil }, names)
	if err != nil { // whatever it lacks, the operators have
		return nil
	}
	network.forms = forms
	f := &front{network: network}
	if l.sized {
		f.only = size{h, w}
	}
	if len(rest) == 0 && slices.Equal(values, taps) {
		n.steps, n.values, n.front = nil, nil, f
		return nil
	}
	m := &Imported{opset: n.opset}
	if err := m.link(&known, rest, taps, values...); err != nil {
		return err
	}
	n.steps, n.values, n.input, n.given, n.taps, n.last, n.front = m.steps, m.values, m.input, m.given, m.taps, m.last, f
	return nil
}

// lift translates a node, or computes it where it depends on constants alone.
func (l *lifter) lift(n *checkpoint.ONNXNode, name string) bool {
	if l.fold(n) {
		return true
	}
	if len(n.In) == 0 || n.Out[0] == "" {
		return false
	}
	x, ok := l.symbols[n.In[0]]
	if !ok && len(n.In) > 1 {
		x, ok = l.symbols[n.In[1]]
	}
	if n.Op == "Concat" {
		return l.prepend(n, name)
	}
	if !ok {
		return false
	}
	if n.Op == "Shape" {
		return l.shapeOf(n, x)
	}
	if n.Op == "Split" {
		return l.split(n, x)
	}
	if len(n.Out) != 1 {
		return false
	}
	s, ok := l.node(n, x, name)
	if ok {
		l.symbols[n.Out[0]] = s
	}
	return ok
}

// fold computes a node of constants.
func (l *lifter) fold(n *checkpoint.ONNXNode) bool {
	c := call{node: n, opset: l.opset, workers: 1}
	for _, x := range n.In {
		a := l.arrays[x]
		if a == nil && x != "" {
			return false
		}
		c.in = append(c.in, a)
	}
	out, err := c.run(operators[n.Op])
	if err != nil {
		return false
	}
	for i, y := range n.Out {
		if i < len(out) && y != "" {
			l.arrays[y] = out[i]
			if x := out[i]; x.isFloat() {
				l.constants[y] = &checkpoint.ONNXTensor{DType: x.dtype, Shape: x.shape, Floats: x.floats}
			}
		}
	}
	return true
}

func (l *lifter) node(n *checkpoint.ONNXNode, x symbol, name string) (symbol, bool) {
	switch n.Op {
	case "Identity", "Dropout":
		return x, true
	case "Reshape", "Flatten", "Squeeze":
		return l.reshape(n, x)
	case "Transpose":
		return l.transpose(n, x)
	case "Slice", "Gather":
		return l.pick(n, x)
	case "MatMul":
		return l.matMul(n, x, name)
	case "Gemm":
		return l.gemm(n, x, name)
	case "Softmax":
		return l.softmax(n, x)
	case "LayerNormalization":
		return l.layerNorm(n, x, name)
	case "ReduceMean", "GlobalAveragePool":
		return l.mean(n, x)
	case "Add", "Sub", "Mul", "Div", "Pow":
		return l.binary(n, name)
	case "Sqrt":
		return l.root(x)
	case "Erf", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu":
		return l.unary(n, x)
	case "Relu", "Clip":
		if x.v == none || x.form >= storable {
			return symbol{}, false
		}
		if n.Op == "Relu" {
			return l.made(x.form, l.graph.ReLU(x.v), x.v), true
		}
		v, ok := l.clip(n, x.v)
		return l.made(x.form, v, x.v), ok
	case "Conv", "MaxPool", "BatchNormalization":
		if x.form != planes || x.v == none || l.padded[x.v] > 0 {
			return symbol{}, false
		}
		l.values = map[string]Value{n.In[0]: x.v}
		v, ok := l.fuser.node(n, name)
		if !ok {
			return symbol{}, false
		}
		s := l.made(planes, v, x.v)
		if z, ok := l.sizes[x.v]; ok {
			l.sizes[v] = l.graph.nodes[v].slide(z)
		}
		m := l.graph.nodes[v]
		l.single[v] = l.single[x.v] && (m.kind == batchNorm || m.conv.Kernel == 1 && m.conv.Stride == 1)
		return s, true
	}
	return symbol{}, false
}

// slide is the size after a node's window.
func (n node) slide(z size) size {
	switch n.kind {
	case conv:
		z.height, _ = window(z.height, n.conv.Kernel, n.conv.Stride, n.conv.Dilation, n.conv.Pad)
		z.width, _ = window(z.width, n.conv.Kernel, n.conv.Stride, n.conv.Dilation, n.conv.Pad)
	case maxPool:
		z.height, _ = window(z.height, n.pool.Kernel, n.pool.Stride, 1, n.pool.Pad)
		z.width, _ = window(z.width, n.pool.Kernel, n.pool.Stride, 1, n.pool.Pad)
	}
	return z
}

// made is the symbol of a new value of x's size.
func (l *lifter) made(f form, v, x Value) symbol {
	if z, ok := l.sizes[x]; ok {
		l.sizes[v] = z
	}
	l.single[v] = l.single[x]
	return symbol{form: f, v: v, base: none}
}

// exclusive says whether v is read once alone, under whatever names, so that it may be changed.
func (l *lifter) exclusive(v Value) bool {
	for name, s := range l.symbols {
		if s.v == v && (l.readers[name] != 1 || slices.Contains(l.taps, name)) {
			return false
		}
		if s.v != v && s.base == v {
			return false
		}
	}
	for _, n := range l.graph.nodes {
		if slices.Contains(n.in, v) {
			return false
		}
	}
	return true
}

// vectorOf is a constant of as many floats as there are channels, all other dimensions 1, that lies along x's channels.
func (l *lifter) vectorOf(name string, x symbol) ([]float32, bool) {
	a := l.arrays[name]
	if a == nil || !a.isFloat() || x.v == none || a.len() != l.graph.Channels(x.v) || l.padded[x.v] > 0 {
		return nil, false
	}
	at := a.rank() - 1 // channels last
	if x.form == planes {
		at = a.rank() - 3
	}
	return a.floats, x.form < storable && x.form != flat && at >= 0 && a.shape[at] == a.len()
}

// number is a constant of one float.
func (l *lifter) number(name string) (float64, bool) {
	a := l.arrays[name]
	if a == nil || !a.isFloat() || a.len() != 1 {
		return 0, false
	}
	return float64(a.floats[0]), true
}

// shapeOf makes a constant of a value's shape, which ties the network to its size.
func (l *lifter) shapeOf(n *checkpoint.ONNXNode, x symbol) bool {
	shape, ok := l.shape(x)
	if !ok {
		return false
	}
	l.sized = true
	out, err := (&call{node: n, opset: l.opset, in: []*array{{shape: shape}}, workers: 1}).run(opShape)
	if err != nil {
		return false
	}
	l.arrays[n.Out[0]] = out[0]
	return true
}

func (l *lifter) shape(x symbol) ([]int, bool) {
	if h, ok := x.part.(headed); ok {
		z, ok := l.sizes[h.qkv]
		return h.shape(z.height * z.width), ok && h.shape(1) != nil
	}
	z, ok := l.sizes[x.v]
	if l.single[x.v] {
		z, ok = size{1, 1}, true
	}
	if !ok || x.v == none || x.form >= storable || l.padded[x.v] > 0 {
		return nil, false
	}
	return x.form.shape(1, &kernel.Activation{C: l.graph.Channels(x.v), H: z.height, W: z.width}), true
}
