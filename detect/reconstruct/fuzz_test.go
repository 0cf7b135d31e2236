package reconstruct_test

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/detect/reconstruct"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// plain is the smallest method: encoder and decoder.
type plain struct{ reconstruct.Settings }

type plainNet struct{ nn.Sequential }

func (c plain) Build(rng *rand.Rand) reconstruct.Network {
	return plainNet{append(c.Encoder(c.Latent, rng), c.Decoder(rng)...)}
}

func (n plainNet) Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var) {
	return n.Forward(t, x), nil
}

// FuzzOpen opens states that bytes have damaged: an error, or a detector that judges a picture with finite numbers and saves what it opens; never a
// panic, nor a network larger than the state's own tensors.
func FuzzOpen(f *testing.F) {
	c := plain{reconstruct.DefaultSettings()}
	c.Base, c.Depth, c.Latent, c.Tile, c.Overlap, c.Epochs = 2, 2, 2, 16, 4, 1
	fitted, err := reconstruct.Fit(context.Background(), c, detecttest.Pictures(2), nil)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := fitted.State()
	if err != nil {
		f.Fatal(err)
	}
	var names []string
	for name := range whole.Tensors {
		names = append(names, name)
	}
	slices.Sort(names)
	f.Add([]byte{}, byte(0), byte(0), uint16(0), float32(0))
	for i := range names {
		f.Add([]byte{}, byte(i), byte(1), uint16(3), float32(math.NaN()))
		f.Add([]byte{}, byte(i), byte(1), uint16(0), float32(-1e30))
		f.Add([]byte{}, byte(i), byte(2), uint16(1), float32(1<<20))
		f.Add([]byte{}, byte(i), byte(3), uint16(0), float32(0))
	}
	f.Add([]byte(`{"depth":8,"base_channels":16,"latent_channels":4096,"tile":4096}`), byte(0), byte(0), uint16(0), float32(0))
	f.Add([]byte(whole.Config), byte(0), byte(4), uint16(5), float32(1))
	picture := ramp().Reshape(1, 3, 20, 24)
	f.Fuzz(func(t *testing.T, config []byte, which, how byte, at uint16, v float32) {
		s := detect.State{Config: whole.Config, Tensors: map[string]*tensor.Tensor{}}
		for name, x := range whole.Tensors {
			s.Tensors[name] = tensor.From(slices.Clone(x.Data), slices.Clone(x.Shape)...)
		}
		if len(config) > 0 {
			s.Config = json.RawMessage(config)
		}
		x := s.Tensors[names[int(which)%len(names)]]
		switch how % 5 {
		case 1: // a value
			x.Data[int(at)%len(x.Data)] = v
		case 2: // a length
			shape := slices.Clone(x.Shape)
			shape[int(at)%len(shape)] = int(math.Float32bits(v) % 32)
			s.Tensors[names[int(which)%len(names)]] = tensor.New(shape...)
		case 3: // nothing
			delete(s.Tensors, names[int(which)%len(names)])
		case 4: // another shape
			s.Tensors[names[int(which)%len(names)]] = tensor.New(int(at)%8, int(which)%8)
		}
		d, err := reconstruct.Open[plain]("plain", s)
		if err != nil {
			return
		}
		var c plain
		if err := json.Unmarshal(s.Config, &c); err != nil || c.Tile > 128 {
			return // tiles of 4096 pixels are allowed, and take their time
		}
		r, err := d.Score(context.Background(), picture, &detect.ScoreOptions{Workers: 1})
		if err != nil {
			return
		}
		for _, v := range append(slices.Clone(r[0].Map.Data), r[0].Score) {
			if v-v != 0 {
				t.Fatalf("a score or a value of its map is %v", v)
			}
		}
		again, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reconstruct.Open[plain]("plain", again); err != nil {
			t.Errorf("does not open what it saved: %v", err)
		}
	})
}

// ramp is a picture (3,20,24).
func ramp() *tensor.Tensor {
	p := tensor.New(3, 20, 24)
	for i := range p.Data {
		p.Data[i] = float32(i%37) / 37
	}
	return p
}
