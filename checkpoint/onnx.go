package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/blemish/blemish/fault"
)

// Wire format of Protocol Buffers, and the field numbers of onnx.proto3 that lead to a graph's initializers.
const (
	wireVarint, wire64, wireBytes, wire32 = 0, 1, 2, 5

	modelGraph       = 7
	graphInitializer = 5

	tensorDims, tensorType, tensorFloats, tensorInt32s = 1, 2, 4, 5
	tensorInt64s, tensorName, tensorRaw, tensorDoubles = 7, 8, 9, 10
	tensorLocation                                     = 14
)

// onnxTypes maps TensorProto.DataType to what Read understands.
var onnxTypes = map[uint64]DType{1: F32, 2: U8, 3: I8, 5: I16, 6: I32, 7: I64, 9: Bool, 10: F16, 11: F64, 16: BF16}

// field is one field of a message: a number for varints, and the range of the file that its bytes take; of a varint, where it ends.
type field struct {
	number, wire  int
	value         uint64
	offset, count int64
}

func onnxError(format string, args ...any) error {
	return &fault.FormatError{Format: "ONNX", Reason: fmt.Sprintf(format, args...)}
}

// fields walks the message in [at,end) of r.
func fields(r io.ReaderAt, at, end int64, visit func(field) error) error {
	for at < end {
		var buf [20]byte // two varints
		n, err := r.ReadAt(buf[:min(20, end-at)], at)
		if err != nil && err != io.EOF {
			return err
		}
		key, k := binary.Uvarint(buf[:n])
		if k <= 0 {
			return onnxError("a field's number is damaged at byte %d", at)
		}
		f := field{number: int(key >> 3), wire: int(key & 7)}
		at += int64(k)
		switch f.wire {
		case wireVarint, wireBytes:
			v, m := binary.Uvarint(buf[k:n])
			if m <= 0 {
				return onnxError("a number is damaged at byte %d", at)
			}
			at += int64(m)
			f.value, f.offset = v, at
			if f.wire == wireBytes {
				if v > uint64(end-at) {
					return onnxError("a field of %d bytes is truncated at byte %d", v, at)
				}
				f.count = int64(v)
				at += f.count
			}
		case wire64:
			f.offset, f.count = at, 8
			at += 8
		case wire32:
			f.offset, f.count = at, 4
			at += 4
		default:
			return onnxError("wire type %d at byte %d is unknown", f.wire, at)
		}
		if at > end {
			return onnxError("it is truncated")
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// readONNX lists a model's initializers.
func readONNX(r io.ReaderAt, size int64) ([]entry, error) {
	var entries []entry
	graphs := 0
	err := fields(r, 0, size, func(f field) error {
		if f.number != modelGraph || f.wire != wireBytes {
			return nil
		}
		graphs++
		return fields(r, f.offset, f.offset+f.count, func(g field) error {
			if g.number != graphInitializer || g.wire != wireBytes {
				return nil
			}
			e, err := readTensorProto(r, g.offset, g.offset+g.count, false)
			entries = append(entries, e)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if graphs == 0 {
		return nil, onnxError("it holds no graph")
	}
	return entries, nil
}

// readTensorProto says where a tensor's values are. Where it may be empty, an entry without values has no reader.
func readTensorProto(r io.ReaderAt, at, end int64, mayBeEmpty bool) (entry, error) {
	e := entry{order: binary.LittleEndian, info: Info{Shape: []int{}}}
	var kind uint64
	var data, varints []field
	err := fields(r, at, end, func(f field) error {
		switch f.number {
		case tensorDims:
			if f.wire == wireVarint {
				e.info.Shape = append(e.info.Shape, int(f.value))
				return nil
			}
			dims, err := readVarints(r, f)
			for _, d := range dims {
				e.info.Shape = append(e.info.Shape, int(d))
			}
			return err
		case tensorType:
			kind = f.value
		case tensorName:
			name := make([]byte, min(f.count, maxPickle))
			if _, err := r.ReadAt(name, f.offset); err != nil {
				return onnxError("a name is truncated")
			}
			e.name = string(name)
		case tensorRaw, tensorFloats, tensorDoubles:
			if f.wire == wireBytes && f.count > 0 {
				data = append(data, f)
			}
		case tensorInt32s, tensorInt64s:
			if f.wire == wireBytes && f.count > 0 {
				varints = append(varints, f)
			}
		case tensorLocation:
			if f.value == 1 {
				return &fault.UnsupportedError{What: "ONNX external data", Hint: "save the model as one file"}
			}
		}
		return nil
	})
	if err != nil {
		return entry{}, err
	}
	dtype, ok := onnxTypes[kind]
	if !ok {
		return entry{}, &fault.UnsupportedError{What: fmt.Sprintf("ONNX data type %d of tensor %q", kind, e.name)}
	}
	e.info.DType = dtype
	n, ok := volume(e.info.Shape)
	switch {
	case !ok:
		return entry{}, onnxError("tensor %q has impossible shape %v", e.name, e.info.Shape)
	case n == 0, mayBeEmpty && len(data) == 0 && len(varints) == 0:
		return e, nil
	case len(data) == 1 && len(varints) == 0 && data[0].count == n*sizes[dtype]:
		e.r, e.offset = r, data[0].offset
		return e, nil
	case len(data) == 0 && len(varints) == 1:
		values, err := readVarints(r, varints[0])
		if err != nil {
			return entry{}, err
		}
		if int64(len(values)) != n {
			break
		}
		raw := make([]byte, 0, n*sizes[dtype])
		for _, v := range values {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], v)
			raw = append(raw, b[:sizes[dtype]]...)
		}
		e.r = bytes.NewReader(raw)
		return e, nil
	}
	return entry{}, onnxError("tensor %q of shape %v does not have its %d values", e.name, e.info.Shape, n)
}

func readVarints(r io.ReaderAt, f field) ([]uint64, error) {
	raw := make([]byte, f.count)
	if _, err := r.ReadAt(raw, f.offset); err != nil {
		return nil, onnxError("a list of numbers is truncated")
	}
	var out []uint64
	for len(raw) > 0 {
		v, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil, onnxError("a list of numbers is damaged")
		}
		out, raw = append(out, v), raw[n:]
	}
	return out, nil
}
