package reconstruct

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/tensor"
)

func TestTilesCoverASideAndShareTheOverlap(t *testing.T) {
	for _, c := range []struct {
		n, tile, overlap int
		want             []int
	}{{64, 64, 16, []int{0}}, {10, 64, 16, []int{0}}, {65, 64, 16, []int{0, 1}}, {128, 64, 16, []int{0, 48, 64}}, {128, 64, 0, []int{0, 64}}} {
		if got := starts(c.n, c.tile, c.overlap); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestBlendedTilesAreThePicture(t *testing.T) {
	s := DefaultSettings()
	s.Tile, s.Overlap = 16, 4
	p := tensor.New(3, 11, 45) // lower than a tile, and wider
	for i := range p.Data {
		p.Data[i] = float32(math.Sin(float64(i)))
	}
	large := padded(p, s.Tile)
	b := newBlend(large.Shape[1], large.Shape[2], s)
	tile := make([]float32, 3*16*16)
	for _, at := range spots(large.Shape[1], large.Shape[2], s) {
		cut(tile, large, at, s.Tile)
		b.add(tile, at)
	}
	back := crop(b.picture(), 11, 45)
	for i, v := range p.Data {
		if math.Abs(float64(back.Data[i]-v)) > 1e-6 { // weights are added and divided by in float32
			t.Fatalf("value %d is %v, want %v", i, back.Data[i], v)
		}
	}
}

func TestErrorsAreOfThePixelsUnits(t *testing.T) {
	p, back := tensor.New(3, 16, 16), tensor.New(3, 16, 16)
	back.Data[2*256+5*16+6] = 3 // one channel, at (5,6)
	d := &Detector{settings: Settings{Loss: MSE}, units: units{0, 2, 4}}
	m := d.errors(p, back, 1)
	for i, v := range m.Data {
		want := float32(0)
		if i == 5*16+6 {
			want = 0.75 // (3/2)²/3
		}
		if v != want {
			t.Errorf("pixel %d: %v, want %v", i, v, want)
		}
	}
	d.settings.Loss = SSIM
	m = d.errors(p, p, 1)
	if slices.Max(m.Data) != 0 {
		t.Errorf("a picture differs from itself by %v", slices.Max(m.Data))
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Settings){
		"depth": func(s *Settings) { s.Depth = 9 }, "base_channels": func(s *Settings) { s.Base = 4096 }, "latent_channels": func(s *Settings) { s.Latent = 0 },
		"loss": func(s *Settings) { s.Loss = "l1" }, "optimizer": func(s *Settings) { s.Optimizer = "lion" }, "learning_rate": func(s *Settings) { s.LR = math.NaN() },
		"weight_decay": func(s *Settings) { s.WeightDecay = -1 }, "epochs": func(s *Settings) { s.Epochs = 0 }, "batch_size": func(s *Settings) { s.BatchSize = 0 },
		"tile": func(s *Settings) { s.Tile = 60 }, "overlap": func(s *Settings) { s.Overlap = 33 }, "sigma": func(s *Settings) { s.Sigma = math.Inf(1) },
		"score": func(s *Settings) { s.Score = "median" },
	} {
		s := DefaultSettings()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}
