package classifier

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// torch 2.15.0: F.interpolate(x, size, mode="bilinear", antialias=True)[0, 1] of x[i] = (37·i mod 23)/8, shape (1, 3, 5, 7).
func TestResizeIsTorchs(t *testing.T) {
	x := tensor.New(1, 3, 5, 7)
	for i := range x.Data {
		x.Data[i] = float32(i*37%23) / 8
	}
	for _, c := range []struct {
		share         float64
		height, width int
		want          []float64
	}{
		{4. / 7, 3, 4, []float64{1.448129, 1.485, 1.090714, 1.587585, 1.481481, 1.172222, 1.287222, 1.553571, 1.458333, 1.558571, 1.558571, 0.913265}},
		{2, 10, 14, []float64{0.875, 1.3125, 2.1875, 2.34375, 1.78125, 1.21875, 0.65625, 0.8125, 1.6875, 1.84375, 1.28125, 1.4375}},
		{0.3, 2, 2, []float64{1.362447, 1.331263, 1.461416, 1.33602}},
	} {
		got := Resize(x, c.share)
		if !slices.Equal(got.Shape, []int{1, 3, c.height, c.width}) {
			t.Fatalf("%v: shape %v", c.share, got.Shape)
		}
		for i, want := range c.want {
			if v := got.Data[c.height*c.width+i]; math.Abs(float64(v)-want) > 1e-6 { // the figures' last digit
				t.Errorf("%v: value %d is %v, want %v", c.share, i, v, want)
			}
		}
	}
}

// tall is an extractor whose only channel is how high a picture is, plus its first value.
type tall struct{}

func (tall) Taps() []detect.Tap { return []detect.Tap{{Name: "tall", Channels: 1, Stride: 1}} }
func (tall) Features(_ context.Context, x *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	return []*tensor.Tensor{{Shape: []int{1, 1, 1, 1}, Data: []float32{float32(x.Shape[2]) + x.Data[0]}}}, nil
}

func TestAVerdictIsTheMeanOverSizes(t *testing.T) {
	c := DefaultConfig()
	c.Scales = []float64{0.5, 2}
	n, err := newNetwork(c, tall{}.Taps(), 2, nil, stored(map[string]*tensor.Tensor{
		"head.weight": {Shape: []int{2, 1}, Data: []float32{0, 1}}, "head.bias": tensor.New(2),
	}))
	if err != nil {
		t.Fatal(err)
	}
	d := newDetector(Fitted{Config: c, Classes: []string{"good", "bad"}, Clean: "good", Temperature: 10}, tall{}, n)
	r, err := d.Score(context.Background(), tensor.New(1, 3, 8, 8), nil)
	if err != nil {
		t.Fatal(err)
	}
	odds := (8 + 4 + 16) / 3.
	if got, want := float64(r[0].Score), 1/(1+math.Exp(-odds/10)); math.Abs(got-want) > 1e-6 { // float32's rounding
		t.Errorf("score %v, want %v", got, want)
	}
	for i, v := range r[0].Map.Data {
		if math.Abs(float64(v)-odds) > 1e-5 {
			t.Fatalf("map value %d is %v, want the log-odds %v", i, v, odds)
		}
	}
}

// views are pictures of one size whose views from 1 on are brighter by 100.
type views struct{}

func (views) Len() int        { return 2 }
func (views) Name(int) string { return "view" }
func (views) Load(_ context.Context, i int, rng *rand.Rand) (train.Sample, error) {
	x := tensor.New(3, 8, 8)
	if rng != nil {
		for k := range x.Data {
			x.Data[k] = 100
		}
	}
	return train.Sample{Input: x, Label: i}, nil
}

// What is judged comes first, then each view at each size, to be learned from.
func TestEveryViewIsLearnedFromAtEverySize(t *testing.T) {
	c := DefaultConfig()
	c.Scales = []float64{0.5}
	f := &fit{config: c, data: Data{Classes: []string{"good", "bad"}}, opts: (&detect.FitOptions{Extractor: tall{}}).WithDefaults()}
	for count, want := range map[int][]float32{judged: {6}, 1: {6, 8, 4}, 2: {6, 8, 4, 108, 104}} {
		got, err := f.cache(context.Background(), "", views{}, count, nil)
		if err != nil {
			t.Fatal(err)
		}
		var read []float32
		for _, v := range got.views[0] {
			read = append(read, v.Data...)
		}
		if !slices.Equal(read, want) {
			t.Errorf("%d views: %v, want %v", count, read, want)
		}
	}
	c.Scales = nil
	f.config = c
	if got, err := f.cache(context.Background(), "", views{}, 2, nil); err != nil || len(got.views[0]) != 2 {
		t.Errorf("without further sizes: %v, %v", got.views[0], err)
	}
}

// growing pictures are of several sizes.
type growing struct{}

func (growing) Len() int        { return 6 }
func (growing) Name(int) string { return "growing" }
func (growing) Load(_ context.Context, i int, _ *rand.Rand) (train.Sample, error) {
	return train.Sample{Input: tensor.New(3, 32+32*(i/2), 64), Label: i % 2}, nil
}

func TestPicturesOfSeveralSizesAreExplained(t *testing.T) {
	for _, views := range []int{0, 2} {
		c := FineTuning("_blocks.15")
		c.Network, c.Views = "efficientnet-lite0", views
		_, err := c.FitClasses(context.Background(), Data{Classes: []string{"good", "bad"}, Clean: "good", Train: growing{}, Valid: growing{}},
			&detect.FitOptions{Extractor: openExtractor, Seed: 1})
		if !errors.Is(err, ErrSizes) || !strings.Contains(err.Error(), "--resize exact") {
			t.Errorf("%d views: %v", views, err)
		}
	}
}
