package backbone

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/backbone/weights"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
)

// pseudo, seed and formula are those of testdata/gen/features.py.
func pseudo(seed uint32, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		x := uint32(i)*2654435761 + seed
		x ^= x >> 15
		x *= 2246822519
		x ^= x >> 13
		x *= 3266489917
		x ^= x >> 16
		out[i] = float64(x>>8)/(1<<23) - 1
	}
	return out
}

func seed(name string) uint32 {
	h := uint32(2166136261)
	for _, c := range []byte(name) {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

func formula(p infer.Param) *tensor.Tensor {
	t := tensor.New(p.Shape...)
	for i, u := range pseudo(seed(p.Name), len(t.Data)) {
		v := u * math.Sqrt(6/float64(tensor.Volume(p.Shape[1:])))
		switch {
		case strings.HasSuffix(p.Name, "running_var"):
			v = 1 + 0.5*u
		case strings.HasSuffix(p.Name, "running_mean"), strings.HasSuffix(p.Name, "bias"):
			v = 0.1 * u
		case len(p.Shape) == 1:
			v = 1 + 0.2*u
		}
		t.Data[i] = float32(v)
	}
	return t
}

func picture(n, h, w int) *tensor.Tensor {
	t := tensor.New(n, 3, h, w)
	for i, u := range pseudo(12345, len(t.Data)) {
		t.Data[i] = float32(u)
	}
	return t
}

type golden struct {
	Backbone string
	Input    [3]int
	Params   map[string][]int
	Taps     map[string]struct {
		Shape     []int
		Mean, Std float64
		At        []int
		Values    []float64
	}
}

func goldens(t *testing.T) []golden {
	raw, err := os.ReadFile("testdata/features.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// source gives a backbone's embedded weights, or those of the formula.
func source(t *testing.T, name string) func(string) (*tensor.Tensor, error) {
	if name == "efficientnet-lite0" {
		file, err := (&weights.Store{}).Open(name)
		if err != nil {
			t.Fatal(err)
		}
		return file.Read
	}
	spec, _ := Lookup(name)
	g := spec.Graph()
	var all []string
	for _, tap := range g.Taps() {
		all = append(all, tap.Name)
	}
	params, err := g.Params(all)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]infer.Param{}
	for _, p := range params {
		byName[p.Name] = p
	}
	return func(name string) (*tensor.Tensor, error) {
		p, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("no parameter %q", name)
		}
		return formula(p), nil
	}
}

func TestParametersAreTorchvisions(t *testing.T) {
	for _, c := range goldens(t) {
		spec, err := Lookup(c.Backbone)
		if err != nil {
			t.Fatal(err)
		}
		g := spec.Graph()
		var taps []string
		for _, tap := range g.Taps() {
			taps = append(taps, tap.Name)
		}
		params, err := g.Params(taps)
		if err != nil {
			t.Fatal(err)
		}
		if len(params) != len(c.Params) {
			t.Errorf("%s has %d parameters, want %d", c.Backbone, len(params), len(c.Params))
		}
		for _, p := range params {
			if !slices.Equal(p.Shape, c.Params[p.Name]) {
				t.Errorf("%s: %s has shape %v, want %v", c.Backbone, p.Name, p.Shape, c.Params[p.Name])
			}
		}
	}
}

func TestFeaturesAgreeWithPyTorch(t *testing.T) {
	for _, c := range goldens(t) {
		t.Run(fmt.Sprintf("%s/%v", c.Backbone, c.Input), func(t *testing.T) {
			spec, err := Lookup(c.Backbone)
			if err != nil {
				t.Fatal(err)
			}
			var taps []string
			for name := range c.Taps {
				taps = append(taps, name)
			}
			slices.Sort(taps)
			e, err := New(spec, taps, source(t, c.Backbone))
			if err != nil {
				t.Fatal(err)
			}
			batch := picture(c.Input[0], c.Input[1], c.Input[2])
			maps, err := e.Features(context.Background(), batch, 1)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range taps {
				want, got := c.Taps[name], maps[i]
				if !slices.Equal(got.Shape, want.Shape) {
					t.Fatalf("%s has shape %v, want %v", name, got.Shape, want.Shape)
				}
				if e.Taps()[i].Channels != want.Shape[1] {
					t.Errorf("%s is said to have %d channels, has %d", name, e.Taps()[i].Channels, want.Shape[1])
				}
				// Both compute in float32 and sum in another order: dozens of layers leave a few 1e-5 of a map's deviation.
				tolerance := 5e-5 * want.Std
				mean := 0.0
				for _, v := range got.Data {
					mean += float64(v)
				}
				if mean /= float64(len(got.Data)); math.Abs(mean-want.Mean) > tolerance {
					t.Errorf("%s: mean %v, want %v", name, mean, want.Mean)
				}
				for j, at := range want.At {
					if d := math.Abs(float64(got.Data[at]) - want.Values[j]); d > tolerance {
						t.Errorf("%s: value %d is %v, want %v (deviation %v)", name, at, got.Data[at], want.Values[j], want.Std)
					}
				}
			}
			again, err := e.Features(context.Background(), batch.Item(0).Reshape(1, 3, c.Input[1], c.Input[2]), 3)
			if err != nil {
				t.Fatal(err)
			}
			for i := range taps {
				if !slices.Equal(again[i].Data, maps[i].Item(0).Data) {
					t.Errorf("%s: a picture alone with 3 workers differs from the same in a batch with 1", taps[i])
				}
			}
		})
	}
}

func TestUnknownNamesAreExplained(t *testing.T) {
	if _, err := Lookup("resnet19"); err == nil || !strings.Contains(err.Error(), "resnet18") {
		t.Errorf("unknown backbone: %v", err)
	}
	spec, _ := Lookup("resnet18")
	if _, err := New(spec, []string{"layer9"}, nil); err == nil || !strings.Contains(err.Error(), "layer3") {
		t.Errorf("unknown layer: %v", err)
	}
	_, err := New(spec, []string{"layer1"}, func(name string) (*tensor.Tensor, error) { return tensor.New(1), nil })
	if err == nil || !strings.Contains(err.Error(), "conv1.weight") || !strings.Contains(err.Error(), "[64 3 7 7]") {
		t.Errorf("wrong shape: %v", err)
	}
}

func BenchmarkFeatures(b *testing.B) {
	for _, name := range Names() {
		spec, _ := Lookup(name)
		g := spec.Graph()
		params, err := g.Params(spec.DefaultTaps)
		if err != nil {
			b.Fatal(err)
		}
		byName := map[string]infer.Param{}
		for _, p := range params {
			byName[p.Name] = p
		}
		e, err := New(spec, spec.DefaultTaps, func(name string) (*tensor.Tensor, error) { return formula(byName[name]), nil })
		if err != nil {
			b.Fatal(err)
		}
		batch := picture(1, 256, 256)
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) {
				for b.Loop() {
					if _, err := e.Features(context.Background(), batch, workers); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}
