package infer

import (
	"maps"
	"math"
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
)

// compileInt8 compiles a network in which QuantizeLinear and DequantizeLinear surround every operator, as ONNX Runtime's quantizer, torch and
// tf2onnx write them. It returns nil where they do not, or where an operator has no integer form here.
func compileInt8(g *checkpoint.ONNX, nodes []*checkpoint.ONNXNode, taps []string, channels int) *int8Network {
	if channels < 1 || !slices.ContainsFunc(nodes, func(n *checkpoint.ONNXNode) bool { return n.Op == "DequantizeLinear" }) {
		return nil
	}
	c := int8Compiler{
		constants: maps.Clone(g.Constants), picture: g.Inputs[0].Name, taps: taps, readers: map[string]int{}, nodesOf: map[string][]*checkpoint.ONNXNode{},
		levels: map[string]int8Expression{}, made: map[string]quantizer{}, reals: map[string]int8Expression{}, pending: map[string]*int8Pending{}, filters: map[string]*int8Constant{}, kept: map[int]bool{},
		n: &int8Network{channels: channels},
	}
	for _, n := range nodes {
		for _, x := range n.In {
			c.readers[x]++
			c.nodesOf[x] = append(c.nodesOf[x], n)
		}
	}
	for _, v := range taps {
		c.readers[v]++
	}
	for _, n := range nodes {
		if len(n.Out) != 1 || len(n.In) == 0 && n.Op != "Constant" || !c.node(n) {
			return nil
		}
	}
	return c.finish()
}

// int8Expression is a value of the graph that is levels: as they are, or times their scale.
type int8Expression struct {
	value   int
	rank    int
	readers int
}

// int8Pending is what was computed from levels and not yet quantised.
type int8Pending struct {
	step   int8Step
	x, y   int8Expression // y of a sum
	sum    bool
	out    int // channels
	rank   int
	lo, hi float32
	filter *int8Filter

	quantizer *quantizer // what it was quantised with
	levels    int8Expression
}

// int8Filter is a convolution's weights and bias, in units of its sums, and what each channel's sums count in.
type int8Filter struct {
	spec   kernel.ConvSpec
	weight []int8
	bias   []int32
	scale  []float32 // of the weights
}

// int8Constant is a constant that was dequantised, or that is one of floats.
type int8Constant struct {
	shape  []int
	levels []int64 // less their zero point; nil where there are none
	scales []float32
	axis   int
	values []float64
}

type int8Compiler struct {
	n         *int8Network
	constants map[string]*checkpoint.ONNXTensor
	picture   string
	taps      []string
	readers   map[string]int
	nodesOf   map[string][]*checkpoint.ONNXNode
	levels    map[string]int8Expression // by name
	made      map[string]quantizer      // what made them
	reals     map[string]int8Expression
	pending   map[string]*int8Pending
	filters   map[string]*int8Constant
	kept      map[int]bool // values that have several names, and readers by more than one
}

// node takes one node in; ok is false where there is no integer form of it.
func (c *int8Compiler) node(n *checkpoint.ONNXNode) (ok bool) {
	switch n.Op {
	case "Constant":
		t := n.Attributes["value"].Tensor
		c.constants[n.Out[0]] = t
		return t != nil
	case "QuantizeLinear":
		return c.quantize(n)
	case "DequantizeLinear":
		return c.dequantize(n)
	case "Identity", "Dropout":
		return c.alias(n, 0)
	case "Flatten":
		return c.alias(n, 2) && n.Attributes["axis"].Int <= 1
	case "Relu":
		return c.clamp(n, 0, float32(math.Inf(1)))
	case "Clip":
		bounds, ok := c.bounds(n)
		return ok && c.clamp(n, bounds[0], bounds[1])
	}
	p, ok := c.operator(n)
	if ok && p.step.kind == int8Pool {
		return c.pool(n, p)
	}
	if ok {
		p.lo, p.hi = float32(math.Inf(-1)), float32(math.Inf(1))
		p.step.name = label(n)
		c.pending[n.Out[0]] = p
	}
	return ok
}

// alias gives a value of one pixel another name, and rank dimensions where that is not 0.
func (c *int8Compiler) alias(n *checkpoint.ONNXNode, rank int) bool {
	x, ok := c.reals[n.In[0]]
	if !ok || rank != 0 && !c.n.values[x.value].flat {
		return false
	}
	if rank != 0 {
		x.rank = rank
	}
	c.reals[n.Out[0]] = x
	c.kept[x.value] = c.kept[x.value] || c.readers[n.Out[0]] != 1
	return true
}

// read counts the readers of the levels of that name: what reads them as numbers.
func (c *int8Compiler) read(name string) int {
	readers := 0
	for _, n := range c.nodesOf[name] {
		readers += c.readers[n.Out[0]]
	}
	return readers
}

// clamp limits what is pending, or levels. Those limited at 0 are levels of the same scale, and as good as quantised.
func (c *int8Compiler) clamp(n *checkpoint.ONNXNode, lo, hi float32) bool {
	p := c.pending[n.In[0]]
	if p != nil {
		p.lo, p.hi = min(max(p.lo, lo), hi), min(max(p.hi, lo), hi)
		c.pending[n.Out[0]] = p
		return c.readers[n.In[0]] == 1
	}
	x, ok := c.reals[n.In[0]]
	if !ok {
		return false
	}
	from := c.n.values[x.value]
	p = &int8Pending{step: int8Step{kind: int8Same, name: label(n)}, x: x, out: from.channels, rank: x.rank, lo: lo, hi: hi}
	exact := func(v float32) bool { return v == 0 || math.IsInf(float64(v), 0) }
	if !exact(lo) || !exact(hi) {
		c.pending[n.Out[0]] = p
		return true
	}
	y, ok := c.emit(p, from.quantizer)
	y.readers = c.readers[n.Out[0]]
	c.reals[n.Out[0]] = y
	return ok
}

// bounds are those of Clip.
func (c *int8Compiler) bounds(n *checkpoint.ONNXNode) (bounds [2]float32, ok bool) {
	bounds = [2]float32{float32(math.Inf(-1)), float32(math.Inf(1))}
	for i := range bounds {
		if i+1 < len(n.In) && n.In[i+1] != "" {
			t := c.constant(n.In[i+1])
			if t == nil || len(t.values) != 1 {
				return bounds, false
			}
			bounds[i] = float32(t.values[0])
		}
	}
	return bounds, bounds[0] <= bounds[1]
}

// quantizerOf reads the scale and zero point of a node that has one of each.
func (c *int8Compiler) quantizerOf(n *checkpoint.ONNXNode) (q quantizer, ok bool) {
	if len(n.In) < 2 {
		return q, false
	}
	s := c.constants[n.In[1]]
	lo, hi, zero := float32(0), float32(255), float32(0)
	if len(n.In) > 2 && n.In[2] != "" {
		z := c.constants[n.In[2]]
		if z == nil || len(z.Integers) != 1 || z.DType != checkpoint.U8 && z.DType != checkpoint.I8 {
			return q, false
		}
		lo, hi = levels(z.DType)
		zero = float32(z.Integers[0])
	} else if n.Attributes["output_dtype"].Int != 0 { // of levels that count from 0; operators know them
		return q, false
	}
	if s == nil || len(s.Floats) != 1 || !(s.Floats[0] > 0) || math.IsInf(float64(s.Floats[0]), 1) || zero < lo || zero > hi {
		return q, false
	}
	return quantizer{s.Floats[0], kernel.Range{Lo: lo - zero, Hi: hi - zero}}, true
}

// dequantize gives levels their meaning, which must be the one they were made with.
func (c *int8Compiler) dequantize(n *checkpoint.ONNXNode) bool {
	if t := c.constants[n.In[0]]; t != nil {
		f, ok := c.dequantized(n, t)
		c.filters[n.Out[0]] = f
		return ok
	}
	x, ok := c.levels[n.In[0]]
	q, fine := c.quantizerOf(n)
	c.reals[n.Out[0]] = x
	return ok && fine && q == c.made[n.In[0]]
}
