package backbone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

const networks = "../infer/testdata/onnx"

func noStore(name string) (*checkpoint.File, error) {
	return nil, errors.New("asked for weights by name")
}

func importFile(t *testing.T, path string, taps []string) (*Extractor, map[string]*tensor.Tensor) {
	t.Helper()
	spec, err := Find(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(taps) == 0 {
		taps = spec.DefaultTaps
	}
	weights, err := spec.Weights(taps, noStore)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]*tensor.Tensor{}
	e, err := New(spec, taps, func(name string) (*tensor.Tensor, error) {
		w, err := weights.Read(name)
		kept[name] = w
		return w, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, kept
}

func wave(shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		x := float64(i)
		t.Data[i] = float32(math.Sin(0.37*x + 1.3*math.Sin(0.011*x)))
	}
	return t
}

// Modules as torch names them give feature maps with their channels and strides, and what was kept is the whole network.
func TestImportedBackboneIsCompleteInWhatItKeeps(t *testing.T) {
	taps := []string{"layer2", "layer3"}
	e, kept := importFile(t, filepath.Join(networks, "resnet-head.onnx"), taps)
	if got := fmt.Sprint(e.Taps()); got != "[{layer2 12 8} {layer3 16 16}]" { // as timm builds it
		t.Errorf("taps %s", got)
	}
	again, err := Stored("resnet-head.onnx", func(name string) (*tensor.Tensor, error) {
		if w := kept[name]; w != nil {
			return w, nil
		}
		return nil, errors.New("not kept: " + name)
	})
	if err != nil {
		t.Fatal(err)
	}
	reopened, err := New(again, taps, func(name string) (*tensor.Tensor, error) { return kept[name], nil })
	if err != nil {
		t.Fatal(err)
	}
	batch := wave(2, 3, 48, 64)
	want, err := e.Features(context.Background(), batch, 2)
	if err != nil {
		t.Fatal(err)
	}
	got, err := reopened.Features(context.Background(), batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if !slices.Equal(want[i].Data, got[i].Data) || !slices.Equal(got[i].Shape, []int{2, e.Taps()[i].Channels, 48 / e.Taps()[i].Stride, 64 / e.Taps()[i].Stride}) {
			t.Errorf("%s: shape %v, equal: %v", taps[i], got[i].Shape, slices.Equal(want[i].Data, got[i].Data))
		}
	}
}

// The tokens of a vision transformer become a map: a class token goes, and patch p lies at row p/w, column p%w.
func TestTokensBecomeAMap(t *testing.T) {
	e, _ := importFile(t, filepath.Join(networks, "vit.onnx"), []string{"blocks.0"})
	if got := fmt.Sprint(e.Taps()); got != "[{blocks.0 24 8}]" {
		t.Errorf("taps %s", got)
	}
	m := tensor.New(1, 7, 2) // one extra, and 2x3 patches of 8 pixels
	for i := range m.Data {
		m.Data[i] = float32(i)
	}
	out, err := grid(m, 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.Shape, []int{1, 2, 2, 3}) || !slices.Equal(out.Data, []float32{2, 4, 6, 8, 10, 12, 3, 5, 7, 9, 11, 13}) {
		t.Errorf("%v %v", out.Shape, out.Data)
	}
	if _, err := grid(tensor.New(1, 5000, 2), 16, 24); err == nil {
		t.Error("5000 tokens fit a picture of 16x24")
	}
}

func TestImportedBackboneRefuses(t *testing.T) {
	var config *fault.ConfigError
	if _, err := Find("nowhere/net.onnx"); !errors.As(err, &config) {
		t.Errorf("no such file: %v", err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.onnx")
	if err := os.WriteFile(damaged, []byte("\x08\x08\x3a\xff"), 0o666); err != nil {
		t.Fatal(err)
	}
	var format *fault.FormatError
	if _, err := Find(damaged); !errors.As(err, &format) || !strings.Contains(err.Error(), damaged) {
		t.Errorf("damaged: %v", err)
	}
	spec, err := Find(filepath.Join(networks, "vit.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spec.Weights([]string{"layer9"}, noStore); !errors.As(err, &config) {
		t.Errorf("no such layer: %v", err)
	}
	weights, err := spec.Weights(spec.DefaultTaps, noStore)
	if err != nil {
		t.Fatal(err)
	}
	var shape *fault.ShapeError
	if _, err := New(spec, spec.DefaultTaps, weights.Read); !errors.As(err, &shape) { // (1,5): class scores have no places
		t.Errorf("class scores as features: %v", err)
	}
}

// A network that leaves the size open and has no result for the probe's says what may be the matter, and one whose positions tie it to a size is
// given that size from the start.
func TestOpenSizesOfImportedBackbones(t *testing.T) {
	g := open(t, filepath.Join(networks, "vit.onnx"))
	s := importedSpec("vit.onnx", g)
	if h, w, ok := s.InputSize(); !ok || h != 32 || w != 32 {
		t.Errorf("a ViT of open size is for pictures of %dx%d, %v", h, w, ok)
	}
	e, err := build(s, []string{"blocks.0"})
	if err != nil {
		t.Fatal(err)
	}
	if h, w, ok := e.OnlySize(); !ok || h != 32 || w != 32 {
		t.Errorf("it takes pictures of %dx%d, %v", h, w, ok)
	}
	// as many positions as belong to no square, and to one with six tokens more than there are
	for tokens, want := range map[int]string{3: "224x224", 15: "24x24"} {
		g = open(t, filepath.Join(networks, "vit.onnx"))
		for name, c := range g.Constants {
			if len(c.Shape) == 3 && c.Shape[1] == 17 {
				g.Constants[name].Shape, g.Constants[name].Floats = []int{1, tokens, c.Shape[2]}, c.Floats[:tokens*c.Shape[2]]
			}
		}
		if _, err := build(importedSpec("vit.onnx", g), []string{"blocks.0"}); err == nil || !strings.Contains(err.Error(), "leaves the size of pictures open, but has no result for one of "+want) {
			t.Errorf("%d positions: %v", tokens, err)
		}
	}
}

// open is a network of a file, its size left open.
func open(t *testing.T, path string) *checkpoint.ONNX {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// in the file, so that what a model keeps of it is open as well: the sizes' field numbers become those of names
	dim := []byte{0x0a, 0x02, 0x08, 32} // a dimension of 32
	if n := bytes.Count(raw, slices.Concat(dim, dim)); n == 0 {
		t.Fatal("no input of 32x32")
	}
	raw = bytes.ReplaceAll(raw, slices.Concat(dim, dim), []byte{0x0a, 0x02, 0x12, 0, 0x0a, 0x02, 0x12, 0})
	g, err := checkpoint.ReadONNX(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func build(s Spec, taps []string) (*Extractor, error) {
	weights, err := s.Weights(taps, noStore)
	if err != nil {
		return nil, err
	}
	return New(s, taps, weights.Read)
}
