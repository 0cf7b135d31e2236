package classifier

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/backbone/weights"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// alike are testdata/gen/lite.py's pictures: noise of 64 pixels, in whose odd ones neighbours along the rows are alike. Their second view is
// the mirror image.
type alike struct{ first, n int }

func (a alike) Len() int          { return a.n }
func (a alike) Name(i int) string { return fmt.Sprint("noise ", a.first+i) }
func (a alike) Load(_ context.Context, i int, rng *rand.Rand) (train.Sample, error) {
	const side = 64
	i += a.first
	x := tensor.New(3, side, side)
	for k := range x.Data {
		v := detecttest.Noise(uint32(i), k)
		if i%2 == 1 {
			v += 0.25 * detecttest.Noise(uint32(i), k/side*side+(k+side-1)%side)
		}
		x.Data[k] = float32(v)
	}
	if rng != nil {
		mirror(x, horizontally)
	}
	return train.Sample{Input: x, Label: i % 2}, nil
}

// lite opens testdata/lite.json, and EfficientNet-Lite0's real weights.
func lite(t *testing.T) (map[string]run, backbone.Spec, func(name string) (*tensor.Tensor, error)) {
	t.Helper()
	raw, err := os.ReadFile("testdata/lite.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]run
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	spec, err := backbone.Lookup("efficientnet-lite0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := new(weights.Store).Open(spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return want, spec, file.Read
}

// The default preset's head, on the real network's features, from PyTorch's start, in its order, with its dropout masks.
func TestTheHeadOnRealWeightsIsPyTorchs(t *testing.T) {
	want, spec, weights := lite(t)
	taps := spec.Graph().Taps()
	extract, err := backbone.New(spec, []string{taps[len(taps)-1].Name}, weights)
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Scales, c.Epochs, c.BatchSize, c.Views = nil, 20, 16, 2
	d, err := c.FitClasses(context.Background(), Data{
		Classes: []string{"good", "alike"}, Clean: "good", Train: alike{0, 48}, Valid: alike{500, 32},
	}, &detect.FitOptions{Extractor: extract, Seed: 245})
	if err != nil {
		t.Fatal(err)
	}
	near(t, d.Fitted().History, want["lite"].History, 2e-5) // 1.7e-6 were measured: 65 layers of float32 lie before the head, each rounding in its own order
}

// Layers of the backbone that learn do so at their share of the head's rate, as PyTorch's parameter groups do; a cosine lowers both.
func TestTheBackbonesRateIsAGroupsInPyTorch(t *testing.T) {
	want, spec, weights := lite(t)
	extract, err := backbone.New(spec, []string{"_blocks.14"}, weights)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"block by adamw": func(*Config) {},
		"block by sgd": func(c *Config) {
			c.Optimizer, c.Schedule, c.LR, c.BackboneLR, c.Momentum, c.Decay = SGD, Constant, 1e-3, 0.3, 0.9, 0
		},
	} {
		c := FineTuning("_blocks.15")
		c.Network, c.Epochs, c.BatchSize, c.Views, c.StopAfter = spec.Name, 6, 16, 1, 0
		change(&c)
		f, err := newFit(c, Data{
			Classes: []string{"good", "alike"}, Clean: "good", Train: alike{0, 48}, Valid: alike{500, 32}, Weights: weights,
		}, &detect.FitOptions{Extractor: extract, Seed: 245})
		if err != nil {
			t.Fatal(err)
		}
		copy(f.net.last[0].Weight.Value.Data, filled(5000, 0.05, 2, 320).Data)
		copy(f.net.last[0].Bias.Value.Data, filled(5001, 0.05, 2).Data)
		if err := f.prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := f.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		near(t, f.progress.History, want[name].History, 1e-4) // 1e-5 were measured
	}
}
