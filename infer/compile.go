package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// layer is one call of a kernel.
type layer struct {
	kind     kind
	node     node // the node whose window it slides
	in       Value
	residual Value // none where negative
	out      Value
	lo, hi   float32
	act      kernel.Act
	prepare  func(kernel.Layer) kernel.Job
	lanes    int // of the input
}

const none Value = -1

// Network is a graph compiled for inference. It is immutable and safe for concurrent use.
type Network struct {
	graph  *Graph
	layers []layer
	taps   []Value
	forms  []form // how each goes out; none: as pictures
	last   []int  // the last layer that reads each value
	idle   idle

	mu    sync.Mutex
	plans map[size]*plan
}

// Compile reads the weights that the named taps need and packs them. Errors name the parameter, and both shapes where they differ.
func Compile(g *Graph, weights func(name string) (*tensor.Tensor, error), taps []string) (*Network, error) {
	if len(taps) == 0 {
		return nil, errors.New("no layer to tap was named")
	}
	needed, err := g.needed(taps)
	if err != nil {
		return nil, err
	}
	c := compiler{graph: g, needed: needed, weights: weights, done: make([]bool, len(g.nodes))}
	c.done[0] = true
	for _, name := range taps {
		v, _ := g.tapped(name)
		c.taps = append(c.taps, v)
	}
	for v := range g.nodes {
		if needed[v] && !c.done[v] {
			if err := c.compile(Value(v)); err != nil {
				return nil, err
			}
		}
	}
	n := &Network{graph: g, layers: c.layers, taps: c.taps, last: make([]int, len(g.nodes))}
	for i, l := range n.layers {
		n.last[l.in] = i
		if l.residual != none {
			n.last[l.residual] = i
		}
	}
	for _, v := range n.taps {
		n.last[v] = len(n.layers)
	}
	return n, nil
}

type compiler struct {
	graph   *Graph
	needed  []bool
	done    []bool // values that some layer computes, or that are fused away
	weights func(name string) (*tensor.Tensor, error)
	taps    []Value
	layers  []layer
}

// only returns the one node that reads v, if v may be fused into it: it has no other reader and is not tapped.
func (c *compiler) only(v Value) (Value, bool) {
	if slices.Contains(c.taps, v) {
		return 0, false
	}
	reader, readers := none, 0
	for w, n := range c.graph.nodes {
		if c.needed[w] {
			for _, x := range n.in {
				if x == v {
					reader = Value(w)
					readers++
				}
			}
		}
	}
	return reader, readers == 1
}

func (c *compiler) compile(v Value) error {
	n := c.graph.nodes[v]
	l := layer{kind: n.kind, node: n, in: n.in[0], residual: none, lo: float32(math.Inf(-1)), hi: float32(math.Inf(1)), lanes: kernel.Block}
	end := v
	switch n.kind {
	case conv:
		weight, bias, err := c.parameters(n)
		if err != nil {
			return err
		}
		if next, ok := c.only(end); ok && c.graph.nodes[next].kind == batchNorm {
			if err := c.fold(c.graph.nodes[next], weight, bias); err != nil {
				return err
			}
			end = next
		}
		if err := l.pack(c.graph.nodes[n.in[0]].channels, weight, bias); err != nil {
			return err
		}
		if next, ok := c.only(end); ok && c.graph.nodes[next].kind == add {
			other := c.graph.nodes[next].in[0]
			if other == end {
				other = c.graph.nodes[next].in[1]
			}
			if c.done[other] && other != 0 && n.conv.Groups == 1 {
				l.residual, end = other, next
			}
		}
	case maxPool:
		k := kernel.TapSpec{Channels: n.channels, Kernel: n.pool.Kernel, Stride: n.pool.Stride, Dilation: 1}
		l.prepare = func(x kernel.Layer) kernel.Job { return kernel.PrepareMaxPool(k, x) }
	case add:
		l.residual, l.prepare = n.in[1], kernel.PrepareAdd
	case clamp:
		l.lo, l.hi, l.prepare = n.lo, n.hi, kernel.PrepareAct
	case activation:
		l.act, l.prepare = n.act, kernel.PrepareAct
	case mean:
		l.prepare = kernel.PrepareMean
	case gate:
		l.residual, l.prepare = n.in[1], kernel.PrepareGate
	case attention:
		l.prepare = n.attention.Prepare
	case layerNorm, tokens:
		if err := c.table(n, &l); err != nil {
			return err
		}
	case batchNorm:
		return &fault.UnsupportedError{What: fmt.Sprintf("batch norm %s, which follows no convolution of its own", n.name)}
	}
	if next, ok := c.only(end); ok {
		switch m := c.graph.nodes[next]; {
		case m.kind == clamp && n.kind != clamp && n.kind != activation:
			l.lo, l.hi, end = m.lo, m.hi, next
		case m.kind == activation && (n.kind == conv || n.kind == add || n.kind == gate):
			l.act, end = m.act, next
		}
	}
	if l.in == 0 && n.kind != conv {
		return &fault.UnsupportedError{What: "a network whose first layer is no convolution"}
	}
	for w := v; w <= end; w++ { // what lies between is fused away, or done already
		if w == end || c.fusedInto(w, v, end) {
			c.done[w] = true
		}
	}
	l.out = end
	c.layers = append(c.layers, l)
	return nil
}

// table reads the parameters of what is no convolution.
func (c *compiler) table(n node, l *layer) error {
	var parts [][]float32
	for _, p := range c.graph.params(n) {
		t, err := c.weights(p.Name)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if !slices.Equal(t.Shape, p.Shape) {
			return &fault.ShapeError{What: "parameter " + p.Name, Want: fmt.Sprint(p.Shape), Got: t.Shape}
		}
		parts = append(parts, t.Data)
	}
	if n.kind == layerNorm {
		l.prepare = kernel.NewLayerNorm(parts[0], parts[1], n.eps).Prepare
		return nil
	}
	l.prepare = kernel.NewTokens(parts[0], n.rows, n.channels, n.first).Prepare
	return nil
}

// fusedInto reports whether w lies on the chain of only readers from v to end.
func (c *compiler) fusedInto(w, v, end Value) bool {
	for x := v; ; {
		if x == w {
			return true
		}
		next, ok := c.only(x)
		if !ok || x == end || next > w {
			return false
		}
		x = next
	}
}

// pack chooses the kernel of a convolution.
func (l *layer) pack(in int, weight []float64, bias []float64) error {
	c := l.node.conv
	w, b := make([]float32, len(weight)), make([]float32, len(bias))
	for i, v := range weight {
		w[i] = float32(v)
	}
	for i, v := range bias {
		b[i] = float32(v)
	}
	switch {
	case c.Groups == 1:
		k := kernel.NewConv(kernel.ConvSpec{In: in, Out: c.Out, Kernel: c.Kernel, Stride: c.Stride, Dilation: c.Dilation}, w, b)
		l.prepare, l.lanes = k.Prepare, k.Lanes()
	case c.Groups == in && c.Out == in:
		l.prepare = kernel.NewDepthwise(kernel.TapSpec{Channels: in, Kernel: c.Kernel, Stride: c.Stride, Dilation: c.Dilation}, w, b).Prepare
	default:
		return &fault.UnsupportedError{What: fmt.Sprintf("convolution %s in %d groups of %d channels", c.Name, c.Groups, in)}
	}
	return nil
}

// parameters reads a convolution's weight and bias, zeros where it has none.
func (c *compiler) parameters(n node) (weight, bias []float64, err error) {
	bias = make([]float64, n.channels)
	for i, p := range c.graph.params(n) {
		values, err := c.read(p)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			weight = values
		} else {
			bias = values
		}
	}
	return weight, bias, nil
}

func (c *compiler) read(p Param) ([]float64, error) {
	t, err := c.weights(p.Name)
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
	}
	if !slices.Equal(t.Shape, p.Shape) {
		return nil, &fault.ShapeError{What: "parameter " + p.Name, Want: fmt.Sprint(p.Shape), Got: t.Shape}
	}
	out := make([]float64, len(t.Data))
	for i, v := range t.Data {
		out[i] = float64(v)
	}
	return out, nil
}

// fold multiplies a batch norm into the convolution before it: y = γ·(x-μ)/√(σ²+ε) + β.
func (c *compiler) fold(n node, weight, bias []float64) error {
	var parts [4][]float64 // weight, bias, running_mean, running_var
	for i, p := range c.graph.params(n) {
		var err error
		if parts[i], err = c.read(p); err != nil {
			return err
		}
	}
	per := len(weight) / len(bias)
	for ch := range bias {
		f := parts[0][ch] / math.Sqrt(parts[3][ch]+n.eps)
		for i := range per {
			weight[ch*per+i] *= f
		}
		bias[ch] = (bias[ch]-parts[2][ch])*f + parts[1][ch]
	}
	return nil
}
