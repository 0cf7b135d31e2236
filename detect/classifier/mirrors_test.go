package classifier

import (
	"context"
	"math"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/tensor"
)

// corners is an extractor whose four channels are the picture's corners: each mirror image has other features.
type corners struct{}

func (corners) Taps() []detect.Tap { return []detect.Tap{{Name: "corners", Channels: 4, Stride: 1}} }
func (corners) Features(_ context.Context, x *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	h, w := x.Shape[2], x.Shape[3]
	m := tensor.New(1, 4, 1, 1)
	for k, at := range []int{0, w - 1, (h - 1) * w, h*w - 1} {
		m.Data[k] = x.Data[at]
	}
	return []*tensor.Tensor{m}, nil
}

func TestMirrorImagesAreJudgedTogether(t *testing.T) {
	c := DefaultConfig()
	c.Scales = nil
	n, err := newNetwork(c, corners{}.Taps(), 2, nil, stored(map[string]*tensor.Tensor{
		"head.weight": {Shape: []int{2, 4}, Data: []float32{0, 0, 0, 0, 1, 10, 100, 1000}}, "head.bias": tensor.New(2),
	}))
	if err != nil {
		t.Fatal(err)
	}
	x := &tensor.Tensor{Shape: []int{1, 3, 2, 2}, Data: make([]float32, 12)}
	copy(x.Data, []float32{1, 2, 3, 4})
	for m, want := range map[Mirrors]float64{ // logits by hand: a picture 1 2 / 3 4 gives 1+20+300+4000
		NoMirrors:  4321,
		Sideways:   (4321 + 3412) / 2.,
		AllMirrors: (4321 + 3412 + 2143 + 1234) / 4.,
	} {
		d := newDetector(Fitted{Config: c, Classes: []string{"good", "bad"}, Clean: "good", Temperature: 1000, Mirrored: m}, corners{}, n)
		r, err := d.Score(context.Background(), x, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := float64(r[0].Score), 1/(1+math.Exp(-want/1000)); math.Abs(got-want) > 1e-6 { // float32's rounding
			t.Errorf("mirrors %q: %v, want %v", m, got, want)
		}
	}
}
