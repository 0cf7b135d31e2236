package nn

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/infer"
)

// Graph trains a network that is described once, as an infer.Graph: as far as one of its taps.
type Graph struct {
	order    []infer.Value
	nodes    map[infer.Value]infer.Node
	layers   map[infer.Value]Module
	readers  map[infer.Value]int
	result   infer.Value
	values   map[infer.Value]*autograd.Var // of the last forward pass
	children []Module
}

// NewGraph returns the network as far as a tap, with random weights: convolutions as PyTorch's default.
func NewGraph(g *infer.Graph, tap string, rng *rand.Rand) (*Graph, error) {
	m := &Graph{layers: map[infer.Value]Module{}, readers: map[infer.Value]int{}, values: map[infer.Value]*autograd.Var{}}
	var err error
	if m.result, err = g.Tapped(tap); err != nil {
		return nil, err
	}
	if m.order, m.nodes, err = g.Nodes([]string{tap}); err != nil {
		return nil, err
	}
	m.readers[m.result]++
	for _, v := range m.order {
		n := m.nodes[v]
		for _, in := range n.In {
			m.readers[in]++
		}
		var layer Module
		switch n.Kind {
		case infer.KindConv:
			c := n.Conv
			in := m.nodes[n.In[0]].Channels
			win := autograd.Window{Stride: c.Stride, Dilation: c.Dilation, Groups: c.Groups}
			if c.Pad != infer.Same {
				win.Pad = autograd.Pad(int(c.Pad))
			}
			conv := NewConv2d(c.Name, in, c.Out, c.Kernel, win, rng)
			if c.Bias != infer.WithBias {
				conv.NoBias()
			}
			layer = conv
		case infer.KindBatchNorm:
			b := NewBatchNorm(n.Name, n.Channels)
			b.Eps = n.Eps
			layer = b
		default:
			continue
		}
		m.layers[v] = layer
		m.children = append(m.children, layer)
	}
	return m, nil
}

// Forward maps (N, C, H, W) to the tap's feature map. What frozen layers computed is given up as soon as nothing reads it any more.
func (m *Graph) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	left := map[infer.Value]int{}
	for v, n := range m.readers {
		left[v] = n
	}
	clear(m.values)
	for _, v := range m.order {
		n := m.nodes[v]
		var in *autograd.Var
		if len(n.In) > 0 {
			in = m.values[n.In[0]]
		}
		var out *autograd.Var
		switch n.Kind {
		case infer.KindInput:
			out = x
		case infer.KindConv:
			out = m.conv(t, in, n, m.layers[v].(*Conv2d))
		case infer.KindBatchNorm:
			out = m.layers[v].Forward(t, in)
		case infer.KindClamp:
			out = m.clamp(t, in, n)
		case infer.KindAdd:
			other := m.values[n.In[1]]
			if m.ownsMemory(n.In[0]) {
				out = t.AddInPlace(in, other)
			} else {
				out = t.Add(in, other)
			}
		case infer.KindMaxPool:
			out = t.MaxPool2d(in, n.Pool.Kernel, autograd.Window{Stride: n.Pool.Stride, Pad: m.padding(in, n.Pool.Kernel, n.Pool.Stride, 1, n.Pool.Pad)})
		default:
			panic(fmt.Sprintf("nn: no way to train node %d of kind %d", v, n.Kind))
		}
		m.values[v] = out
		for _, read := range n.In {
			left[read]--
			if left[read] == 0 && m.nodes[read].Kind != infer.KindInput && m.values[read].Value != nil {
				t.Discard(m.values[read])
			}
		}
	}
	return m.values[m.result]
}

// conv asks for the zeros that TensorFlow's "same" padding wants at this size.
func (m *Graph) conv(t *autograd.Tape, x *autograd.Var, n infer.Node, layer *Conv2d) *autograd.Var {
	if n.Conv.Pad == infer.Same {
		layer.Window.Pad = m.padding(x, n.Conv.Kernel, n.Conv.Stride, n.Conv.Dilation, n.Conv.Pad)
	}
	return layer.Forward(t, x)
}

func (m *Graph) padding(x *autograd.Var, k, stride, dilation int, pad infer.Padding) autograd.Padding {
	if pad != infer.Same {
		return autograd.Pad(int(pad))
	}
	zeros := func(n int) (before, after int) {
		all := max(0, ((n+stride-1)/stride-1)*stride+(k-1)*dilation+1-n)
		return all / 2, all - all/2
	}
	var p autograd.Padding
	p.Top, p.Bottom = zeros(x.Shape()[2])
	p.Left, p.Right = zeros(x.Shape()[3])
	return p
}

func (m *Graph) clamp(t *autograd.Tape, x *autograd.Var, n infer.Node) *autograd.Var {
	six := n.Hi == 6
	if n.Lo != 0 || !six && !math.IsInf(float64(n.Hi), 1) {
		panic(fmt.Sprintf("nn: no way to train a clamp to %v..%v", n.Lo, n.Hi))
	}
	inPlace := m.ownsMemory(n.In[0])
	switch {
	case inPlace && six:
		return t.ReLU6InPlace(x)
	case inPlace:
		return t.ReLUInPlace(x)
	case six:
		return t.ReLU6(x)
	}
	return t.ReLU(x)
}

// ownsMemory reports whether a value can be overwritten by its only reader: neither a batch norm nor a sum needs its result again.
func (m *Graph) ownsMemory(v infer.Value) bool {
	k := m.nodes[v].Kind
	return m.readers[v] == 1 && (k == infer.KindBatchNorm || k == infer.KindAdd || k == infer.KindConv)
}

// Params lists the layers' parameters.
func (m *Graph) Params() []*autograd.Var { return Sequential(m.children).Params() }

// Children are the layers that have parameters.
func (m *Graph) Children() []Module { return m.children }
