package infer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// sampled are every step-th of a value's numbers, as ONNX Runtime computed them.
type sampled struct {
	Shape  []int
	Step   int
	Values []float64
}

// compare is empty if the values agree to tolerance times the largest of them.
func (s sampled) compare(t *tensor.Tensor, tolerance float64) string {
	if !slices.Equal(t.Shape, s.Shape) {
		return fmt.Sprintf("shape %v, want %v", t.Shape, s.Shape)
	}
	largest := 0.0
	for _, v := range s.Values {
		largest = max(largest, math.Abs(v))
	}
	for i, want := range s.Values {
		if got := float64(t.Data[i*s.Step]); !(math.Abs(got-want) <= tolerance*largest) {
			return fmt.Sprintf("value %d is %v, want %v", i*s.Step, got, want)
		}
	}
	return ""
}

// picture is what the scripts in testdata/gen feed the networks.
func picture(shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		x := float64(i)
		t.Data[i] = float32(math.Sin(0.37*x + 1.3*math.Sin(0.011*x)))
	}
	return t
}

func readGoldens(t *testing.T, file string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func readNetwork(t testing.TB, file string) *checkpoint.ONNX {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := checkpoint.ReadONNX(raw, nil)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return g
}

// Whole networks, as torch exports them, against ONNX Runtime with its optimisations off. Both compute in float32 with sums in different
// orders: 1e-4 of a map's largest value is asked for, and most agree to 1e-6.
func TestNetworksComputeWhatONNXRuntimeDoes(t *testing.T) {
	var cases []struct {
		Name  string
		Opset int
		Input []int
		Fused bool
		Taps  map[string]sampled
	}
	readGoldens(t, "networks.json", &cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			g := readNetwork(t, filepath.Join("testdata", "onnx", c.Name+".onnx"))
			if g.Opset != c.Opset {
				t.Errorf("opset %d, want %d", g.Opset, c.Opset)
			}
			taps := slices.Sorted(maps.Keys(c.Taps))
			network, err := Import(g, taps)
			if err != nil {
				t.Fatal(err)
			}
			if network.Fused() != c.Fused {
				t.Errorf("fused: %v, want %v", network.Fused(), c.Fused)
			}
			batch := picture(c.Input...)
			out := agrees(t, "", network, batch, 1, taps, c.Taps, 1e-4)
			again, err := network.Run(context.Background(), batch, 3)
			if err != nil {
				t.Fatal(err)
			}
			for i, tap := range taps {
				if !slices.Equal(out[i].Data, again[i].Data) {
					t.Errorf("%s differs with three workers", tap)
				}
			}
			if !c.Fused {
				return
			}
			plain, err := importPlain(g, taps)
			if err != nil {
				t.Fatal(err)
			}
			agrees(t, ", operator by operator", plain, batch, 2, taps, c.Taps, 1e-4)
		})
	}
}

// agrees runs a network, and compares its taps with what is wanted to a share of each one's largest value.
func agrees(t *testing.T, how string, n *Imported, batch *tensor.Tensor, workers int, taps []string, want map[string]sampled, tolerance float64) []*tensor.Tensor {
	t.Helper()
	out, err := n.Run(context.Background(), batch, workers)
	if err != nil {
		t.Fatal(err)
	}
	for i, tap := range taps {
		if diff := want[tap].compare(out[i], tolerance); diff != "" {
			t.Errorf("%s%s: %s", tap, how, diff)
		}
	}
	return out
}

// importPlain is Import without fusing.
func importPlain(g *checkpoint.ONNX, taps []string) (*Imported, error) {
	values, err := tapValues(g, taps)
	if err != nil {
		return nil, err
	}
	nodes, err := neededNodes(g, values)
	if err != nil {
		return nil, err
	}
	n := &Imported{opset: g.Opset, channels: 3}
	return n, n.link(g, nodes, values)
}

// A description and the tensors taken out of it make the same network.
func TestDetachedNetworkComputesTheSame(t *testing.T) {
	for _, name := range []string{"vit", "mobilenet-v3", "resnet"} {
		g := readNetwork(t, filepath.Join("testdata", "onnx", name+".onnx"))
		keep, outputs, err := NodeFilter(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		description, weights := g.Detach(keep, outputs)
		again, err := checkpoint.ReadONNX(description, func(name string) (*tensor.Tensor, error) {
			for _, w := range weights {
				if w.Name == name {
					return w.Tensor, nil
				}
			}
			return nil, errors.New("no tensor " + name)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(description) > 40_000 || len(weights) < 5 {
			t.Errorf("%s: a description of %d bytes, and %d tensors", name, len(description), len(weights))
		}
		batch := picture(1, 3, 32, 32)
		var results [][]*tensor.Tensor
		for _, g := range []*checkpoint.ONNX{g, again} {
			network, err := Import(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := network.Run(context.Background(), batch, 1)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, out)
		}
		if !slices.Equal(results[0][0].Data, results[1][0].Data) {
			t.Errorf("%s: another result after Detach", name)
		}
	}
}

func TestUnknownOperatorsAreListedAtOnce(t *testing.T) {
	g := readNetwork(t, "testdata/onnx/vit.onnx")
	g.Nodes[3].Op, g.Nodes[5].Op, g.Nodes[8].Domain = "Zipper", "Attend", "com.example"
	_, err := Import(g, nil)
	var unsupported *fault.UnsupportedError
	if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "Attend, Zipper, com.example."+g.Nodes[8].Op) {
		t.Errorf("got %v", err)
	}
}

func TestWrongSizesAndNamesAreExplained(t *testing.T) {
	network, err := Import(readNetwork(t, "testdata/onnx/vit.onnx"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if h, w, ok := network.OnlySize(); !ok || h != 32 || w != 32 {
		t.Errorf("it takes only %dx%d, %v", h, w, ok)
	}
	if _, err := network.Run(context.Background(), picture(1, 3, 48, 48), 1); err == nil || !strings.Contains(err.Error(), "32x32") {
		t.Error("a ViT for 32x32 pictures took one of 48x48")
	}
	if _, err := network.Run(context.Background(), picture(1, 4, 32, 32), 1); err == nil {
		t.Error("four channels were taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := network.Run(ctx, picture(1, 3, 32, 32), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	var config *fault.ConfigError
	if _, err := Import(readNetwork(t, "testdata/onnx/vit.onnx"), []string{"nowhere"}); !errors.As(err, &config) || !strings.Contains(err.Error(), "blocks.1") {
		t.Errorf("got %v", err)
	}
}

// Whatever the bytes, reading, importing and running a network end in a result or an error.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/onnx/*.onnx")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds")
	}
	weights := map[string]*tensor.Tensor{}
	for _, file := range files {
		g := readNetwork(f, file)
		keep, outputs, err := NodeFilter(g, nil)
		if err != nil {
			f.Fatal(err)
		}
		description, detached := g.Detach(keep, outputs)
		f.Add(description)
		for _, w := range detached {
			weights[w.Name] = w.Tensor
		}
	}
	var cases []operatorCase
	raw, err := os.ReadFile("testdata/operators.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&cases); err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add(c.Model)
	}
	defer func(n int) { maxElements = n }(maxElements)
	maxElements = 1 << 15
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := checkpoint.ReadONNX(data, func(name string) (*tensor.Tensor, error) {
			if t := weights[name]; t != nil {
				return t, nil
			}
			return nil, errors.New("no tensor " + name)
		})
		if err != nil {
			return
		}
		network, err := Import(g, nil)
		if err != nil {
			return
		}
		h, w, fixed := network.OnlySize()
		if !fixed || h > 64 || w > 64 {
			h, w = 32, 32
		}
		if c := network.Channels(); c > 0 && c <= 16 {
			network.Run(context.Background(), picture(1, c, h, w), 1)
		}
	})
}
