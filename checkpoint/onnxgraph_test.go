package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// message builds an ONNX file's parts as protoc would write them.
func message(parts ...[]byte) []byte { return slices.Concat(parts...) }

// smallGraph is y = Clip(x, lo, hi) with a packed and an unpacked list among its attributes.
func smallGraph(opset uint64) []byte {
	attribute := func(name string, rest ...[]byte) []byte {
		return appendMessage(nil, nodeAttribute, message(appendMessage(nil, attributeName, []byte(name)), message(rest...)))
	}
	metadata := func(key, value string) []byte {
		return appendMessage(nil, nodeMetadata, message(appendMessage(nil, pairKey, []byte(key)), appendMessage(nil, pairValue, []byte(value))))
	}
	node := message(
		appendMessage(nil, nodeInput, []byte("x")), appendMessage(nil, nodeInput, nil), appendMessage(nil, nodeInput, []byte("hi")),
		appendMessage(nil, nodeOutput, []byte("y")), appendMessage(nil, nodeName, []byte("clip")), appendMessage(nil, nodeOp, []byte("Clip")),
		appendMessage(nil, nodeDomain, []byte("ai.onnx")),
		attribute("packed", appendMessage(nil, attributeInts, []byte{1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})),
		attribute("loose", appendNumber(nil, attributeInts, 7), appendNumber(nil, attributeInts, 8)),
		attribute("float", []byte{attributeFloat<<3 | wire32, 0, 0, 0x20, 0x40}),
		attribute("text", appendMessage(nil, attributeText, []byte("linear"))),
		metadata("pkg.torch.onnx.stack_trace", "File \"/home/someone/net.py\", line 7"),
		metadata(scopesKey, "['', 'layer1', 'layer1.0', 'clamp_1']"), // as torch 2.15 writes it
	)
	hi := message(appendNumber(nil, tensorType, 1), appendMessage(nil, tensorName, []byte("hi")), appendMessage(nil, tensorRaw, []byte{0, 0, 0xc0, 0x40}))
	dim := func(n uint64) []byte { return appendMessage(nil, shapeDim, appendNumber(nil, dimValue, n)) }
	shape := message(dim(1), dim(3), appendMessage(nil, shapeDim, appendMessage(nil, 2, []byte("h"))), dim(5))
	x := message(appendMessage(nil, valueName, []byte("x")), appendMessage(nil, valueType, appendMessage(nil, typeTensor, appendMessage(nil, tensorShape, shape))))
	graph := message(appendMessage(nil, graphNode, node), appendMessage(nil, graphInitializer, hi), appendMessage(nil, graphInput, x),
		appendMessage(nil, graphInput, appendMessage(nil, valueName, []byte("hi"))), appendMessage(nil, graphOutput, appendMessage(nil, valueName, []byte("y"))))
	return message(appendNumber(nil, 1, 8), appendMessage(nil, modelGraph, graph), appendMessage(nil, modelOpset, appendNumber(nil, opsetVersion, opset)))
}

func TestReadONNXGraph(t *testing.T) {
	g, err := ReadONNX(smallGraph(13), nil)
	if err != nil {
		t.Fatal(err)
	}
	if g.Opset != 13 || len(g.Nodes) != 1 || len(g.Inputs) != 1 || !slices.Equal(g.Outputs, []string{"y"}) {
		t.Fatalf("got %+v", g)
	}
	n := g.Nodes[0]
	if n.Op != "Clip" || n.Name != "clip" || n.Domain != "" || !slices.Equal(n.In, []string{"x", "", "hi"}) || !slices.Equal(n.Out, []string{"y"}) {
		t.Errorf("node %+v", n)
	}
	if !slices.Equal(n.Modules, []string{"layer1", "layer1.0"}) {
		t.Errorf("modules %q", n.Modules)
	}
	if !slices.Equal(g.Inputs[0].Shape, []int{1, 3, -1, 5}) {
		t.Errorf("input of shape %v", g.Inputs[0].Shape)
	}
	if a := n.Attributes; !slices.Equal(a["packed"].Ints, []int64{1, 2, -1}) || !slices.Equal(a["loose"].Ints, []int64{7, 8}) || a["float"].Float != 2.5 || a["text"].Text != "linear" {
		t.Errorf("attributes %+v", a)
	}
	if hi := g.Constants["hi"]; hi == nil || len(hi.Floats) != 1 || hi.Floats[0] != 6 {
		t.Errorf("constant %+v", hi)
	}
}

// What a model file keeps of a network holds no line of the source that it was exported from; its modules stay, to be tapped by name.
func TestDetachLeavesTheExportersNotesBehind(t *testing.T) {
	g, err := ReadONNX(smallGraph(13), nil)
	if err != nil {
		t.Fatal(err)
	}
	description, _ := g.Detach(func(ONNXNode) bool { return true }, g.Outputs)
	if bytes.Contains(description, []byte("net.py")) {
		t.Error("the description holds the exporter's stack trace")
	}
	again, err := ReadONNX(description, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, got := g.Nodes[0], again.Nodes[0]
	want.raw, got.raw = nil, nil
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%+v became %+v", want, got)
	}
}

// Names of nodes as torch's older exporter and tf2onnx write them.
func TestModulesInNames(t *testing.T) {
	for name, want := range map[string]string{
		"/layer2/layer2.1/relu/Relu": "layer2 layer2.1 relu", "model/conv1/Relu": "model conv1", "Conv_5": "", "/Relu": "", "": "",
	} {
		if got := strings.Join(modulesInName(name), " "); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestReadONNXRefuses(t *testing.T) {
	good := smallGraph(13)
	var unsupported *fault.UnsupportedError
	for _, opset := range []uint64{10, 22} {
		if _, err := ReadONNX(smallGraph(opset), nil); !errors.As(err, &unsupported) {
			t.Errorf("opset %d: %v", opset, err)
		}
	}
	var format *fault.FormatError
	if _, err := ReadONNX(append(slices.Clone(good), good...), nil); !errors.As(err, &format) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two graphs: %v", err)
	}
	for n := range len(good) - 6 { // without the opset, or with a part cut through
		if _, err := ReadONNX(good[:n], nil); err == nil {
			t.Errorf("the first %d of %d bytes were read", n, len(good))
		}
	}
}

// A description that asks for integers of more than 8 bits, which Detach never takes out, is damaged: floats do not hold them exactly.
func TestReadONNXRefusesWideDetachedIntegers(t *testing.T) {
	for kind, refused := range map[uint64]bool{2: false, 3: false, 9: false, 5: true, 6: true, 7: true} {
		constant := message(appendNumber(nil, tensorDims, 2), appendNumber(nil, tensorType, kind), appendMessage(nil, tensorName, []byte("shape")))
		graph := message(appendMessage(nil, graphInitializer, constant), appendMessage(nil, graphOutput, appendMessage(nil, valueName, []byte("shape"))))
		model := message(appendMessage(nil, modelGraph, graph), appendMessage(nil, modelOpset, appendNumber(nil, opsetVersion, 17)))
		g, err := ReadONNX(model, func(string) (*tensor.Tensor, error) { return tensor.From([]float32{3, 200}, 2), nil })
		var format *fault.FormatError
		if refused && (!errors.As(err, &format) || !strings.Contains(err.Error(), "shape")) {
			t.Errorf("%s: %v", onnxTypes[kind], err)
		}
		if !refused && (err != nil || len(g.Constants["shape"].Integers) != 2 || g.Constants["shape"].Integers[0] != 3) {
			t.Errorf("%s: %v", onnxTypes[kind], err)
		}
	}
}

func FuzzReadONNX(f *testing.F) {
	f.Add(smallGraph(13))
	for _, name := range []string{"model.onnx", "external.onnx"} {
		raw, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		if g, err := ReadONNX(raw, nil); err == nil {
			description, _ := g.Detach(func(ONNXNode) bool { return true }, g.Outputs)
			f.Add(description)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ReadONNX(data, func(string) (*tensor.Tensor, error) { return tensor.New(2, 3), nil }) // as a model file's description
		g, err := ReadONNX(data, nil)
		if err != nil {
			return
		}
		description, weights := g.Detach(func(ONNXNode) bool { return true }, g.Outputs)
		again, err := ReadONNX(description, func(name string) (*tensor.Tensor, error) {
			for _, w := range weights {
				if w.Name == name {
					return w.Tensor, nil
				}
			}
			return nil, errors.New("asked for a tensor that was not detached")
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Nodes) != len(g.Nodes) {
			t.Fatalf("%d nodes, then %d", len(g.Nodes), len(again.Nodes))
		}
	})
}
