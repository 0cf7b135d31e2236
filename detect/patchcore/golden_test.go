package patchcore

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
)

// given is an extractor of feature maps by formula: those of testdata/gen/goldens.py. A picture's first value is its number, and its
// size is four times the first map's.
type given struct{}

func (given) Taps() []detect.Tap {
	return []detect.Tap{{Name: "a", Channels: 5, Stride: 4}, {Name: "b", Channels: 7, Stride: 8}}
}

func pseudo(seed uint32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		x := uint32(i)*2654435761 + seed
		x ^= x >> 15
		x *= 2246822519
		x ^= x >> 13
		x *= 3266489917
		x ^= x >> 16
		out[i] = float32(float64(x>>8)/(1<<23) - 1)
	}
	return out
}

func (g given) Features(_ context.Context, batch *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	h, w := batch.Shape[2]/4, batch.Shape[3]/4
	picture := int(batch.Data[0])
	var out []*tensor.Tensor
	for t, tap := range g.Taps() {
		hh, ww := (h+t)/(t+1), (w+t)/(t+1)
		out = append(out, tensor.From(pseudo(uint32(1000*picture+t), tap.Channels*hh*ww), 1, tap.Channels, hh, ww))
	}
	return out, nil
}

func picture(number, h, w int) *tensor.Tensor {
	x := tensor.New(3, 4*h, 4*w)
	x.Data[0] = float32(number)
	return x
}

type golden struct {
	Sizes  [][2]int
	Start  int
	Chosen []int
	Cases  []struct {
		Picture, H, W int
		Score         float64
		Map           []float64 // every 13th value
	}
}

func (g golden) Len() int { return len(g.Sizes) }

func (g golden) Samples(context.Context) iter.Seq2[detect.Sample, error] {
	return func(yield func(detect.Sample, error) bool) {
		for i, s := range g.Sizes {
			if !yield(detect.Sample{Image: picture(i, s[0], s[1])}, nil) {
				return
			}
		}
	}
}

func TestAgreesWithThePaperAndAnomalib(t *testing.T) {
	raw, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	var points knn.Points
	for x, err := range detect.Extract(context.Background(), g, (&detect.FitOptions{Extractor: given{}}).WithDefaults()) {
		if err != nil {
			t.Fatal(err)
		}
		p := patches(x.Maps)
		points.Width = p.Width
		points.Chunks = append(points.Chunks, p.Data)
	}
	chosen, err := knn.KCenterGreedy(context.Background(), points, len(g.Chosen), g.Start, knn.CoresetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(chosen, g.Chosen) {
		t.Fatalf("coreset %v, want %v", chosen, g.Chosen)
	}
	bank := tensor.New(len(chosen), 12)
	all := slices.Concat(points.Chunks...)
	for i, c := range chosen {
		copy(bank.Data[i*12:][:12], all[c*points.Width:])
	}
	d := newDetector(DefaultConfig(), bank, nil, given{})
	for _, c := range g.Cases {
		x := picture(c.Picture, c.H, c.W)
		r, err := d.Score(context.Background(), x.Reshape(append([]int{1}, x.Shape...)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		// the reference computes in float64, embeddings and distances here are float32
		if math.Abs(float64(r[0].Score)-c.Score) > 2e-6*c.Score {
			t.Errorf("picture %d: score %v, want %v", c.Picture, r[0].Score, c.Score)
		}
		for i, want := range c.Map {
			// and the reference blurs by one float32 sum of 33x33 products, which is off by some 1e-6 itself
			if got := float64(r[0].Map.Data[13*i]); math.Abs(got-want) > 5e-6*want {
				t.Errorf("picture %d: map value %d is %v, want %v", c.Picture, 13*i, got, want)
			}
		}
	}
}

func TestCoresetSizes(t *testing.T) {
	for _, c := range []struct {
		Config
		n, want int
	}{{Config{CoresetRatio: 0.1}, 99, 9}, {Config{CoresetRatio: 0.1}, 5, 1}, {Config{CoresetRatio: 0.5, CoresetMax: 20}, 100, 20}, {Config{CoresetRatio: 1}, 7, 7}} {
		if got := c.coreset(c.n); got != c.want {
			t.Errorf("%+v keeps %d of %d, want %d", c.Config, got, c.n, c.want)
		}
	}
}

func TestProjectionKeepsDistancesNearly(t *testing.T) {
	config := DefaultConfig()
	config.Projection, config.CoresetRatio = 6, 0.3
	d, err := config.Fit(context.Background(), golden{Sizes: [][2]int{{8, 10}, {8, 10}, {6, 12}}}, &detect.FitOptions{Extractor: given{}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := d.State(); !slices.Equal(s.Tensors[bankName].Shape, []int{69, 12}) {
		t.Errorf("the memory bank has shape %v", s.Tensors[bankName].Shape)
	}
}
