package infer

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/tensor"
)

// fuse compiles nodes as a Network. It returns nil where they hold anything that Network does not do.
func fuse(g *checkpoint.ONNX, nodes []*checkpoint.ONNXNode, taps []string, channels int) *Network {
	graph, picture := NewGraph(channels)
	f := fuser{constants: maps.Clone(g.Constants), graph: graph, values: map[string]Value{g.Inputs[0].Name: picture}, weights: map[string]*tensor.Tensor{}}
	for i, n := range nodes {
		if t := n.Attributes["value"].Tensor; n.Op == "Constant" && t != nil {
			f.constants[n.Out[0]] = t
			continue
		}
		v, ok := f.node(n, fmt.Sprint(i))
		if !ok {
			return nil
		}
		f.values[n.Out[0]] = v
	}
	var names []string
	for i, name := range taps {
		v, ok := f.values[name]
		if !ok || v == picture {
			return nil
		}
		names = append(names, fmt.Sprint(i))
		graph.Tap(names[i], v)
	}
	network, err := Compile(graph, func(name string) (*tensor.Tensor, error) { return f.weights[name], nil }, names)
	if err != nil { // it lacks something; whatever is wrong with the network itself, the operators say
		return nil
	}
	return network
}

type fuser struct {
	constants map[string]*checkpoint.ONNXTensor
	graph     *Graph
	values    map[string]Value
	weights   map[string]*tensor.Tensor
}

// constant is a constant of floats of the given shape.
func (f *fuser) constant(n *checkpoint.ONNXNode, i int, shape ...int) (*tensor.Tensor, bool) {
	if i >= len(n.In) {
		return nil, false
	}
	t := f.constants[n.In[i]]
	if t == nil || t.Floats == nil || !slices.Equal(t.Shape, shape) {
		return nil, false
	}
	return tensor.From(t.Floats, shape...), true
}

// node adds one node; ok is false where Network has nothing like it.
func (f *fuser) node(n *checkpoint.ONNXNode, name string) (v Value, ok bool) {
	if len(n.In) == 0 || len(n.Out) != 1 {
		return 0, false
	}
	x, ok := f.values[n.In[0]]
	if !ok {
		return 0, false
	}
	switch n.Op {
	case "Identity", "Dropout":
		return x, true
	case "Relu":
		return f.graph.ReLU(x), true
	case "Clip":
		return f.clip(n, x)
	case "Add":
		y, ok := f.values[n.In[1%len(n.In)]]
		if len(n.In) != 2 || !ok || x == y || f.graph.Channels(x) != f.graph.Channels(y) {
			return 0, false
		}
		return f.graph.Add(x, y), true
	case "BatchNormalization":
		return f.batchNorm(n, x, name)
	case "Conv":
		return f.conv(n, x, name)
	case "MaxPool":
		k, stride, dilation, pad, ok := square(n, 0)
		if !ok || dilation != 1 || pad < 0 || 2*int(pad) > k || n.Attributes["ceil_mode"].Int != 0 {
			return 0, false
		}
		return f.graph.MaxPool(x, Pool{Kernel: k, Stride: stride, Pad: pad}), true
	}
	return 0, false
}

func (f *fuser) clip(n *checkpoint.ONNXNode, x Value) (Value, bool) {
	bounds := [2]float32{float32(math.Inf(-1)), float32(math.Inf(1))}
	for i := range bounds {
		if i+1 < len(n.In) && n.In[i+1] != "" {
			t := f.constants[n.In[i+1]]
			if t == nil || len(t.Floats) != 1 {
				return 0, false
			}
			bounds[i] = t.Floats[0]
		}
	}
	if !(bounds[0] <= bounds[1]) {
		return 0, false
	}
	return f.graph.clamp(x, bounds[0], bounds[1]), true
}

func (f *fuser) batchNorm(n *checkpoint.ONNXNode, x Value, name string) (Value, bool) {
	for i, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		t, ok := f.constant(n, i+1, f.graph.Channels(x))
		if !ok {
			return 0, false
		}
		f.weights[name+part] = t
	}
	epsilon := float32(1e-5)
	if a, ok := n.Attributes["epsilon"]; ok {
		epsilon = a.Float
	}
	return f.graph.BatchNorm(x, name, float64(epsilon)), n.Attributes["training_mode"].Int == 0
}

func (f *fuser) conv(n *checkpoint.ONNXNode, x Value, name string) (Value, bool) {
	if len(n.In) < 2 || f.constants[n.In[1]] == nil || len(f.constants[n.In[1]].Shape) != 4 {
		return 0, false
	}
	shape := f.constants[n.In[1]].Shape
	k, stride, dilation, pad, ok := square(n, shape[2])
	groups := int64(1)
	if a, ok := n.Attributes["group"]; ok {
		groups = a.Int
	}
	in := f.graph.Channels(x)
	depthwise := int(groups) == in && shape[0] == in
	if !ok || shape[3] != k || shape[0] == 0 || !(groups == 1 || depthwise) || shape[1]*int(groups) != in {
		return 0, false
	}
	c := Conv{Name: name, Out: shape[0], Kernel: k, Stride: stride, Pad: pad, Dilation: dilation, Groups: int(groups)}
	if f.weights[name+".weight"], ok = f.constant(n, 1, shape...); !ok {
		return 0, false
	}
	if len(n.In) > 2 && n.In[2] != "" {
		c.Bias = WithBias
		if f.weights[name+".bias"], ok = f.constant(n, 2, shape[0]); !ok {
			return 0, false
		}
	}
	return f.graph.Conv(x, c), true
}

// square reads the attributes of a window that is the same in both directions.
func square(n *checkpoint.ONNXNode, k int) (size, stride, dilation int, pad Padding, ok bool) {
	same := func(name string, count int, fallback int64) (int, bool) {
		a, ok := n.Attributes[name]
		if !ok {
			return int(fallback), true
		}
		if len(a.Ints) != count || a.Ints[0] < 0 || a.Ints[0] > 1<<10 {
			return 0, false
		}
		return int(a.Ints[0]), slices.Min(a.Ints) == slices.Max(a.Ints)
	}
	var oks [4]bool
	size, oks[0] = same("kernel_shape", 2, int64(k))
	stride, oks[1] = same("strides", 2, 1)
	dilation, oks[2] = same("dilations", 2, 1)
	pads, fine := same("pads", 4, 0)
	pad, oks[3] = Padding(pads), fine
	switch n.Attributes["auto_pad"].Text {
	case "", "NOTSET":
	case "SAME_UPPER":
		pad = Same
	case "VALID":
		pad = 0
	default:
		return 0, 0, 0, 0, false
	}
	return size, stride, dilation, pad, oks == [4]bool{true, true, true, true} && size > 0 && stride > 0 && dilation > 0
}
