package reconstruct

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/nn"
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
	for _, margin := range []int{0, 4, 16} { // 16: mirrored more than once
		s := DefaultSettings()
		s.Tile, s.Overlap, s.Margin = 16, 4, margin
		p := tensor.New(3, 11, 45) // lower than a tile, and wider
		for i := range p.Data {
			p.Data[i] = float32(math.Sin(float64(i)))
		}
		large := padded(p, s.Margin, s.Tile)
		b := newBlend(large.Shape[1], large.Shape[2], s)
		tile := make([]float32, 3*16*16)
		for _, at := range spots(large.Shape[1], large.Shape[2], s) {
			cut(tile, large, at, s.Tile)
			b.add(tile, at)
		}
		back := crop(b.picture(), s.Margin, 11, 45)
		for i, v := range p.Data {
			if math.Abs(float64(back.Data[i]-v)) > 1e-6 { // weights are added and divided by in float32
				t.Fatalf("margin %d: value %d is %v, want %v", margin, i, back.Data[i], v)
			}
		}
	}
}

// numpy.pad(x, m, "symmetric") of a row 0, 1, 2.
func TestPicturesAreMirroredOutwards(t *testing.T) {
	p := tensor.New(3, 1, 3)
	copy(p.Data, []float32{0, 1, 2})
	for _, c := range []struct {
		margin, tile int
		want         []float32
	}{
		{0, 3, []float32{0, 1, 2}},
		{2, 3, []float32{1, 0, 0, 1, 2, 2, 1}},
		{4, 3, []float32{2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0}},
		{0, 5, []float32{0, 1, 2, 2, 1}},
	} {
		large := padded(p, c.margin, c.tile)
		if got := large.Data[:large.Shape[2]]; !slices.Equal(got, c.want) {
			t.Errorf("margin %d, tile %d: %v, want %v", c.margin, c.tile, got, c.want)
		}
	}
}

func TestPicturesEnterByTheirLogarithm(t *testing.T) {
	s := DefaultSettings()
	s.Margin, s.Tile, s.LogOffset = 0, 1, 0.05
	p := tensor.New(3, 1, 4)
	copy(p.Data, []float32{0, 0.05, 0.35, -0.15})
	seen := s.enter(p)
	for i, want := range []float64{0, math.Ln2, 3 * math.Ln2, -2 * math.Ln2} { // log2 of 1, 2, 8, and 4 mirrored
		if got := float64(seen.Data[i]); math.Abs(got-want) > 1e-6 {
			t.Errorf("%v enters as %v, want %v", p.Data[i], got, want)
		}
	}
	s.leave(seen)
	for i, want := range p.Data {
		if got := seen.Data[i]; math.Abs(float64(got-want)) > 1e-7 {
			t.Errorf("%v comes back as %v", want, got)
		}
	}
	s.LogOffset = 0
	if got := s.enter(p); !slices.Equal(got.Data, p.Data) {
		t.Errorf("without an offset, %v enters as %v", p.Data, got.Data)
	}
}

// Means are torch.nn.functional.adaptive_avg_pool2d's.
func TestTypicalErrorsAreMeansOfCells(t *testing.T) {
	m := tensor.From([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 3, 4)
	for n, want := range map[int][]float64{1: {6.5}, 2: {3.5, 5.5, 7.5, 9.5}, 3: {1.5, 2.5, 3.5, 5.5, 6.5, 7.5, 9.5, 10.5, 11.5}} {
		sums := make([]float64, n*n)
		addCells(sums, m, n)
		if !slices.Equal(sums, want) {
			t.Errorf("%d cells a side: %v, want %v", n, sums, want)
		}
	}
	divide(m, tensor.From([]float32{2}, 1, 1))
	if m.Data[0] != 0.5 || m.Data[11] != 6 {
		t.Errorf("halved, the map is %v", m.Data)
	}
}

func TestSummaries(t *testing.T) {
	values := make([]float32, 200)
	for i := range values {
		values[(i*7)%200] = float32(i)
	}
	for how, want := range map[Summary]float32{Max: 199, Top: 197.5, Mean: 99.5} {
		if got := (Settings{Score: how}).summary(values); got != want {
			t.Errorf("%s is %v, want %v", how, got, want)
		}
	}
	if got := (Settings{Score: Top}).summary([]float32{1, 3, 2}); got != 3 {
		t.Errorf("the top of three is %v, want the highest", got)
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
		"schedule": func(s *Settings) { s.Schedule = "plateau" }, "margin": func(s *Settings) { s.Margin = 65 }, "log_offset": func(s *Settings) { s.LogOffset = -1 },
		"typical_cells": func(s *Settings) { s.Typical = 257 },
		"score":         func(s *Settings) { s.Score = "median" },
	} {
		s := DefaultSettings()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}

// plain is the smallest method: encoder and decoder.
type plain struct{ Settings }

type plainNet struct{ nn.Sequential }

func (c plain) Build(rng *rand.Rand) Network {
	return plainNet{append(c.Encoder(c.Latent, rng), c.Decoder(rng)...)}
}

func (n plainNet) Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var) {
	return n.Forward(t, x), nil
}

// given are pictures of one size.
type given []*tensor.Tensor

func (g given) Len() int { return len(g) }

func (g given) Samples(context.Context) iter.Seq2[detect.Sample, error] {
	return func(yield func(detect.Sample, error) bool) {
		for _, p := range g {
			if !yield(detect.Sample{Image: p}, nil) {
				return
			}
		}
	}
}

func small() plain {
	c := plain{DefaultSettings()}
	c.Base, c.Depth, c.Latent, c.Tile, c.Overlap, c.Margin, c.Typical = 2, 2, 2, 16, 0, 0, 0
	return c
}

func noise(n, h, w int) given {
	var g given
	for k := range n {
		p := tensor.New(3, h, w)
		for i := range p.Data {
			p.Data[i] = float32(0.5 + 0.25*detecttest.Noise(uint32(k), i))
		}
		g = append(g, p)
	}
	return g
}

// Four steps on the same tile, at the rates of torch.optim.lr_scheduler.CosineAnnealingLR(T_max=4): 1, 0.854, 0.5 and 0.146 of the first.
func TestTheRateFallsAlongACosine(t *testing.T) {
	c, pictures := small(), noise(1, 16, 16)
	c.Epochs, c.LR = 4, 0.01
	fitted, err := Fit(t.Context(), c, pictures, &detect.FitOptions{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 0x7265636f6e))
	net := c.Build(rng)
	seen := c.enter(pictures[0])
	learner, err := NewLearner(c.Settings, net, []*tensor.Tensor{seen}, rng, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, share := range []float64{1, 0.85355339, 0.5, 0.14644661} {
		learner.optimizer.Groups()[0].LR = c.LR * share
		if _, err := learner.Step(seen.Reshape(1, 3, 16, 16)); err != nil {
			t.Fatal(err)
		}
	}
	want := nn.State(net)
	for k, got := range nn.State(fitted.(*Detector).net) {
		for i, v := range got.Value.Data {
			if math.Abs(float64(v-want[k].Value.Data[i])) > 1e-6 {
				t.Fatalf("%s[%d] is %v, want %v", got.Name, i, v, want[k].Value.Data[i])
			}
		}
	}
}

// Where good pictures always come back worse, the map is divided by more: there, and in another picture of another size at the same place.
func TestMapsAreRelativeToTypicalErrors(t *testing.T) {
	c, pictures := small(), noise(4, 32, 32)
	for _, p := range pictures { // the upper half is smooth
		for i := range p.Data {
			if i%1024 < 512 {
				p.Data[i] = 0.5
			}
		}
	}
	c.Sigma, c.Epochs = 0, 20
	half := func(typical int) (upper, lower float64) {
		c.Typical = typical
		d, err := Fit(t.Context(), c, pictures, &detect.FitOptions{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		wide := tensor.New(1, 3, 32, 64)
		for i := range wide.Data {
			wide.Data[i] = 0.5
			if i%2048 >= 1024 {
				wide.Data[i] += float32(0.25 * detecttest.Noise(9, i))
			}
		}
		r, err := d.Score(t.Context(), wide, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range r[0].Map.Data {
			if i < 12*64 {
				upper += float64(v) / (12 * 64)
			} else if i >= 20*64 {
				lower += float64(v) / (12 * 64)
			}
		}
		return upper, lower
	}
	upper, lower := half(0)
	if lower < 5*upper {
		t.Fatalf("errors of %v in the smooth half and %v in the other: the test wants them to differ", upper, lower)
	}
	upper, lower = half(8)
	if !(lower > 0.7 && lower < 1.3) {
		t.Errorf("the noisy half's map is %v, want about 1: it is as always", lower)
	}
	if !(upper < 1.3) {
		t.Errorf("the smooth half's map is %v, want at most about 1", upper)
	}
}

// Zero padding makes tiles come back worst at their borders: with a margin, pictures' borders are inside tiles.
func TestAMarginSparesBorders(t *testing.T) {
	worse := func(margin int) float64 {
		c, pictures := small(), noise(1, 48, 48)
		c.Base, c.Latent, c.Tile, c.Overlap, c.Margin, c.Epochs, c.Sigma = 8, 4, 32, 8, margin, 200, 0
		for _, p := range pictures { // smooth enough to come back
			for i := range p.Data {
				y, x := i%2304/48, i%48
				p.Data[i] = float32(0.7 + 0.1*math.Sin(float64(x)/4) + 0.1*math.Sin(float64(y)/4))
			}
		}
		d, err := Fit(t.Context(), c, pictures, &detect.FitOptions{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Score(t.Context(), pictures[0].Reshape(1, 3, 48, 48), nil)
		if err != nil {
			t.Fatal(err)
		}
		var border, all float64
		for i, v := range r[0].Map.Data {
			y, x := i/48, i%48
			if min(y, x, 47-y, 47-x) == 0 {
				border += float64(v) / (4 * 47)
			}
			all += float64(v) / (48 * 48)
		}
		return border / all
	}
	without, with := worse(0), worse(8)
	t.Logf("border pixels are %.2f times as wrong as all without a margin, %.2f times with one", without, with)
	if !(with < 0.7*without) {
		t.Errorf("border pixels are %.2f times as wrong as all without a margin, %.2f times with one", without, with)
	}
}

// A file that knows nothing of schedule, margin, logarithm and typical errors was made when there were none.
func TestModelsFromBeforeScoreAsTheyDid(t *testing.T) {
	c, pictures := small(), noise(2, 32, 32)
	c.Epochs, c.Schedule, c.LogOffset = 2, Constant, 0
	d, err := Fit(t.Context(), c, pictures, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(s.Config, &config); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"schedule", "margin", "log_offset", "typical_cells"} {
		if _, ok := config[name]; !ok {
			t.Fatalf("no setting %q", name)
		}
		delete(config, name)
	}
	if s.Config, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	before, err := Open[plain]("plain", s)
	if err != nil {
		t.Fatal(err)
	}
	batch := pictures[0].Reshape(1, 3, 32, 32)
	want, err := d.Score(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := before.Score(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Score != want[0].Score || !slices.Equal(got[0].Map.Data, want[0].Map.Data) {
		t.Errorf("score %v, want %v", got[0].Score, want[0].Score)
	}
}

func TestOpenWantsTypicalErrors(t *testing.T) {
	c := small()
	c.Typical, c.Epochs = 2, 1
	d, err := Fit(t.Context(), c, noise(1, 16, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(detect.State){
		"missing": func(s detect.State) { delete(s.Tensors, typicalName) },
		"shape":   func(s detect.State) { s.Tensors[typicalName] = tensor.From([]float32{1, 1, 1, 1}, 4) },
		"zero":    func(s detect.State) { s.Tensors[typicalName].Data[3] = 0 },
		"infinite": func(s detect.State) {
			s.Tensors[typicalName] = tensor.From([]float32{1, 1, 1, float32(math.Inf(1))}, 2, 2)
		},
	} {
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open[plain]("plain", s); err != nil {
			t.Fatalf("before damage: %v", err)
		}
		s.Tensors[typicalName] = s.Tensors[typicalName].Clone()
		change(s)
		if _, err := Open[plain]("plain", s); err == nil || !strings.Contains(err.Error(), "typical") {
			t.Errorf("%s: want an error about typical errors, got %v", name, err)
		}
	}
}
