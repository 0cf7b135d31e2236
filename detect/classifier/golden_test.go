package classifier

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// run is a training in PyTorch, by testdata/gen/runs.py.
type run struct {
	History     []Epoch
	Losses      []float64
	BestEpoch   int `json:"best_epoch"`
	Temperature float64
}

func runs(t *testing.T) map[string]run {
	t.Helper()
	raw, err := os.ReadFile("testdata/runs.json")
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]run
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// filled is the script's noise times a factor.
func filled(pattern uint32, factor float64, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		t.Data[i] = float32(detecttest.Noise(pattern, i) * factor)
	}
	return t
}

// narrow is the script's VGG-16 with a sixteenth of the channels.
type narrow struct{ *infer.Network }

func (n narrow) Taps() []detect.Tap {
	return []detect.Tap{{Name: "features.30", Channels: 32, Stride: 32}}
}
func (n narrow) Features(ctx context.Context, x *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	return n.Run(ctx, x, workers)
}

func narrowVGG(t *testing.T) narrow {
	t.Helper()
	g, x := infer.NewGraph(3)
	weights := map[string]*tensor.Tensor{}
	for _, stage := range [][2]int{{2, 4}, {2, 8}, {3, 16}, {3, 32}, {3, 32}} {
		for range stage[0] {
			k, in := len(weights)/2, g.Channels(x)
			name := fmt.Sprint("conv", k)
			weights[name+".weight"] = filled(uint32(1000+k), math.Sqrt(6/float64(in*9)), stage[1], in, 3, 3)
			weights[name+".bias"] = filled(uint32(2000+k), 0.1, stage[1])
			x = g.ReLU(g.Conv(x, infer.Conv{Name: name, Out: stage[1], Kernel: 3, Pad: 1, Bias: infer.WithBias}))
		}
		x = g.MaxPool(x, infer.Pool{Kernel: 2, Stride: 2})
	}
	g.Tap("features.30", x)
	n, err := infer.Compile(g, func(name string) (*tensor.Tensor, error) { return weights[name], nil }, []string{"features.30"})
	if err != nil {
		t.Fatal(err)
	}
	return narrow{n}
}

// given is a Source of pictures by number, of which the odd ones are of the second class; cropped at random from 70 to 64 pixels.
type given struct {
	first, n int
	picture  func(i int) *tensor.Tensor
}

func (g given) Len() int          { return g.n }
func (g given) Name(i int) string { return fmt.Sprint("given ", g.first+i) }
func (g given) Load(_ context.Context, i int, rng *rand.Rand) (train.Sample, error) {
	if rng == nil {
		rng = middle()
	}
	x, err := Crop(g.picture(g.first+i), 64, 64, rng)
	return train.Sample{Input: x, Label: (g.first + i) % 2}, err
}

// three draws 3 of 0..6 every time: the centre crop.
type three struct{}

func (three) Uint64() uint64 { return math.MaxUint64 / 2 }

func middle() *rand.Rand { return rand.New(three{}) }

// remembered pictures are drawn once.
func remembered(draw func(i int) *tensor.Tensor) func(i int) *tensor.Tensor {
	var drawn sync.Map
	return func(i int) *tensor.Tensor {
		x, ok := drawn.Load(i)
		if !ok {
			x, _ = drawn.LoadOrStore(i, draw(i))
		}
		return x.(*tensor.Tensor)
	}
}

// noisy is the script's picture i.
func noisy(i int) *tensor.Tensor {
	x := filled(uint32(i), 1, 3, 70, 70)
	if i%2 == 0 {
		return x
	}
	out := tensor.New(3, 70, 70)
	for k := range x.Data {
		row, at := k/70*70, k%70
		sum := 0.0
		for shift := range 3 {
			sum += detecttest.Noise(uint32(i), row+(at-shift+70)%70)
		}
		out.Data[k] = float32(sum*1.2 + 0.8)
	}
	return out
}

// near compares histories: figures within a relative tolerance, accuracies exactly.
func near(t *testing.T, got, want []Epoch, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d epochs, want %d", len(got), len(want))
	}
	worst := 0.0
	for i, g := range got {
		w := want[i]
		for _, pair := range [][2]float64{{g.Loss, w.Loss}, {g.ValidLoss, w.ValidLoss}, {g.LR, w.LR}} {
			d := math.Abs(pair[0]-pair[1]) / math.Abs(pair[1])
			if worst = max(worst, d); !(d <= tolerance) {
				t.Errorf("epoch %d: %v, PyTorch's %v", i+1, pair[0], pair[1])
			}
		}
		if g.Train != w.Train || g.Valid != w.Valid {
			t.Errorf("epoch %d: accuracies %v and %v, PyTorch's %v and %v", i+1, g.Train, g.Valid, w.Train, w.Valid)
		}
	}
	t.Logf("%d epochs, at most %.2g from PyTorch's, accuracies equal", len(got), worst)
}

// Five epochs of the chapter's preset from PyTorch's weights, batch orders, crops and dropout masks.
func TestTheChaptersTrainingIsPyTorchs(t *testing.T) {
	net, noisy := narrowVGG(t), remembered(noisy)
	for name, change := range map[string]func(*Config){
		"all three": func(*Config) {},
		"the last":  func(c *Config) { c.TrainLast = 1 },
		"plateau":   func(c *Config) { c.Patience = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			c := Chapter()
			c.Width, c.BatchSize, c.ValidBatch = 64, 16, 50
			change(&c)
			pretrained := map[string]*tensor.Tensor{
				"classifier.0.weight": filled(3000, math.Sqrt(6./(32*49)), 64, 32*49), "classifier.0.bias": filled(4000, 0.1, 64),
				"classifier.3.weight": filled(3001, math.Sqrt(6./64), 64, 64), "classifier.3.bias": filled(4001, 0.1, 64),
			}
			var lines []string
			d, err := c.FitClasses(context.Background(), Data{
				Classes: []string{"clean", "anomaly"}, Clean: "clean", Train: given{0, 50, noisy}, Valid: given{500, 20, noisy},
				Weights: func(name string) (*tensor.Tensor, error) { return pretrained[name], nil },
				Log:     func(line string) { lines = append(lines, line) }, LogEvery: 1,
			}, &detect.FitOptions{Extractor: net, Seed: 245})
			if err != nil {
				t.Fatal(err)
			}
			want := runs(t)[name]
			near(t, d.Fitted().History, want.History, 1e-5) // both round in float32, each in its own order; 2e-7 were measured
			e := want.History[4]
			for i, expected := range []string{
				fmt.Sprintf("Epoch: 001/005 | Batch 0000/0003 | Loss: %.4f", want.Losses[0]),
				fmt.Sprintf("Epoch: 001/005 | Batch 0002/0003 | Loss: %.4f", want.Losses[2]),
				fmt.Sprintf("Epoch: 005/005 | Train: %.2f%% | Validation: %.2f%%", 100*e.Train, 100*e.Valid),
				"Time elapsed: 0.0",
			} {
				if !strings.Contains(strings.Join(lines, "\n"), expected) {
					t.Errorf("log %q lacks line %d: %s", lines, i, expected)
				}
			}
		})
	}
}

// vectors stand for pictures whose pooled features they are: three classes, unbalanced.
type vectors struct{ first, n int }

func (v vectors) Len() int          { return v.n }
func (v vectors) Name(i int) string { return fmt.Sprint("vector ", i) }
func (v vectors) Load(_ context.Context, i int, _ *rand.Rand) (train.Sample, error) {
	label := 0
	if i%2 == 0 {
		label = 1 + i/2%2
	}
	x := tensor.New(3, 1, 2)
	for k := range x.Data {
		value := detecttest.Noise(uint32(v.first+i), k)
		if k == label {
			value += 1.2
		}
		if k == 5 {
			value *= 40
		}
		x.Data[k] = float32(value)
	}
	return train.Sample{Input: x, Label: label}, nil
}

// six takes a picture of six values for six channels.
type six struct{}

func (six) Taps() []detect.Tap { return []detect.Tap{{Name: "six", Channels: 6, Stride: 1}} }
func (six) Features(_ context.Context, x *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	return []*tensor.Tensor{x.Reshape(x.Shape[0], 6, 1, 1)}, nil
}

func TestTheDefaultTrainingIsPyTorchs(t *testing.T) {
	c := DefaultConfig()
	c.Epochs, c.BatchSize, c.LR, c.StopAfter, c.Views, c.Flips, c.Dropout = 30, 16, 0.05, 5, 1, false, 0.2
	c.Scales, c.Smoothing, c.Decay, c.Warmup = nil, 0.1, 0.05, 3
	d, err := c.FitClasses(context.Background(), Data{
		Classes: []string{"good", "scratch", "stain"}, Clean: "good", Train: vectors{0, 60}, Valid: vectors{500, 24},
	}, &detect.FitOptions{Extractor: six{}, Seed: 245})
	if err != nil {
		t.Fatal(err)
	}
	want := runs(t)["default"]
	near(t, d.Fitted().History, want.History, 1e-5)
	if f := d.Fitted(); f.Best != want.BestEpoch || math.Abs(f.Temperature-want.Temperature) > 1e-4*want.Temperature {
		t.Errorf("best epoch %d, temperature %v; PyTorch's %d and %v", f.Best, f.Temperature, want.BestEpoch, want.Temperature)
	}
}
