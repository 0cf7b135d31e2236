// Package infer describes networks as graphs and runs them. A graph is compiled once, with its weights, into a plan for inference:
// batch norm folded, bias, activation and residual fused into each convolution's write-back, weights packed.
package infer

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/kernel"
)

// Value is the output of a node.
type Value int

// Graph is a network: nodes in the order in which they can be computed. Parameters have PyTorch's state-dict names.
type Graph struct {
	nodes []node
	taps  []tap // in the order in which they were named
}

type tap struct {
	name  string
	value Value
}

type kind int

const (
	input kind = iota
	conv
	batchNorm
	clamp
	add
	maxPool
	// Of imported networks alone; see lift.go.
	activation
	mean
	gate
	layerNorm
	attention
	tokens
)

type node struct {
	kind     kind
	in       []Value
	channels int
	stride   int // input pixels per position
	name     string
	conv     Conv
	pool     Pool
	eps      float64
	lo, hi   float32

	act       kernel.Act
	attention kernel.Attention
	rows      int // of a token table, and how many of them are before the picture's pixels
	first     int
}

// NewGraph returns a graph of one value, the picture with its channels.
func NewGraph(channels int) (*Graph, Value) {
	return &Graph{nodes: []node{{kind: input, channels: channels, stride: 1}}}, 0
}

// Padding says how a sliding window treats the border.
type Padding int

// Same is TensorFlow's padding: as many zeros as make the output ceil(input/stride) large, the odd one below and to the right.
const Same Padding = -1

// Conv describes a two-dimensional convolution, as torch.nn.Conv2d. Its parameters are Name.weight (Out, In/Groups, Kernel, Kernel) and,
// with Bias, Name.bias (Out).
type Conv struct {
	Name     string
	Out      int     // channels
	Kernel   int     // rows and columns
	Stride   int     // 0 means 1
	Pad      Padding // pixels of zeros on every side, or Same
	Dilation int     // 0 means 1
	Groups   int     // 0 means 1; otherwise the number of channels: a depthwise convolution
	Bias     Bias
}

// Bias says whether a convolution adds a learned number to each channel.
type Bias int

const (
	NoBias Bias = iota
	WithBias
)

// Pool describes a sliding maximum, as torch.nn.MaxPool2d.
type Pool struct {
	Kernel, Stride int
	Pad            Padding
}

func (g *Graph) push(n node) Value {
	g.nodes = append(g.nodes, n)
	return Value(len(g.nodes) - 1)
}

// Channels is the number of channels of a value.
func (g *Graph) Channels(v Value) int { return g.nodes[v].channels }

// Conv convolves x.
func (g *Graph) Conv(x Value, c Conv) Value {
	c.Stride, c.Dilation, c.Groups = max(c.Stride, 1), max(c.Dilation, 1), max(c.Groups, 1)
	from := g.nodes[x]
	if from.channels%c.Groups != 0 || c.Out%c.Groups != 0 {
		panic(fmt.Sprintf("infer: %s: %d groups do not divide %d and %d channels", c.Name, c.Groups, from.channels, c.Out))
	}
	return g.push(node{kind: conv, in: []Value{x}, channels: c.Out, stride: from.stride * c.Stride, name: c.Name, conv: c})
}

// BatchNorm normalises each channel of x by its running statistics, as torch.nn.BatchNorm2d in eval mode. Its parameters are name.weight,
// name.bias, name.running_mean and name.running_var, each (channels).
func (g *Graph) BatchNorm(x Value, name string, eps float64) Value {
	return g.push(node{kind: batchNorm, in: []Value{x}, channels: g.nodes[x].channels, stride: g.nodes[x].stride, name: name, eps: eps})
}

// ReLU is max(x, 0).
func (g *Graph) ReLU(x Value) Value { return g.clamp(x, 0, float32(math.Inf(1))) }

// ReLU6 is min(max(x, 0), 6).
func (g *Graph) ReLU6(x Value) Value { return g.clamp(x, 0, 6) }

func (g *Graph) clamp(x Value, lo, hi float32) Value {
	return g.push(node{kind: clamp, in: []Value{x}, channels: g.nodes[x].channels, stride: g.nodes[x].stride, lo: lo, hi: hi})
}

// Add is x + y, of equal shapes.
func (g *Graph) Add(x, y Value) Value {
	if g.nodes[x].channels != g.nodes[y].channels {
		panic(fmt.Sprintf("infer: adding %d and %d channels", g.nodes[x].channels, g.nodes[y].channels))
	}
	return g.push(node{kind: add, in: []Value{x, y}, channels: g.nodes[x].channels, stride: g.nodes[x].stride})
}

// MaxPool takes the maximum under each window of x.
func (g *Graph) MaxPool(x Value, p Pool) Value {
	return g.push(node{kind: maxPool, in: []Value{x}, channels: g.nodes[x].channels, stride: g.nodes[x].stride * p.Stride, pool: p})
}

// like pushes a node whose result has x's channels and stride.
func (g *Graph) like(x Value, n node) Value {
	n.in, n.channels, n.stride = append([]Value{x}, n.in...), g.nodes[x].channels, g.nodes[x].stride
	return g.push(n)
}

// Tap names a value whose feature map can be asked for.
func (g *Graph) Tap(name string, v Value) { g.taps = append(g.taps, tap{name, v}) }

// Tap describes a named value.
type Tap struct {
	Name     string
	Channels int
	Stride   int // input pixels per position
}

// Taps lists the named values, from the input on.
func (g *Graph) Taps() []Tap {
	out := make([]Tap, len(g.taps))
	for i, t := range g.taps {
		out[i] = Tap{t.name, g.nodes[t.value].channels, g.nodes[t.value].stride}
	}
	return out
}

func (g *Graph) tapped(name string) (Value, bool) {
	for _, t := range g.taps {
		if t.name == name {
			return t.value, true
		}
	}
	return 0, false
}

// Param is a tensor that a network needs.
type Param struct {
	Name  string
	Shape []int
}

// Params lists what is needed to compute the named taps.
func (g *Graph) Params(taps []string) ([]Param, error) {
	needed, err := g.needed(taps)
	if err != nil {
		return nil, err
	}
	var out []Param
	for v, n := range g.nodes {
		if needed[v] {
			out = append(out, g.params(n)...)
		}
	}
	return out, nil
}

func (g *Graph) params(n node) []Param {
	switch n.kind {
	case conv:
		c := n.conv
		p := []Param{{c.Name + ".weight", []int{c.Out, g.nodes[n.in[0]].channels / c.Groups, c.Kernel, c.Kernel}}}
		if c.Bias == WithBias {
			p = append(p, Param{c.Name + ".bias", []int{c.Out}})
		}
		return p
	case batchNorm:
		var p []Param
		for _, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			p = append(p, Param{n.name + part, []int{n.channels}})
		}
		return p
	case layerNorm:
		return []Param{{n.name + ".weight", []int{n.channels}}, {n.name + ".bias", []int{n.channels}}}
	case tokens:
		return []Param{{n.name + ".table", []int{n.rows, n.channels}}}
	}
	return nil
}

// needed marks the values that the named taps are computed from.
func (g *Graph) needed(taps []string) ([]bool, error) {
	needed := make([]bool, len(g.nodes))
	for _, name := range taps {
		v, ok := g.tapped(name)
		if !ok {
			return nil, fmt.Errorf("no layer %q can be tapped", name)
		}
		needed[v] = true
	}
	for v := len(g.nodes) - 1; v >= 0; v-- {
		if needed[v] {
			for _, x := range g.nodes[v].in {
				needed[x] = true
			}
		}
	}
	return needed, nil
}

// window is the output size and the zeros before the first position, for a window sliding over n pixels.
func window(n, kernel, stride, dilation int, pad Padding) (size, before int) {
	span := (kernel-1)*dilation + 1
	if pad == Same {
		size = (n + stride - 1) / stride
		return size, max((size-1)*stride+span-n, 0) / 2
	}
	return (n+2*int(pad)-span)/stride + 1, int(pad)
}

// Kind is what a node computes.
type Kind int

const (
	KindInput Kind = iota
	KindConv
	KindBatchNorm
	KindClamp
	KindAdd
	KindMaxPool
)

// Node is one step of a graph, for those who run it in their own way. Only the fields of its kind are set.
type Node struct {
	Kind     Kind
	In       []Value
	Channels int // of the result
	Name     string
	Conv     Conv
	Pool     Pool
	Eps      float64 // of a batch norm
	Lo, Hi   float32 // of a clamp
}

// Nodes lists the steps that the named taps need, each by the value it computes, in an order in which they can run.
func (g *Graph) Nodes(taps []string) (order []Value, nodes map[Value]Node, err error) {
	needed, err := g.needed(taps)
	if err != nil {
		return nil, nil, err
	}
	nodes = map[Value]Node{}
	for v, n := range g.nodes {
		if needed[v] {
			order = append(order, Value(v))
			nodes[Value(v)] = Node{Kind(n.kind), n.in, n.channels, n.name, n.conv, n.pool, n.eps, n.lo, n.hi}
		}
	}
	return order, nodes, nil
}

// Tapped is the value that a tap names.
func (g *Graph) Tapped(name string) (Value, error) {
	if v, ok := g.tapped(name); ok {
		return v, nil
	}
	return 0, fmt.Errorf("no layer %q can be tapped", name)
}
