// Package reconstructtest holds methods that learn to give pictures back to PyTorch's losses.
package reconstructtest

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/detect/reconstruct"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// batches are those of ../testdata/gen/losses.py: numbers of pictures.
var batches = [][2]int{{3, 0}, {5, 1}, {2, 4}, {1, 2}, {0, 5}, {4, 3}, {5, 4}, {3, 2}, {1, 0}, {0, 1}, {2, 3}, {4, 5}}

const side = 16

func given(n int) *tensor.Tensor {
	p := tensor.New(3, side, side)
	for i := range p.Data {
		p.Data[i] = float32(detecttest.Noise(uint32(n), i)*0.5 + 0.1*float64(n))
	}
	return p
}

// LearnsAsPyTorch starts each run of testdata/losses.json from the same weights, takes the same batches, and must have the same losses. build makes
// the network of settings.
func LearnsAsPyTorch(t *testing.T, build func(reconstruct.Settings) reconstruct.Network) {
	raw, err := os.ReadFile("testdata/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var runs []struct {
		Loss      reconstruct.Loss
		Optimizer reconstruct.Optimizer
		Losses    []float64
		Last      []float64 // of decoder.0.weight, after the last step
	}
	if err := json.Unmarshal(raw, &runs); err != nil || len(runs) != 6 {
		t.Fatalf("%d runs: %v", len(runs), err)
	}
	var pictures []*tensor.Tensor
	for n := range 6 {
		pictures = append(pictures, given(n))
	}
	for _, run := range runs {
		s := reconstruct.DefaultSettings()
		s.Base, s.Depth, s.Latent, s.Tile, s.LR, s.Loss, s.Optimizer = 4, 2, 3, side, 0.01, run.Loss, run.Optimizer
		net := build(s)
		for k, p := range net.Params() {
			for i := range p.Value.Data {
				p.Value.Data[i] = float32(detecttest.Noise(uint32(100+k), i) * 0.25)
			}
		}
		learner, err := reconstruct.NewLearner(s, net, pictures, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		for step, b := range batches {
			x := tensor.New(2, 3, side, side)
			copy(x.Data, pictures[b[0]].Data)
			copy(x.Data[3*side*side:], pictures[b[1]].Data)
			loss, err := learner.Step(x)
			if err != nil {
				t.Fatal(err)
			}
			if want := run.Losses[step]; math.Abs(loss/want-1) > 1e-5 {
				t.Errorf("%s by %s, step %d: loss %.9g, PyTorch's %.9g", run.Loss, run.Optimizer, step, loss, want)
			}
		}
		for _, b := range nn.State(net) {
			if b.Name != "decoder.0.weight" {
				continue
			}
			for i, want := range run.Last {
				if got := float64(b.Value.Data[i]); math.Abs(got-want) > 1e-5 {
					t.Errorf("%s by %s: decoder.0.weight[%d] is %v, PyTorch's %v", run.Loss, run.Optimizer, i, got, want)
				}
			}
		}
	}
}
