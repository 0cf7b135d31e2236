package infer

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/checkpoint"
)

// sketch is a network written down by hand: nodes as "y = Op(x, c)", with what else they need.
type sketch struct {
	opset     int
	input     []int
	nodes     []checkpoint.ONNXNode
	constants map[string]*checkpoint.ONNXTensor
	outputs   []string
}

func sketchNode(text string, attributes map[string]checkpoint.ONNXAttribute) checkpoint.ONNXNode {
	out, call, _ := strings.Cut(text, " = ")
	op, in, _ := strings.Cut(strings.TrimSuffix(call, ")"), "(")
	return checkpoint.ONNXNode{Op: op, In: strings.Split(in, ","), Out: strings.Split(out, ","), Attributes: attributes}
}

func (s sketch) network() *checkpoint.ONNX {
	return &checkpoint.ONNX{Opset: max(s.opset, 11), Nodes: s.nodes, Inputs: []checkpoint.ONNXInput{{Name: "x", Shape: s.input}}, Outputs: s.outputs, Constants: s.constants}
}

func floats(shape []int, values ...float32) *checkpoint.ONNXTensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	for len(values) < n {
		values = append(values, 0.5)
	}
	return &checkpoint.ONNXTensor{DType: checkpoint.F32, Shape: shape, Floats: values}
}

func wholes(t checkpoint.DType, shape []int, values ...int64) *checkpoint.ONNXTensor {
	return &checkpoint.ONNXTensor{DType: t, Shape: shape, Integers: values}
}

// Networks that no exporter writes end in an error that names the node and what is wrong with it.
func TestDamagedNetworksAreRefused(t *testing.T) {
	type attributes = map[string]checkpoint.ONNXAttribute
	node := sketchNode
	for name, c := range map[string]struct {
		sketch
		want string
	}{
		"dequantising without a scale": {sketch{
			nodes:     []checkpoint.ONNXNode{node("q = QuantizeLinear(x,s,z)", nil), node("y = DequantizeLinear(q,,z)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{"s": floats(nil, 0.1), "z": wholes(checkpoint.I8, nil, 0)},
		}, "DequantizeLinear y: input 1 is missing"},
		"quantising without a scale": {sketch{
			nodes:     []checkpoint.ONNXNode{node("q = QuantizeLinear(x,,z)", nil), node("y = DequantizeLinear(q,s,z)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{"s": floats(nil, 0.1), "z": wholes(checkpoint.I8, nil, 0)},
		}, "QuantizeLinear q: input 1 is missing"},
		"neither with a scale": {sketch{
			nodes:     []checkpoint.ONNXNode{node("q = QuantizeLinear(x,,)", nil), node("y = DequantizeLinear(q,,)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{},
		}, "input 1 is missing"},
		"a zero point of floats": {sketch{
			nodes:     []checkpoint.ONNXNode{node("q = QuantizeLinear(x,s,z)", nil), node("y = DequantizeLinear(q,s,z)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{"s": floats(nil, 0.1), "z": floats(nil, 0)},
		}, "quantising to F32"},
		"an axis sliced twice": {sketch{
			nodes: []checkpoint.ONNXNode{node("y = Slice(x,from,to,axes)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{"from": wholes(checkpoint.I64, []int{2}, 20, 20), "to": wholes(checkpoint.I64, []int{2}, 32, 32),
				"axes": wholes(checkpoint.I64, []int{2}, 2, -2)},
		}, "axis 2"},
		"a transposed convolution of no channels": {sketch{
			nodes: []checkpoint.ONNXNode{node("e = Slice(x,from,from,axes)", nil), node("y = ConvTranspose(e,w)", attributes{"group": {Int: 1 << 62}})},
			constants: map[string]*checkpoint.ONNXTensor{"from": wholes(checkpoint.I64, []int{1}, 0), "axes": wholes(checkpoint.I64, []int{1}, 1),
				"w": floats([]int{0, 4, 3, 3})},
		}, "groups"},
		"padding that adds up": {sketch{
			nodes:     []checkpoint.ONNXNode{node("a = Conv(x,w)", attributes{"pads": {Ints: []int64{500, 500, 500, 500}}}), node("y = Conv(a,w)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{"w": floats([]int{3, 3, 1, 1})},
		}, "1032x1032 positions"},
		"positions of pictures larger than all memory": {sketch{
			nodes: []checkpoint.ONNXNode{node("a = Conv(x,w)", attributes{"strides": {Ints: []int64{512, 512}}}), node("b = Reshape(a,shape)", nil),
				node("y = Add(b,positions)", nil)},
			constants: map[string]*checkpoint.ONNXTensor{"w": floats([]int{1, 3, 512, 512}), "shape": wholes(checkpoint.I64, []int{3}, 1, -1, 1),
				"positions": floats([]int{1, 1024, 1})},
		}, "an ONNX network for pictures of shape [-1 3 16384 16384]"},
		"pictures larger than all memory": {sketch{
			input: []int{1, 3, 1 << 30, 1 << 30},
			nodes: []checkpoint.ONNXNode{node("y = Relu(x)", nil)},
		}, "an ONNX network for pictures of shape [1 3 1073741824 1073741824]"},
	} {
		t.Run(name, func(t *testing.T) {
			c.outputs = []string{"y"}
			network, err := Import(c.network(), nil)
			if err == nil {
				_, err = network.Run(context.Background(), picture(1, 3, 32, 32), 1)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// A product with more rows than attention's heads have channels does not reach beyond what was laid out for them.
func TestAttentionBeforeAProductOfAnotherSize(t *testing.T) {
	g := readNetwork(t, "testdata/onnx/vit.onnx")
	changed := 0
	for _, n := range g.Nodes {
		if n.Op == "MatMul" && strings.Contains(n.Name, "attn/proj") {
			w := *g.Constants[n.In[1]]
			w.Shape = []int{w.Shape[0] + 1, w.Shape[1]}
			w.Floats = append(slices.Clone(w.Floats), make([]float32, w.Shape[1])...)
			g.Constants[n.In[1]] = &w
			changed++
		}
	}
	if changed == 0 {
		t.Fatal("no projection was found")
	}
	network, err := Import(g, nil)
	if err == nil {
		_, err = network.Run(context.Background(), picture(1, 3, 32, 32), 1)
	}
	if err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("got %v", err)
	}
}
