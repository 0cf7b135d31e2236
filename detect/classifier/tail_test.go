package classifier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// numbers are given pictures, the even ones good: their features are noise, with a defect in those from detecttest.Defective on.
type numbers int

func (n numbers) Len() int          { return int(n) }
func (n numbers) Name(i int) string { return fmt.Sprint("number ", i) }
func (n numbers) Load(_ context.Context, i int, _ *rand.Rand) (train.Sample, error) {
	return train.Sample{Input: detecttest.GivenPicture(i+i%2*detecttest.Defective, 32, 32), Label: i % 2}, nil
}

// The last layers of a backbone learn behind a frozen feature map.
func TestLayersOfTheBackboneLearn(t *testing.T) {
	spec, err := backbone.Lookup("efficientnet-lite0")
	if err != nil {
		t.Fatal(err)
	}
	before, err := LayerBefore(spec.Graph(), "_blocks.15")
	if err != nil || before != "_blocks.14" {
		t.Fatal(before, err)
	}
	extractor := detecttest.Given{{Name: before, Channels: 192, Stride: 16}}
	for _, how := range []explain.Method{explain.GradCAM, explain.LayerCAM} {
		c := FineTuning("_blocks.15")
		c.Network, c.Map = "efficientnet-lite0", how
		c.Epochs, c.Warmup, c.Views, c.Flips, c.BatchSize = 3, 0, 1, how == explain.GradCAM, 8
		if how == explain.LayerCAM { // from scratch, with batch statistics
			c.Norms = BatchNorms
		}
		fit := func(workers int) *Detector {
			d, err := c.FitClasses(context.Background(), Data{Classes: []string{"good", "bad"}, Clean: "good", Train: numbers(16), Valid: numbers(4)},
				&detect.FitOptions{Extractor: extractor, Seed: 2, Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := fit(1)
		h := d.Fitted().History
		if h[len(h)-1].Loss >= h[0].Loss {
			t.Errorf("%s: the loss went from %v to %v", how, h[0].Loss, h[len(h)-1].Loss)
		}
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		if s.Tensors["_blocks.15._project_conv.weight"] == nil || s.Tensors["_blocks.15._bn2.running_mean"] == nil || s.Tensors["head.weight"] == nil {
			t.Error("the state lacks layers that learned")
		}
		opened, err := Open(s, extractor)
		if err != nil {
			t.Fatal(err)
		}
		other := fit(3)
		x := detecttest.GivenPicture(101, 32, 48).Reshape(1, 3, 32, 48)
		want := scored(t, d, x)
		for name, d := range map[string]detect.Detector{"opened": opened, "of three workers": other} {
			if got := scored(t, d, x); got.Score != want.Score || !slices.Equal(got.Map.Data, want.Map.Data) || !slices.Equal(got.Map.Shape, []int{32, 48}) {
				t.Errorf("%s: the detector %s scores %v, not %v, or draws another map", how, name, got.Score, want.Score)
			}
		}
		first := s.Tensors["_blocks.15._project_conv.weight"]
		s.Tensors["_blocks.15._project_conv.weight"] = tensor.New(first.Shape[0])
		if _, err := Open(s, extractor); err == nil {
			t.Error("a layer of another shape is accepted")
		}
	}
}

func scored(t *testing.T, d detect.Detector, x *tensor.Tensor) detect.Result {
	t.Helper()
	r, err := d.Score(context.Background(), x, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}
