package blemish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// A model file is a safetensors file. Its metadata holds Info as JSON under infoKey; its tensors are the backbone's, as
// far as the deepest layer used, and the detector's, under these prefixes.
const (
	modelFormat    = 1
	infoKey        = "blemish"
	backbonePrefix = "backbone/"
	detectorPrefix = "detector/"
)

// Save writes the model to path. Until it is complete and on disk, path keeps what it held before.
func (m *Model) Save(path string) error {
	info, err := json.Marshal(m.info)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	state, err := m.detector.State()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var entries []checkpoint.Entry
	for _, e := range m.weights {
		entries = append(entries, checkpoint.Entry{Name: backbonePrefix + e.Name, DType: e.DType, Tensor: e.Tensor})
	}
	for name, t := range state.Tensors {
		entries = append(entries, checkpoint.Entry{Name: detectorPrefix + name, DType: checkpoint.F32, Tensor: t})
	}
	for name, d := range state.Doubles {
		entries = append(entries, checkpoint.Entry{Name: detectorPrefix + name, DType: checkpoint.F64, Shape: d.Shape, Doubles: d.Data})
	}
	return checkpoint.WriteFileAtomic(path, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, map[string]string{infoKey: string(info)}, entries)
	})
}

// Open reads a model that Save wrote. Its scores are bit-identical to those of the model that was saved.
func Open(path string) (*Model, error) {
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m, err := readModel(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ReadInfo reads what a model file says of itself, without its tensors: they may be half a gigabyte, and only Open finds out whether they are
// whole.
func ReadInfo(path string) (Info, error) {
	file, err := checkpoint.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer file.Close()
	info, _, err := readInfo(file)
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

func readInfo(file *checkpoint.File) (info Info, method Method, err error) {
	raw, ok := file.Metadata()[infoKey]
	if !ok {
		return info, method, &fault.FormatError{Format: "model", Reason: "it holds tensors, but no Blemish model; train one with: blemish train DIR -o FILE"}
	}
	if err := json.Unmarshal([]byte(raw), &info); err != nil {
		return info, method, &fault.FormatError{Format: "model", Reason: "its description is damaged", Err: err}
	}
	if info.Format != modelFormat {
		return info, method, &fault.UnsupportedError{
			What: fmt.Sprintf("model format %d", info.Format),
			Hint: fmt.Sprintf("this version reads format %d; use the version that trained it (%s), or train again", modelFormat, info.Provenance.Blemish),
		}
	}
	if method, err = lookupMethod(info.Method); err != nil {
		return info, method, err
	}
	if err := info.Preprocess.Validate(); err != nil {
		return info, method, &fault.FormatError{Format: "model", Reason: "its preprocessing", Err: err}
	}
	return info, method, nil
}

func readModel(file *checkpoint.File) (*Model, error) {
	info, method, err := readInfo(file)
	if err != nil {
		return nil, err
	}
	m := &Model{info: info}
	state, err := m.readTensors(file)
	if err != nil {
		return nil, err
	}
	if err := m.openBackbone(method); err != nil {
		return nil, err
	}
	m.detector, err = method.open(state, m.extract)
	return m, err
}

// readTensors reads the backbone's weights, and what the detector learned, side by side.
func (m *Model) readTensors(file *checkpoint.File) (detect.State, error) {
	state := detect.State{Config: m.info.Options, Tensors: map[string]*tensor.Tensor{}, Doubles: map[string]detect.Doubles{}}
	names := file.Names()
	read, errs := make([]checkpoint.Entry, len(names)), make([]error, len(names))
	parallel.For(parallel.Workers(0), len(names), func(i int) { read[i], errs[i] = readEntry(file, names[i]) })
	for i, e := range read {
		if errs[i] != nil {
			return state, errs[i]
		}
		base, ok := strings.CutPrefix(e.Name, detectorPrefix)
		if ok && e.Tensor == nil {
			state.Doubles[base] = detect.Doubles{Shape: e.Shape, Data: e.Doubles}
			continue
		}
		if ok {
			state.Tensors[base] = e.Tensor
			continue
		}
		e.Name = strings.TrimPrefix(e.Name, backbonePrefix)
		m.weights = append(m.weights, e)
	}
	return state, nil
}

func readEntry(file *checkpoint.File, name string) (checkpoint.Entry, error) {
	info, _ := file.Info(name)
	e := checkpoint.Entry{Name: name, DType: info.DType}
	var err error
	switch {
	case !strings.HasPrefix(name, detectorPrefix) && !strings.HasPrefix(name, backbonePrefix):
		err = &fault.FormatError{Format: "model", Reason: fmt.Sprintf("unexpected tensor %q", name)}
	case info.DType == checkpoint.F64 && strings.HasPrefix(name, detectorPrefix):
		e.Shape, e.Doubles, err = file.ReadDoubles(name)
	default:
		e.Tensor, err = file.Read(name)
	}
	return e, err
}

// openBackbone compiles the model's backbone from its weights, if its method has one.
func (m *Model) openBackbone(method Method) error {
	if method.Pixels {
		if m.info.Backbone.Name != NoBackbone || len(m.weights) > 0 {
			return &fault.FormatError{Format: "model", Reason: fmt.Sprintf("it holds a backbone, which %s does not use", method.Name)}
		}
		return nil
	}
	stored := func(name string) (*tensor.Tensor, error) {
		for _, e := range m.weights {
			if e.Name == name {
				return e.Tensor, nil
			}
		}
		return nil, &fault.FormatError{Format: "model", Reason: fmt.Sprintf("backbone tensor %q is missing", name)}
	}
	spec, err := backbone.Stored(m.info.Backbone.Name, stored)
	if err != nil {
		return err
	}
	digest := make(chan string)
	go func() { digest <- weightsDigest(m.weights) }()
	extract, err := backbone.New(spec, m.info.Backbone.Layers, stored)
	if <-digest != m.info.Backbone.Digest {
		return &fault.FormatError{Format: "model", Reason: "its backbone's weights are not those it was trained with"}
	}
	if err != nil {
		return err
	}
	m.extract = extract
	return nil
}

// weightsDigest is the SHA-256 over the names, shapes and float32 values of tensors, by name.
func weightsDigest(entries []checkpoint.Entry) string {
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b checkpoint.Entry) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	var buffer []byte
	for _, e := range sorted {
		fmt.Fprintf(h, "%s %v\n", e.Name, e.Tensor.Shape)
		buffer = buffer[:0]
		for _, v := range e.Tensor.Data {
			b := math.Float32bits(v)
			buffer = append(buffer, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
		}
		h.Write(buffer)
	}
	return hex.EncodeToString(h.Sum(nil))
}
