package checkpoint

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/blemish/blemish/tensor"
)

// detachAbove is the number of values above which a constant is stored as a tensor of its own.
const detachAbove = 64

// Detach splits the nodes of a model that keep chooses into a description, which ReadONNX parses, and the tensors of weights, which it asks
// for by name. Small constants and 64-bit integers stay in the description.
func (g *ONNX) Detach(keep func(n ONNXNode) bool, outputs []string) (description []byte, weights []Entry) {
	used := map[string]bool{}
	var graph []byte
	for _, n := range g.Nodes {
		if keep(n) {
			graph = appendMessage(graph, graphNode, n.bare())
			for _, in := range n.In {
				used[in] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Constants)) {
		t := g.Constants[name]
		if !used[name] {
			continue
		}
		weight, ok := t.asWeight()
		if !ok {
			graph = appendMessage(graph, graphInitializer, t.raw)
			continue
		}
		var m []byte
		for _, d := range t.Shape {
			m = appendNumber(m, tensorDims, uint64(d))
		}
		for number, dtype := range onnxTypes {
			if dtype == t.DType {
				m = appendNumber(m, tensorType, number)
			}
		}
		m = appendMessage(m, tensorName, []byte(name))
		graph = appendMessage(graph, graphInitializer, m)
		dtype := t.DType
		if dtype == I8 {
			dtype = U8
		}
		weights = append(weights, Entry{Name: name, DType: dtype, Tensor: weight})
	}
	for _, in := range g.Inputs {
		graph = appendMessage(graph, graphInput, in.raw)
	}
	for _, name := range outputs {
		graph = appendMessage(graph, graphOutput, appendMessage(nil, valueName, []byte(name)))
	}
	description = appendNumber(nil, 1, 8) // ir_version
	description = appendMessage(description, modelGraph, graph)
	return appendMessage(description, modelOpset, appendNumber(nil, opsetVersion, uint64(g.Opset))), weights
}

// bare is the node without what exporters add for debugging, the source's lines and paths among it: of its metadata only the modules stay.
func (n ONNXNode) bare() []byte {
	r := onnxReader{}
	var out []byte
	dropped, start := false, int64(0)
	// each field begins where the one before it ends
	err := r.walk(n.raw, func(number int, f field, body []byte) error {
		end := f.offset + f.count
		key := scopesKey
		if number == nodeMetadata {
			var err error
			if key, _, err = r.pair(body); err != nil {
				return err
			}
		}
		if key == scopesKey {
			out = append(out, n.raw[start:end]...)
		}
		dropped = dropped || key != scopesKey
		start = end
		return nil
	})
	if err != nil || !dropped {
		return n.raw
	}
	return out
}

// asWeight is a constant's values as float32, where those are exact and there are many.
func (t *ONNXTensor) asWeight() (*tensor.Tensor, bool) {
	switch t.DType {
	case F32, F16, BF16:
		if len(t.Floats) > detachAbove {
			return tensor.From(t.Floats, t.Shape...), true
		}
	case I8, U8:
		if len(t.Integers) > detachAbove {
			w := tensor.New(t.Shape...)
			for i, v := range t.Integers {
				w.Data[i] = float32(uint8(v)) // signed ones as their bytes: safetensors are written with U8 alone
			}
			return w, true
		}
	}
	return nil, false
}

func appendNumber(b []byte, number int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(number)<<3|wireVarint), v)
}

func appendMessage(b []byte, number int, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|wireBytes)
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}
