package padim

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
)

type golden struct {
	Name           string
	Taps           [][2]int // channels, stride
	Train          detecttest.GivenSizes
	Seed           uint64
	Dimensions     []int // null for all
	Regularization float64
	Grid           []int
	Mean           []float64
	Pictures       []struct {
		Number, Height, Width int
		Score                 float64
		Sharp, Blurred        []float64 // the map with sigma 0; every fourth value with sigma 2
	}
}

// The reference computes in float64; here features are resized, and means and factors kept, in float32, each rounding by 2^-24. Distances were found to be off by
// 1e-7 to 3e-7 of their value.
const tolerance = 6e-7

// Goldens by ../detecttest/testdata/gen/goldens.py.
func TestAgreesWithThePaperAndAnomalib(t *testing.T) {
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.check(t) })
	}
}

func (c golden) check(t *testing.T) {
	var taps detecttest.Given
	for _, tap := range c.Taps {
		taps = append(taps, detect.Tap{Channels: tap[0], Stride: tap[1]})
	}
	config := Config{Dimensions: len(c.Dimensions), Regularization: c.Regularization}
	d, err := config.Fit(context.Background(), c.Train, &detect.FitOptions{Extractor: taps, Seed: c.Seed})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range c.Dimensions {
		if got := int(s.Tensors[dimsName].Data[i]); got != want {
			t.Fatalf("seed %d draws dimensions %v, want %v", c.Seed, s.Tensors[dimsName].Data, c.Dimensions)
		}
	}
	mean := s.Tensors[meanName]
	if !slices.Equal(mean.Shape[:2], c.Grid) || len(mean.Data) != len(c.Mean) {
		t.Fatalf("means of shape %v, want %d on a grid of %v", mean.Shape, len(c.Mean), c.Grid)
	}
	for i, want := range c.Mean {
		if got := float64(mean.Data[i]); math.Abs(got-want) > 2e-7 { // values within ±1
			t.Errorf("mean %d is %v, want %v", i, got, want)
		}
	}
	config.Sigma = 2
	if s.Config, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	blurring, err := Open(s, taps)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Pictures {
		x := detecttest.GivenPicture(p.Number, p.Height, p.Width).Reshape(1, 3, p.Height, p.Width)
		compare := func(what string, d detect.Detector, step int, want []float64) float64 {
			r, err := d.Score(context.Background(), x, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r[0].Map.Shape, []int{p.Height, p.Width}) || (len(r[0].Map.Data)+step-1)/step != len(want) {
				t.Fatalf("picture %d: a %s map of shape %v for a golden of %d", p.Number, what, r[0].Map.Shape, len(want))
			}
			for i, w := range want {
				if got := float64(r[0].Map.Data[i*step]); math.Abs(got-w) > tolerance*w {
					t.Errorf("picture %d: %s map value %d is %v, want %v", p.Number, what, i*step, got, w)
				}
			}
			return float64(r[0].Score)
		}
		compare("sharp", d, 1, p.Sharp)
		if score := compare("blurred", blurring, 4, p.Blurred); math.Abs(score-p.Score) > tolerance*p.Score {
			t.Errorf("picture %d scores %v, want %v", p.Number, score, p.Score)
		}
	}
}
