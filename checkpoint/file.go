// Package checkpoint reads named tensors from safetensors, PyTorch and ONNX files, and writes safetensors. Nothing it reads is ever executed.
package checkpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// DType is how a tensor's values are stored. The names are those of safetensors.
type DType string

const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

var sizes = map[DType]int64{F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, Bool: 1}

// Info describes a stored tensor.
type Info struct {
	DType DType
	Shape []int
}

// entry is where a tensor lies: elements at offset in r, with strides in elements.
type entry struct {
	name    string
	info    Info
	r       io.ReaderAt
	offset  int64 // bytes
	strides []int // nil means contiguous
	order   binary.ByteOrder
}

// File is a set of named tensors that are read when asked for. It is safe for concurrent use.
type File struct {
	entries  []entry
	index    map[string]int
	metadata map[string]string
	closer   io.Closer
}

// Open opens a file of any known format, recognised by its content. Errors name the path.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file")
	}
	var file *File
	if err == nil {
		file, err = NewFile(f, st.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file.closer = f
	return file, nil
}

// NewFile reads the table of contents of size bytes at r, which must stay readable as long as the File is used.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	var head [16]byte
	n, err := r.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var entries []entry
	var metadata map[string]string
	switch {
	case n >= 9 && head[8] == '{':
		entries, metadata, err = readSafetensors(r, size)
	case n >= 4 && string(head[:4]) == "PK\x03\x04":
		entries, err = readZip(r, size)
	case n >= 2 && head[0] == opProto && (head[1] >= 2 && head[1] <= 5):
		entries, err = readLegacy(r, size)
	case n >= 2 && head[0] == 0x08: // field 1 (ir_version) of a ModelProto, a varint
		entries, err = readONNX(r, size)
	default:
		return nil, &fault.FormatError{Format: "checkpoint", Reason: "its first bytes are none of safetensors, PyTorch or ONNX"}
	}
	if err != nil {
		return nil, err
	}
	f := &File{entries: entries, index: make(map[string]int, len(entries)), metadata: metadata}
	for i, e := range entries {
		if _, twice := f.index[e.name]; twice {
			return nil, &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("tensor %q is there twice", e.name)}
		}
		f.index[e.name] = i
	}
	return f, nil
}

// Names lists the tensors in the file's order.
func (f *File) Names() []string {
	names := make([]string, len(f.entries))
	for i, e := range f.entries {
		names[i] = e.name
	}
	return names
}

// Info describes a tensor; ok is false if there is none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.entries[i].info, true
}

// Metadata is the text stored beside the tensors; only safetensors has any.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close releases the file.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Read returns a tensor's values as float32, rounded to nearest where the stored type is wider.
func (f *File) Read(name string) (*tensor.Tensor, error) {
	i, ok := f.index[name]
	if !ok {
		return nil, &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("it has no tensor %q", name)}
	}
	e := f.entries[i]
	out := tensor.New(e.info.Shape...)
	if len(out.Data) == 0 {
		return out, nil
	}
	size := int(sizes[e.info.DType])
	const chunk = 1 << 16 // elements
	buf := make([]byte, min(chunk, len(out.Data))*size)
	if e.strides != nil {
		return out, e.gather(out)
	}
	for at := 0; at < len(out.Data); at += chunk {
		part := out.Data[at:min(at+chunk, len(out.Data))]
		raw := buf[:len(part)*size]
		if _, err := e.r.ReadAt(raw, e.offset+int64(at*size)); err != nil {
			return nil, &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("tensor %q is truncated", name), Err: err}
		}
		convert(part, raw, e.info.DType, e.order)
	}
	return out, nil
}

// ReadDoubles returns the values of a contiguous F64 tensor as they are.
func (f *File) ReadDoubles(name string) (shape []int, values []float64, err error) {
	i, ok := f.index[name]
	if !ok {
		return nil, nil, &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("it has no tensor %q", name)}
	}
	e := f.entries[i]
	if e.info.DType != F64 || e.strides != nil {
		return nil, nil, &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("tensor %q is not contiguous F64", name)}
	}
	values = make([]float64, tensor.Volume(e.info.Shape))
	const chunk = 1 << 16
	buf := make([]byte, 8*min(chunk, len(values)))
	for at := 0; at < len(values); at += chunk {
		part := values[at:min(at+chunk, len(values))]
		raw := buf[:8*len(part)]
		if _, err := e.r.ReadAt(raw, e.offset+int64(8*at)); err != nil {
			return nil, nil, &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("tensor %q is truncated", name), Err: err}
		}
		for i := range part {
			part[i] = math.Float64frombits(e.order.Uint64(raw[8*i:]))
		}
	}
	return e.info.Shape, values, nil
}

// gather reads a strided tensor: the span of storage it lies in, then element by element.
func (e entry) gather(out *tensor.Tensor) error {
	size := int(sizes[e.info.DType])
	span := 1
	for i, d := range e.info.Shape {
		span += (d - 1) * e.strides[i]
	}
	raw := make([]byte, span*size)
	if _, err := e.r.ReadAt(raw, e.offset); err != nil {
		return &fault.FormatError{Format: "checkpoint", Reason: fmt.Sprintf("tensor %q is truncated", e.name), Err: err}
	}
	flat := make([]float32, span)
	convert(flat, raw, e.info.DType, e.order)
	at := make([]int, len(e.info.Shape))
	for i := range out.Data {
		from := 0
		for d, x := range at {
			from += x * e.strides[d]
		}
		out.Data[i] = flat[from]
		for d := len(at) - 1; d >= 0; d-- {
			if at[d]++; at[d] < e.info.Shape[d] {
				break
			}
			at[d] = 0
		}
	}
	return nil
}

// convert gives values their meaning. Bytes of the other order are put into raw in the usual one first.
func convert(dst []float32, raw []byte, t DType, order binary.ByteOrder) {
	if order == binary.BigEndian {
		for value := range slices.Chunk(raw, int(sizes[t])) {
			slices.Reverse(value)
		}
	}
	little := binary.LittleEndian
	switch t {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(little.Uint32(raw[4*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(little.Uint64(raw[8*i:])))
		}
	case F16:
		for i := range dst {
			dst[i] = halfToFloat(little.Uint16(raw[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(little.Uint16(raw[2*i:])) << 16)
		}
	case I64:
		for i := range dst {
			dst[i] = float32(int64(little.Uint64(raw[8*i:])))
		}
	case I32:
		for i := range dst {
			dst[i] = float32(int32(little.Uint32(raw[4*i:])))
		}
	case I16:
		for i := range dst {
			dst[i] = float32(int16(little.Uint16(raw[2*i:])))
		}
	case I8:
		for i := range dst {
			dst[i] = float32(int8(raw[i]))
		}
	case U8, Bool:
		for i := range dst {
			dst[i] = float32(raw[i])
		}
	}
}

// volume is the number of elements of a shape from a file; ok is false where it is negative or does not fit.
func volume(shape []int) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt32*16/int64(d) {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}
