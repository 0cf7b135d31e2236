package backbone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
)

// GraphTensor is the name under which an imported network's description is kept beside its weights: its bytes, one a value.
const GraphTensor = "onnx.graph"

// Weights are the tensors of a backbone, by name.
type Weights interface {
	Read(name string) (*tensor.Tensor, error)
	Info(name string) (info checkpoint.Info, ok bool)
	Close() error
}

// Find is Lookup, or the network in a file whose name ends in .onnx: any network of pictures (N,3,H,W). Its inputs are taken to be normalised
// by the mean and standard deviation of ImageNet, as torchvision's are, and its outputs are the default taps.
func Find(nameOrPath string) (Spec, error) {
	if !strings.EqualFold(filepath.Ext(nameOrPath), ".onnx") {
		return Lookup(nameOrPath)
	}
	raw, err := os.ReadFile(nameOrPath)
	if err != nil {
		return Spec{}, &fault.ConfigError{Field: "backbone", Value: nameOrPath, Reason: err.Error()}
	}
	g, err := checkpoint.ReadONNX(raw, nil)
	if err != nil {
		return Spec{}, fmt.Errorf("%s: %w", nameOrPath, err)
	}
	return importedSpec(filepath.Base(nameOrPath), g), nil
}

func importedSpec(name string, g *checkpoint.ONNX) Spec {
	s := Spec{Name: name, Mean: imagenetMean, Std: imagenetStd, DefaultTaps: g.Outputs, onnx: g}
	s.height, s.width, _ = infer.InputSize(g)
	return s
}

// Imported says whether the backbone comes from a file. Its Graph is not to be had.
func (s Spec) Imported() bool { return s.onnx != nil }

// InputSize is the height and width that an imported network was exported for; ok is false where they are open.
func (s Spec) InputSize() (height, width int, ok bool) { return s.height, s.width, s.height > 0 }

// OnlySize is the size of the only pictures that the backbone takes; ok is false where it takes others.
func (e *Extractor) OnlySize() (height, width int, ok bool) {
	if t, imported := e.network.(*tokens); imported {
		return t.network.OnlySize()
	}
	return 0, 0, false
}

// Weights are those of the backbone as far as its taps: an imported one's own, or else what open finds for its name.
func (s Spec) Weights(taps []string, open func(name string) (*checkpoint.File, error)) (Weights, error) {
	if s.onnx == nil {
		return open(s.Name)
	}
	keep, outputs, err := infer.NodeFilter(s.onnx, taps)
	if err != nil {
		return nil, fmt.Errorf("backbone %s: %w", s.Name, err)
	}
	description, entries := s.onnx.Detach(keep, outputs)
	graph := tensor.New(len(description))
	for i, b := range description {
		graph.Data[i] = float32(b)
	}
	w := detached{GraphTensor: {Name: GraphTensor, DType: checkpoint.U8, Tensor: graph}}
	for _, e := range entries {
		w[e.Name] = e
	}
	return w, nil
}

// detached are the parts of an imported network.
type detached map[string]checkpoint.Entry

func (d detached) Read(name string) (*tensor.Tensor, error) {
	e, ok := d[name]
	if !ok {
		return nil, fmt.Errorf("the network has no tensor %q", name)
	}
	return e.Tensor, nil
}

func (d detached) Info(name string) (checkpoint.Info, bool) {
	e, ok := d[name]
	if !ok {
		return checkpoint.Info{}, false
	}
	return checkpoint.Info{DType: e.DType, Shape: e.Tensor.Shape}, true
}

func (d detached) Close() error { return nil }

// Stored is the backbone that a model was trained with: one of the known ones, or an imported one whose parts weights gives.
func Stored(name string, weights func(name string) (*tensor.Tensor, error)) (Spec, error) {
	graph, err := weights(GraphTensor)
	if err != nil {
		return Lookup(name)
	}
	g, err := readGraph(graph, weights)
	if err != nil {
		return Spec{}, err
	}
	return importedSpec(name, g), nil
}

func readGraph(graph *tensor.Tensor, weights func(name string) (*tensor.Tensor, error)) (*checkpoint.ONNX, error) {
	description := make([]byte, len(graph.Data))
	for i, v := range graph.Data {
		description[i] = byte(v)
	}
	return checkpoint.ReadONNX(description, weights)
}

// probeSize is the side of the picture by which an imported network's taps are measured where it leaves the size open.
const probeSize = 224

// newImported compiles an imported network from its parts, so that they are what a model file needs to keep.
func newImported(spec Spec, taps []string, weights func(name string) (*tensor.Tensor, error)) (*Extractor, error) {
	graph, err := weights(GraphTensor)
	if err != nil {
		return nil, err
	}
	g, err := readGraph(graph, weights)
	if err != nil {
		return nil, err
	}
	network, err := infer.Import(g, taps)
	if err != nil {
		return nil, fmt.Errorf("backbone %s: %w", spec.Name, err)
	}
	if network.Channels() != 3 {
		return nil, &fault.UnsupportedError{What: fmt.Sprintf("backbone %s for pictures of %d channels", spec.Name, network.Channels()), Hint: "want 3"}
	}
	height, width, fixed := network.InputSize()
	if !fixed {
		height, width = probeSize, probeSize
	}
	e := &Extractor{network: &tokens{network}}
	maps, err := e.network.Run(context.Background(), tensor.New(1, 3, height, width), 1)
	if in := g.Inputs[0].Shape; err != nil && (len(in) != 4 || in[2] < 0 || in[3] < 0) {
		return nil, fmt.Errorf("backbone %s leaves the size of pictures open, but has no result for one of %dx%d; if it was made for one size, export it with that size: %w", spec.Name, width, height, err)
	}
	if err != nil {
		return nil, fmt.Errorf("backbone %s: %w", spec.Name, err)
	}
	for i, m := range maps {
		e.taps = append(e.taps, detect.Tap{Name: taps[i], Channels: m.Shape[1], Stride: max(1, (height+m.Shape[2]/2)/m.Shape[2])})
	}
	return e, nil
}

// tokens runs a network and turns the sequences of a vision transformer (N, extra+h·w, C) into feature maps (N,C,h,w).
type tokens struct{ network *infer.Imported }

func (t *tokens) Run(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	maps, err := t.network.Run(ctx, batch, workers)
	if err != nil {
		return nil, err
	}
	for i, m := range maps {
		switch {
		case len(m.Shape) == 4 && tensor.Volume(m.Shape) > 0:
		case len(m.Shape) == 3:
			if maps[i], err = grid(m, batch.Shape[2], batch.Shape[3]); err != nil {
				return nil, err
			}
		default:
			return nil, &fault.ShapeError{What: fmt.Sprintf("layer %d of the network", i+1), Want: "(N,C,h,w) or (N,tokens,C); tap an earlier one", Got: m.Shape}
		}
	}
	return maps, nil
}

// mostExtra is the number of tokens before those of the patches that is looked for: a class token, and registers.
const mostExtra = 8

// grid finds the patch size that explains the number of tokens, and drops the extra ones in front.
func grid(m *tensor.Tensor, height, width int) (*tensor.Tensor, error) {
	for extra := 0; extra <= mostExtra; extra++ {
		for patch := 4; patch <= 64; patch++ {
			h, w := height/patch, width/patch
			if height%patch != 0 || width%patch != 0 || h*w != m.Shape[1]-extra {
				continue
			}
			out := tensor.New(m.Shape[0], m.Shape[2], h, w)
			for n := range m.Shape[0] {
				from, to := m.Item(n).Data[extra*m.Shape[2]:], out.Item(n).Data
				for c := range m.Shape[2] {
					for p := range h * w {
						to[c*h*w+p] = from[p*m.Shape[2]+c]
					}
				}
			}
			return out, nil
		}
	}
	return nil, fmt.Errorf("a layer of %d tokens is no grid of patches of a %dx%d picture: %w", m.Shape[1], width, height, errors.ErrUnsupported)
}
