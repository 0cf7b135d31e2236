package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// ONNX is a network as an ONNX file describes it: nodes in the order in which they can be computed, and constants.
type ONNX struct {
	Opset     int // of the default domain
	Nodes     []ONNXNode
	Inputs    []ONNXInput // without those that are constants
	Outputs   []string
	Constants map[string]*ONNXTensor
}

// ONNXNode is one operator. An absent optional input has the name "".
type ONNXNode struct {
	Name, Op   string
	Domain     string // "" for ONNX's own operators
	In, Out    []string
	Attributes map[string]ONNXAttribute
	Modules    []string // that it is part of, outermost first, as torch names them: layer2, layer2.0

	raw []byte
}

// ONNXAttribute is a setting of an operator: what the field of its kind holds.
type ONNXAttribute struct {
	Int    int64
	Float  float32
	Text   string
	Ints   []int64
	Floats []float32
	Tensor *ONNXTensor
}

// ONNXInput is what a network is fed. A size that is left open is -1.
type ONNXInput struct {
	Name  string
	Shape []int

	raw []byte
}

// ONNXTensor is a constant: floats of any width as float32, or integers and booleans as int64.
type ONNXTensor struct {
	DType    DType
	Shape    []int
	Floats   []float32
	Integers []int64

	raw []byte
}

// Field numbers of onnx.proto3.
const (
	modelOpset, opsetDomain, opsetVersion = 8, 1, 2

	graphNode, graphInput, graphOutput, graphSparse = 1, 11, 12, 15

	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute, nodeDomain, nodeMetadata = 1, 2, 3, 4, 5, 7, 9

	pairKey, pairValue = 1, 2

	attributeName, attributeFloat, attributeInt, attributeText = 1, 2, 3, 4
	attributeTensor, attributeFloats, attributeInts            = 5, 7, 8

	valueName, valueType, typeTensor, tensorShape, shapeDim, dimValue = 1, 2, 1, 2, 1, 1
)

// Least and greatest opset whose operators package infer knows.
const minOpset, maxOpset = 11, 21

// onnxReader parses messages that lie in memory.
type onnxReader struct {
	data     []byte
	detached func(name string) (*tensor.Tensor, error)
}

// ReadONNX parses a model. detached gives the tensors that Detach took out of it; nil for a file as it was exported.
func ReadONNX(data []byte, detached func(name string) (*tensor.Tensor, error)) (*ONNX, error) {
	r := onnxReader{data, detached}
	g := &ONNX{Constants: map[string]*ONNXTensor{}}
	graphs := 0
	err := r.walk(data, func(number int, f field, body []byte) error {
		switch number {
		case modelOpset:
			return r.opset(g, body)
		case modelGraph:
			graphs++
			return r.graph(g, body)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case graphs != 1:
		return nil, onnxError("it holds %d graphs, want one", graphs)
	case g.Opset < minOpset || g.Opset > maxOpset:
		return nil, &fault.UnsupportedError{What: fmt.Sprintf("ONNX opset %d", g.Opset), Hint: fmt.Sprintf("export with an opset from %d to %d", minOpset, maxOpset)}
	}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(in ONNXInput) bool { return g.Constants[in.Name] != nil }) // as before IR version 4
	return g, nil
}

// walk visits the fields of a message; body is what a field of bytes holds.
func (r onnxReader) walk(message []byte, visit func(number int, f field, body []byte) error) error {
	return fields(bytes.NewReader(message), 0, int64(len(message)), func(f field) error {
		var body []byte
		if f.wire != wireVarint {
			body = message[f.offset : f.offset+f.count]
		}
		return visit(f.number, f, body)
	})
}

func (r onnxReader) opset(g *ONNX, message []byte) error {
	domain, version := "", 0
	err := r.walk(message, func(number int, f field, body []byte) error {
		switch number {
		case opsetDomain:
			domain = string(body)
		case opsetVersion:
			version = int(min(f.value, 1<<20))
		}
		return nil
	})
	if ownDomain(domain) == "" {
		g.Opset = version
	}
	return err
}

// ownDomain is "" for both names of ONNX's own domain.
func ownDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

func (r onnxReader) graph(g *ONNX, message []byte) error {
	return r.walk(message, func(number int, f field, body []byte) error {
		switch number {
		case graphNode:
			n, err := r.node(body)
			g.Nodes = append(g.Nodes, n)
			return err
		case graphInitializer:
			name, t, err := r.tensor(body)
			if err != nil {
				return err
			}
			if g.Constants[name] != nil {
				return onnxError("constant %q is there twice", name)
			}
			g.Constants[name] = t
		case graphInput:
			in, err := r.input(body)
			g.Inputs = append(g.Inputs, in)
			return err
		case graphOutput:
			out, err := r.input(body)
			g.Outputs = append(g.Outputs, out.Name)
			return err
		case graphSparse:
			return &fault.UnsupportedError{What: "a sparse ONNX constant"}
		}
		return nil
	})
}

func (r onnxReader) node(message []byte) (ONNXNode, error) {
	n := ONNXNode{Attributes: map[string]ONNXAttribute{}, raw: message}
	err := r.walk(message, func(number int, f field, body []byte) error {
		switch number {
		case nodeInput:
			n.In = append(n.In, string(body))
		case nodeOutput:
			n.Out = append(n.Out, string(body))
		case nodeName:
			n.Name = string(body)
		case nodeOp:
			n.Op = string(body)
		case nodeDomain:
			n.Domain = ownDomain(string(body))
		case nodeAttribute:
			return r.attribute(n.Attributes, body)
		case nodeMetadata:
			key, value, err := r.pair(body)
			if key == scopesKey {
				n.Modules = scopes(value)
			}
			return err
		}
		return nil
	})
	if len(n.Modules) == 0 {
		n.Modules = modulesInName(n.Name)
	}
	return n, err
}

// scopesKey is under what torch.onnx's exporter of 2.5 and later keeps the modules that a node is part of, as a list in Python's notation:
// [”, 'layer1', 'layer1.0', 'layer1.0.relu', 'relu_2']. The first is the network, the last the operation.
const scopesKey = "pkg.torch.onnx.name_scopes"

func scopes(list string) []string {
	var names []string
	for i, name := range strings.Split(list, "'") {
		if i%2 == 1 {
			names = append(names, name)
		}
	}
	if len(names) < 3 {
		return nil
	}
	return names[1 : len(names)-1]
}

// modulesInName reads the name that torch's older exporter and TensorFlow's give a node, such as /layer2/layer2.1/relu/Relu.
func modulesInName(name string) []string {
	parts := strings.Split(strings.TrimPrefix(name, "/"), "/")
	return parts[:len(parts)-1]
}

func (r onnxReader) pair(message []byte) (key, value string, err error) {
	err = r.walk(message, func(number int, f field, body []byte) error {
		switch number {
		case pairKey:
			key = string(body)
		case pairValue:
			value = string(body)
		}
		return nil
	})
	return key, value, err
}

func (r onnxReader) attribute(into map[string]ONNXAttribute, message []byte) error {
	var a ONNXAttribute
	name := ""
	err := r.walk(message, func(number int, f field, body []byte) error {
		switch number {
		case attributeName:
			name = string(body)
		case attributeFloat:
			if len(body) == 4 {
				a.Float = float32At(body)
			}
		case attributeInt:
			a.Int = int64(f.value)
		case attributeText:
			a.Text = string(body)
		case attributeTensor:
			_, t, err := r.tensor(body)
			a.Tensor = t
			return err
		case attributeFloats:
			if len(body)%4 != 0 {
				return onnxError("attribute %q is truncated", name)
			}
			for i := 0; i < len(body); i += 4 {
				a.Floats = append(a.Floats, float32At(body[i:]))
			}
		case attributeInts:
			return r.integers(&a.Ints, f, body)
		}
		return nil
	})
	into[name] = a
	return err
}

func float32At(raw []byte) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(raw))
}

// integers appends a repeated number, which may be packed.
func (r onnxReader) integers(dst *[]int64, f field, body []byte) error {
	if f.wire == wireVarint {
		*dst = append(*dst, int64(f.value))
		return nil
	}
	for len(body) > 0 {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			return onnxError("a list of numbers is damaged")
		}
		*dst, body = append(*dst, int64(v)), body[n:]
	}
	return nil
}

// input parses a ValueInfoProto.
func (r onnxReader) input(message []byte) (ONNXInput, error) {
	in := ONNXInput{raw: message}
	err := r.walk(message, func(number int, f field, body []byte) error {
		switch number {
		case valueName:
			in.Name = string(body)
		case valueType:
			return r.within(body, []int{typeTensor, tensorShape, shapeDim}, func(dim []byte) error {
				size := -1
				err := r.walk(dim, func(number int, f field, _ []byte) error {
					if number == dimValue && f.value < 1<<31 {
						size = int(f.value)
					}
					return nil
				})
				in.Shape = append(in.Shape, size)
				return err
			})
		}
		return nil
	})
	return in, err
}

// within visits the messages at the end of a path of field numbers.
func (r onnxReader) within(message []byte, path []int, visit func([]byte) error) error {
	if len(path) == 0 {
		return visit(message)
	}
	return r.walk(message, func(number int, f field, body []byte) error {
		if number != path[0] || f.wire != wireBytes {
			return nil
		}
		return r.within(body, path[1:], visit)
	})
}

func (r onnxReader) tensor(message []byte) (string, *ONNXTensor, error) {
	e, err := readTensorProto(bytes.NewReader(message), 0, int64(len(message)), r.detached != nil)
	if err != nil {
		return "", nil, err
	}
	t := &ONNXTensor{DType: e.info.DType, Shape: e.info.Shape, raw: message}
	n, _ := volume(t.Shape)
	if e.r == nil && n > 0 { // taken out by Detach
		from, err := r.detached(e.name)
		if err != nil {
			return "", nil, err
		}
		if !slices.Equal(from.Shape, t.Shape) {
			return "", nil, &fault.ShapeError{What: "tensor " + e.name, Want: fmt.Sprint(t.Shape), Got: from.Shape}
		}
		if t.isFloat() {
			t.Floats = from.Data
			return e.name, t, nil
		}
		if sizes[t.DType] != 1 { // float32 does not hold wider ones exactly: Detach leaves them where they are
			return "", nil, onnxError("tensor %q of type %s does not have its %d values", e.name, t.DType, n)
		}
		for _, v := range from.Data {
			t.Integers = append(t.Integers, integerAt([]byte{uint8(v)}, t.DType))
		}
		return e.name, t, nil
	}
	size := sizes[t.DType]
	raw := make([]byte, n*size)
	if n > 0 {
		if _, err := e.r.ReadAt(raw, e.offset); err != nil && err != io.EOF {
			return "", nil, onnxError("tensor %q is truncated", e.name)
		}
	}
	if t.isFloat() {
		t.Floats = make([]float32, n)
		convert(t.Floats, raw, t.DType, binary.LittleEndian)
		return e.name, t, nil
	}
	t.Integers = make([]int64, n)
	for i := range t.Integers {
		t.Integers[i] = integerAt(raw[int64(i)*size:], t.DType)
	}
	return e.name, t, nil
}

func (t *ONNXTensor) isFloat() bool {
	return t.DType == F32 || t.DType == F64 || t.DType == F16 || t.DType == BF16
}

func integerAt(raw []byte, t DType) int64 {
	switch t {
	case I64:
		return int64(binary.LittleEndian.Uint64(raw))
	case I32:
		return int64(int32(binary.LittleEndian.Uint32(raw)))
	case I16:
		return int64(int16(binary.LittleEndian.Uint16(raw)))
	case I8:
		return int64(int8(raw[0]))
	}
	return int64(raw[0]) // U8 and Bool
}
