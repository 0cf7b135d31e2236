package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// The safetensors format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON header, the tensors' bytes.
const (
	metadataKey     = "__metadata__"
	maxHeader       = 100_000_000
	headerAlign     = 8
	safetensorsName = "safetensors"
)

type header struct {
	DType   DType    `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func readSafetensors(r io.ReaderAt, size int64) ([]entry, map[string]string, error) {
	bad := func(format string, args ...any) error {
		return &fault.FormatError{Format: safetensorsName, Reason: fmt.Sprintf(format, args...)}
	}
	var length [8]byte
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, nil, bad("it is shorter than its header length")
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, nil, bad("its header length %d exceeds the file's %d bytes or the limit of %d", n, size, maxHeader)
	}
	raw := make([]byte, n)
	if _, err := r.ReadAt(raw, 8); err != nil {
		return nil, nil, bad("its header is truncated")
	}
	start := 8 + int64(n)
	var metadata map[string]string
	var entries []entry
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, bad("its header is not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return nil, nil, bad("its header is not JSON")
		}
		if seen[name] {
			return nil, nil, bad("%q is there twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, bad("its metadata is not text: %v", err)
			}
			continue
		}
		var h header
		if err := d.Decode(&h); err != nil {
			return nil, nil, bad("tensor %q: %v", name, err)
		}
		unit, ok := sizes[h.DType]
		if !ok {
			return nil, nil, &fault.UnsupportedError{What: fmt.Sprintf("dtype %q of tensor %q", h.DType, name)}
		}
		count, ok := volume(h.Shape)
		if !ok || h.Offsets[0] < 0 || h.Offsets[1]-h.Offsets[0] != count*unit || h.Offsets[1] > size-start {
			return nil, nil, bad("tensor %q of shape %v does not fit its offsets %v", name, h.Shape, h.Offsets)
		}
		entries = append(entries, entry{name: name, info: Info{h.DType, h.Shape}, r: r, offset: start + h.Offsets[0], order: binary.LittleEndian})
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, bad("its header is truncated")
	}
	byOffset := slices.Clone(entries)
	slices.SortStableFunc(byOffset, func(a, b entry) int {
		return int(min(max(a.offset-b.offset, -1), 1))
	})
	end := start
	for _, e := range byOffset {
		if e.offset != end {
			return nil, nil, bad("tensor %q begins at byte %d, but the one before it ends at %d", e.name, e.offset, end)
		}
		count, _ := volume(e.info.Shape)
		end += count * sizes[e.info.DType]
	}
	if end != size {
		return nil, nil, bad("its tensors end at byte %d of %d", end, size)
	}
	return entries, metadata, nil
}

// Entry is a tensor to write: Tensor, or in its place Doubles and their Shape.
type Entry struct {
	Name    string
	DType   DType // F32, F16, BF16 or U8; F64 for Doubles alone
	Tensor  *tensor.Tensor
	Shape   []int
	Doubles []float64
}

func (e Entry) check() error {
	switch {
	case (e.DType == F64) != (e.Tensor == nil):
		return &fault.UnsupportedError{What: fmt.Sprintf("tensor %q: writing dtype %q", e.Name, e.DType), Hint: "F64 is for doubles, the others are for tensors"}
	case e.DType == F64 && tensor.Volume(e.Shape) != len(e.Doubles):
		return &fault.ShapeError{What: fmt.Sprintf("tensor %q", e.Name), Want: fmt.Sprintf("a shape of %d values", len(e.Doubles)), Got: e.Shape}
	}
	return nil
}

// WriteSafetensors writes tensors, sorted by name, and metadata. Equal input gives equal bytes. A value that its DType cannot
// hold is an error: F16 beyond ±65504, U8 other than 0..255.
func WriteSafetensors(w io.Writer, metadata map[string]string, entries []Entry) error {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	var head bytes.Buffer
	head.WriteByte('{')
	field := func(key string, value any) error {
		if head.Len() > 1 {
			head.WriteByte(',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		head.Write(k)
		head.WriteByte(':')
		head.Write(v)
		return nil
	}
	if len(metadata) > 0 {
		if err := field(metadataKey, metadata); err != nil {
			return err
		}
	}
	var offset int64
	for i, e := range entries {
		if i > 0 && entries[i-1].Name == e.Name {
			return fmt.Errorf("tensor %q is to be written twice", e.Name)
		}
		if err := e.check(); err != nil {
			return err
		}
		shape, count := e.Shape, len(e.Doubles)
		if e.Tensor != nil {
			shape, count = e.Tensor.Shape, len(e.Tensor.Data)
		}
		end := offset + int64(count)*sizes[e.DType]
		if shape == nil {
			shape = []int{}
		}
		if err := field(e.Name, header{e.DType, shape, [2]int64{offset, end}}); err != nil {
			return err
		}
		offset = end
	}
	head.WriteByte('}')
	for head.Len()%headerAlign != 0 {
		head.WriteByte(' ')
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(head.Len()))); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	var buf []byte
	for _, e := range entries {
		for chunk := range slices.Chunk(e.Doubles, 1<<16) {
			buf = buf[:0]
			for _, v := range chunk {
				buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(v))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		if e.Tensor == nil {
			continue
		}
		for chunk := range slices.Chunk(e.Tensor.Data, 1<<16) {
			var err error
			if buf, err = encode(buf[:0], chunk, e.DType); err != nil {
				return fmt.Errorf("tensor %q: %w", e.Name, err)
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

func encode(buf []byte, values []float32, t DType) ([]byte, error) {
	switch t {
	case F32:
		for _, v := range values {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
	case F16:
		for _, v := range values {
			h, ok := floatToHalf(v)
			if !ok {
				return nil, fmt.Errorf("%v does not fit 16-bit floating point", v)
			}
			buf = binary.LittleEndian.AppendUint16(buf, h)
		}
	case BF16:
		for _, v := range values {
			b := math.Float32bits(v)
			if v == v { // round to nearest even; NaN keeps its upper bits
				b += 0x7fff + b>>16&1
			}
			buf = binary.LittleEndian.AppendUint16(buf, uint16(b>>16))
		}
	case U8:
		for _, v := range values {
			if v != float32(uint8(v)) {
				return nil, fmt.Errorf("%v does not fit 8 bits", v)
			}
			buf = append(buf, uint8(v))
		}
	default:
		return nil, &fault.UnsupportedError{What: fmt.Sprintf("writing dtype %q", t)}
	}
	return buf, nil
}
