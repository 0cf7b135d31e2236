package checkpoint

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/blemish/blemish/fault"
)

// place is where a storage's bytes are.
type place struct {
	r      io.ReaderAt
	offset int64
	size   int64 // bytes
	order  binary.ByteOrder
}

// readZip reads what torch.save writes since PyTorch 1.6: a zip archive of data.pkl and one stored record a storage.
func readZip(r io.ReaderAt, size int64) ([]entry, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, &fault.FormatError{Format: "PyTorch", Reason: "its zip directory is damaged or truncated", Err: err}
	}
	files := map[string]*zip.File{}
	root := ""
	for _, f := range archive.File {
		files[f.Name] = f
		if dir, ok := strings.CutSuffix(f.Name, "data.pkl"); ok {
			root = dir
		}
	}
	pkl, ok := files[root+"data.pkl"]
	if !ok {
		return nil, &fault.FormatError{Format: "PyTorch", Reason: "the zip archive has no data.pkl (a TorchScript archive or another kind of zip file?)"}
	}
	var order binary.ByteOrder = binary.LittleEndian
	if f, ok := files[root+"byteorder"]; ok {
		text, err := readRecord(f)
		if err != nil {
			return nil, err
		}
		if text == "big" {
			order = binary.BigEndian
		}
	}
	stream, err := pkl.Open()
	if err != nil {
		return nil, &fault.FormatError{Format: "PyTorch", Reason: "data.pkl cannot be read", Err: err}
	}
	defer stream.Close()
	object, err := unpickle(bufio.NewReader(io.LimitReader(stream, maxStream))) // it may be compressed, and so larger than the file
	if err != nil {
		return nil, err
	}
	return flatten(object, func(key string) (place, error) {
		f, ok := files[root+"data/"+key]
		if !ok {
			return place{}, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("record data/%s is missing", key)}
		}
		if f.Method != zip.Store {
			return place{}, &fault.UnsupportedError{What: "a compressed record in a PyTorch file", Hint: "save it again with torch.save"}
		}
		at, err := f.DataOffset()
		if err != nil {
			return place{}, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("record data/%s is damaged", key), Err: err}
		}
		n := int64(f.UncompressedSize64)
		if n < 0 || at > size || n > size-at {
			return place{}, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("record data/%s is truncated", key)}
		}
		return place{r, at, n, order}, nil
	})
}

func readRecord(f *zip.File) (string, error) {
	s, err := f.Open()
	if err != nil {
		return "", &fault.FormatError{Format: "PyTorch", Reason: f.Name + " cannot be read", Err: err}
	}
	defer s.Close()
	b, err := io.ReadAll(io.LimitReader(s, 64))
	return string(b), err
}

// readLegacy reads what torch.save wrote before PyTorch 1.6: the pickles of a magic number, a protocol, system facts, the object and
// the list of storage keys, then each storage in that order: its length in elements, 8 bytes, and its bytes.
func readLegacy(r io.ReaderAt, size int64) ([]entry, error) {
	counted := &countingReader{r: io.NewSectionReader(r, 0, size)}
	in := bufio.NewReader(counted)
	magic, err := unpickle(in)
	if err != nil {
		return nil, err
	}
	want, _ := new(big.Int).SetString("1950a86a20f9469cfc6c", 16)
	if n, ok := magic.(*big.Int); !ok || n.Cmp(want) != 0 {
		return nil, &fault.FormatError{Format: "PyTorch", Reason: "it is a pickle, but not of torch.save"}
	}
	var parts [4]any // protocol, system facts, object, storage keys
	for i := range parts {
		if parts[i], err = unpickle(in); err != nil {
			return nil, err
		}
	}
	if parts[0] != int64(1001) {
		return nil, &fault.UnsupportedError{What: fmt.Sprintf("legacy PyTorch protocol %.20s", fmt.Sprint(keyName(parts[0])))}
	}
	if facts, ok := parts[1].(*dict); ok {
		for i, k := range facts.keys {
			if k == "little_endian" && facts.values[i] == false {
				return nil, &fault.UnsupportedError{What: "a big-endian legacy PyTorch file"}
			}
		}
	}
	keys, ok := parts[3].(*list)
	if !ok {
		return nil, pickleError("lists no storages")
	}
	dtypes := map[string]DType{}
	types := walker{visit: func(_ string, t tensorRef) error {
		dtypes[t.storage.key] = t.storage.dtype
		return nil
	}}
	if err := types.walk(parts[2], "", 0); err != nil {
		return nil, err
	}
	places := map[string]place{}
	at := counted.n - int64(in.Buffered())
	for _, k := range keys.items {
		key, _ := k.(string)
		dtype, ok := dtypes[key]
		if !ok {
			return nil, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("storage %q belongs to no tensor", key)}
		}
		var count [8]byte
		if _, err := r.ReadAt(count[:], at); err != nil {
			return nil, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("it is truncated at storage %q", key)}
		}
		n := int64(binary.LittleEndian.Uint64(count[:]))
		at += int64(len(count))
		if n < 0 || n > (size-at)/sizes[dtype] {
			return nil, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("storage %q of %d values is truncated", key, n)}
		}
		places[key] = place{r, at, n * sizes[dtype], binary.LittleEndian}
		at += n * sizes[dtype]
	}
	return flatten(parts[2], func(key string) (place, error) {
		p, ok := places[key]
		if !ok {
			return place{}, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("storage %q is missing", key)}
		}
		return p, nil
	})
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// maxNesting and maxValues bound containers within containers, and end those that contain themselves; maxName bounds the names that they make.
const (
	maxNesting = 32
	maxValues  = 1 << 20
	maxName    = 1 << 12
)

// walker visits the tensors of an unpickled object, each under its name: keys of nested dicts and indices of lists joined by dots.
type walker struct {
	visit func(name string, t tensorRef) error
	seen  int
}

func (w *walker) walk(v any, name string, depth int) error {
	if w.seen++; depth > maxNesting || w.seen > maxValues {
		return pickleError("nests containers deeper than %d, or holds more than %d values", maxNesting, maxValues)
	}
	if len(name) > maxName {
		return pickleError("names a tensor in %d bytes", len(name))
	}
	child := func(key, v any) error {
		if name == "" {
			return w.walk(v, fmt.Sprint(key), depth+1)
		}
		return w.walk(v, fmt.Sprintf("%s.%v", name, key), depth+1)
	}
	switch v := v.(type) {
	case tensorRef:
		return w.visit(name, v)
	case *dict:
		for i, x := range v.values {
			if err := child(keyName(v.keys[i]), x); err != nil {
				return err
			}
		}
	case *list:
		return w.walk(tuple(v.items), name, depth+1)
	case tuple:
		for i, x := range v {
			if err := child(i, x); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyName is a dict's key as text; a container as key is none.
func keyName(key any) any {
	switch key.(type) {
	case string, int64, bool, float64, nil:
		return key
	}
	return "?"
}

// wrappers are the keys under which training programs keep a state dict beside other things.
var wrappers = []string{"state_dict", "model_state_dict", "model"}

// flatten lists the tensors of an unpickled object. Where the outermost dict holds no tensor itself but one of the usual wrappers, only that is taken.
func flatten(object any, locate func(key string) (place, error)) ([]entry, error) {
	if d, ok := object.(*dict); ok {
		object = unwrap(d)
	}
	var entries []entry
	w := walker{visit: func(name string, t tensorRef) error {
		e, err := t.entry(name, locate)
		entries = append(entries, e)
		return err
	}}
	if err := w.walk(object, "", 0); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, &fault.FormatError{Format: "PyTorch", Reason: "it holds no tensors"}
	}
	return entries, nil
}

func unwrap(d *dict) *dict {
	for _, v := range d.values {
		if _, ok := v.(tensorRef); ok {
			return d
		}
	}
	for _, wrapper := range wrappers {
		for i, k := range d.keys {
			if inner, ok := d.values[i].(*dict); ok && k == wrapper {
				return inner
			}
		}
	}
	return d
}

// entry checks that a tensor lies within its storage.
func (t tensorRef) entry(name string, locate func(key string) (place, error)) (entry, error) {
	bad := func(reason string) (entry, error) {
		return entry{}, &fault.FormatError{Format: "PyTorch", Reason: fmt.Sprintf("tensor %q of shape %v %s", name, t.shape, reason)}
	}
	n, ok := volume(t.shape)
	if !ok || len(t.strides) != len(t.shape) {
		return bad("has an impossible shape")
	}
	p, err := locate(t.storage.key)
	if err != nil {
		return entry{}, err
	}
	if n == 0 {
		return entry{name: name, info: Info{t.storage.dtype, t.shape}, r: p.r, order: p.order}, nil
	}
	unit := sizes[t.storage.dtype]
	elements := p.size / unit
	first := t.offset + t.storage.first
	contiguous, span, expect := true, int64(1), int64(1)
	for d := len(t.shape) - 1; d >= 0; d-- {
		stride := int64(t.strides[d])
		if stride < 0 || stride > elements {
			return bad("has an impossible stride")
		}
		contiguous = contiguous && (t.shape[d] == 1 || stride == expect)
		expect *= int64(t.shape[d])
		span += int64(t.shape[d]-1) * stride
		if span > elements {
			return bad("reaches beyond its storage")
		}
	}
	e := entry{name: name, info: Info{t.storage.dtype, t.shape}, r: p.r, offset: p.offset + first*unit, order: p.order}
	if first < 0 || first > elements-span {
		return bad("reaches beyond its storage")
	}
	if !contiguous {
		if n > elements { // an expanded tensor: its file is small, its values need not be
			return bad("repeats its storage; save a contiguous copy")
		}
		e.strides = t.strides
	}
	return e, nil
}
