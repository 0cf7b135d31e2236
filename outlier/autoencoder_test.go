package outlier

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/blemish/blemish/internal/race"
	"github.com/blemish/blemish/nn"
)

// digitRows are the digits (3823, 65), scaled as the study scales them.
func digitRows(t *testing.T) Matrix {
	t.Helper()
	dir := os.Getenv("BLEMISH_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "data", "digits", "optdigits.tra"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: set BLEMISH_SHARED", err)
		}
		t.Skipf("%v: set BLEMISH_SHARED", err)
	}
	var x Matrix
	for line := range strings.Lines(string(raw)) {
		for _, field := range strings.Split(strings.TrimSpace(line), ",") {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			x.Data = append(x.Data, v)
		}
		x.Rows++
	}
	x.Cols = len(x.Data) / x.Rows
	scaled, err := ChapterRows(x)
	if err != nil {
		t.Fatal(err)
	}
	return scaled
}

// number is the integer hash of testdata/gen/autoencoder.py.
func number(stream, counter int) int {
	z := uint64(stream)<<32 + uint64(counter) + 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) >> 40)
}

// TestAutoencoderLearnsAsPyTorchDoes gives the configuration PyTorch's start and batch order. Both compute in float32: their rounding differs,
// and 76,600 steps carry it along. Plain descent was 1e-8 from each epoch's loss; Adam, which divides by roots of tiny squares and so
// amplifies rounding, 1.6e-4. They are held to some ten times that.
func TestAutoencoderLearnsAsPyTorchDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("91,920 steps")
	}
	raw, err := os.ReadFile("testdata/autoencoder.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]struct {
		Losses    []float64
		Mean, MSE float64
		Worst     int
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	x := digitRows(t)
	for _, c := range []struct {
		optimizer string
		epochs    int
		tolerance float64
	}{{"sgd", 200, 1e-7}, {"adam", 40, 2e-3}} {
		t.Run(c.optimizer, func(t *testing.T) {
			t.Parallel()
			config, want := Chapter(), golden[c.optimizer]
			config.Optimizer, config.Epochs = c.optimizer, c.epochs
			most, epochs := 0.0, 0
			config.EpochEnd = func(e int, loss float64) {
				epochs++
				d := math.Abs(loss-want.Losses[e]) / want.Losses[e]
				most = max(most, d)
				if !(d <= c.tolerance) {
					t.Errorf("epoch %d: loss %.8f, PyTorch's is %.8f", e, loss, want.Losses[e])
				}
			}
			a, err := config.begin(x, rand.New(rand.NewPCG(0, 0)))
			if err != nil {
				t.Fatal(err)
			}
			a.hashed()
			if err := a.learn(t.Context(), x, nil, hashedOrders(x.Rows)); err != nil {
				t.Fatal(err)
			}
			if epochs != c.epochs || epochs != len(want.Losses) {
				t.Errorf("%d epochs, want %d", epochs, len(want.Losses))
			}
			scores, err := a.Score(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			mse := slices.Max(scores)
			worst, mean := slices.Index(scores, mse), 0.0
			for _, s := range scores {
				mean += s / float64(len(scores))
			}
			t.Logf("losses at most %.2g from PyTorch's; worst %d, MSE %.6f (PyTorch %d, %.6f), mean %.6f (%.6f)", most, worst, mse, want.Worst, want.MSE, mean, want.Mean)
			if c.optimizer == "sgd" && (worst != want.Worst || math.Abs(mse-want.MSE) > 1e-6*mse || math.Abs(mean-want.Mean) > 1e-6*mean) {
				t.Errorf("worst %d, MSE %v, mean %v; want %+v", worst, mse, mean, want)
			}
		})
	}
}

// TestSmallAutoencodersLearnAsThePeersDo takes every data set: Adam carries the rounding of float32 along for up to 120 steps. 2e-6 was
// seen, and ten times that is allowed.
func TestSmallAutoencodersLearnAsThePeersDo(t *testing.T) {
	var cases []struct {
		Set           string
		Losses, Score []float64
		Threshold     float64
	}
	readGolden(t, "autoencoder_sets", &cases)
	sets := goldenSets(t)
	const tolerance = 2e-5
	for _, c := range cases {
		t.Run(c.Set, func(t *testing.T) {
			x, s := sets[c.Set].x, subject{"autoencoder", c.Set}
			config := DefaultAutoencoder()
			config.Layers, config.Activation, config.LR, config.BatchSize, config.Epochs = []int{x.Cols, 4, 2, 4, x.Cols}, "tanh", 0.01, 16, 12
			var losses []float64
			config.EpochEnd = func(_ int, loss float64) { losses = append(losses, loss) }
			a, err := config.begin(x, rand.New(rand.NewPCG(0, 0)))
			if err != nil {
				t.Fatal(err)
			}
			a.hashed()
			if err := a.learn(t.Context(), x, nil, hashedOrders(x.Rows)); err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "losses", losses, c.Losses, 1e-3*c.Losses[0], tolerance)
			scores, err := a.Score(t.Context(), sets[c.Set].queries)
			if err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "score", scores, c.Score, 1e-3*greatest(c.Score), tolerance)
			if scores, err = a.Score(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "threshold", []float64{quantile(scores, 1-config.Contamination)}, []float64{c.Threshold}, 1e-3*greatest(c.Score), tolerance)
		})
	}
}

// hashed sets weights to those of testdata/gen/autoencoder.py.
func (a *Autoencoder) hashed() {
	for stream, p := range nn.State(a.net) {
		bound := 1 / math.Sqrt(float64(a.config.Layers[stream/2]))
		for k := range p.Value.Data {
			p.Value.Data[k] = float32((2*float64(number(stream, k))/(1<<24) - 1) * bound)
		}
	}
}

// clusters are rows near two lines in 6 dimensions, the last of them far from both.
func clusters(n int) Matrix {
	rng := rand.New(rand.NewPCG(4, 4))
	x := NewMatrix(n, 6)
	for i := range n {
		u := rng.NormFloat64()
		for j := range 6 {
			x.Row(i)[j] = 100*u*float64(j-2) + rng.NormFloat64() + 1000
		}
	}
	copy(x.Row(n-1), []float64{1100, 900, 1100, 900, 1100, 900})
	return x
}

func quick() AutoencoderConfig {
	c := DefaultAutoencoder()
	c.Layers, c.Epochs, c.Activation, c.LR = []int{6, 4, 1, 4, 6}, 30, "tanh", 0.01
	return c
}

func TestAutoencoderFindsWhatDoesNotFit(t *testing.T) {
	x := clusters(203) // with a last batch that is smaller
	for _, c := range activations {
		if c.layer == nil {
			continue
		}
		config := quick()
		config.Activation = c.name
		d, err := config.Fit(t.Context(), x, nil)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := d.Score(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if worst := slices.Index(scores, slices.Max(scores)); worst != x.Rows-1 {
			t.Errorf("%s: row %d is worst, not the last", c.name, worst)
		}
		above := 0
		for _, s := range scores {
			if s > d.Threshold() {
				above++
			}
		}
		if above < 20 || above > 21 { // 10 % of 203
			t.Errorf("%s: %d rows above the threshold", c.name, above)
		}
	}
}

func TestAutoencoderIsTheSameForAnyWorkersAndAfterOpening(t *testing.T) {
	x := clusters(203)
	var first State
	var want []float64
	for _, workers := range []int{1, 3, 8} {
		d, err := quick().Fit(t.Context(), x, &Options{Seed: 5, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		opened, err := openAutoencoder(s)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := opened.Score(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			if want, err = d.Score(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			first = s
		}
		a, _ := json.Marshal(first)
		b, _ := json.Marshal(s)
		if !bytes.Equal(a, b) || !slices.Equal(scores, want) {
			t.Errorf("%d workers: another detector", workers)
		}
		one, err := opened.Score(t.Context(), Matrix{1, 6, x.Row(77)})
		if err != nil || one[0] != want[77] {
			t.Errorf("row 77 by itself scores %v, not %v (%v)", one, want[77], err)
		}
	}
	other, err := quick().Fit(t.Context(), x, &Options{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := other.Score(t.Context(), x); slices.Equal(s, want) {
		t.Error("the seed changes nothing")
	}
}

func TestAutoencoderReconstructsInTheRowsOwnUnits(t *testing.T) {
	x := clusters(203)
	d, err := quick().Fit(t.Context(), x, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := d.(*Autoencoder)
	back, err := a.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := a.Score(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.Rows {
		sum := 0.0
		for j, v := range back.Row(i) {
			e := (v - x.Row(i)[j]) / a.scale[j]
			sum += e * e / 6
		}
		if math.Abs(sum-scores[i]) > 1e-5*(1+sum) { // float32 inside
			t.Fatalf("row %d: error %v of the reconstruction, score %v", i, sum, scores[i])
		}
	}
}

func TestAutoencoderRefuses(t *testing.T) {
	x := clusters(20)
	for want, change := range map[string]func(*AutoencoderConfig){
		"layers = [6 3 5]": func(c *AutoencoderConfig) { c.Layers = []int{6, 3, 5} },
		"as layers begin":  func(c *AutoencoderConfig) { c.Layers = []int{5, 3, 5} },
		"activation = swi": func(c *AutoencoderConfig) { c.Activation = "swi" },
		"output = swi":     func(c *AutoencoderConfig) { c.Output = "swi" },
		"optimizer = lion": func(c *AutoencoderConfig) { c.Optimizer = "lion" },
		"lr = 0":           func(c *AutoencoderConfig) { c.LR = 0 },
		"momentum = 0.9":   func(c *AutoencoderConfig) { c.Momentum = 0.9 },
		"batch_size = 0":   func(c *AutoencoderConfig) { c.BatchSize = 0 },
		"epochs = 0":       func(c *AutoencoderConfig) { c.Epochs = 0 },
		"scale = log":      func(c *AutoencoderConfig) { c.Scale = "log" },
		"contamination":    func(c *AutoencoderConfig) { c.Contamination = 0.6 },
		"scale minmax":     func(c *AutoencoderConfig) { c.Output = "sigmoid" },
		"not finite":       func(c *AutoencoderConfig) { c.Optimizer, c.LR, c.Scale = "sgd", 1e30, "none" },
	} {
		c := quick()
		change(&c)
		if _, err := c.Fit(t.Context(), x, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := quick().Fit(ctx, x, nil); err == nil {
		t.Error("a cancelled fit went on")
	}
}

func TestAutoencoderOpensNothingDamaged(t *testing.T) {
	d, err := quick().Fit(t.Context(), clusters(20), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(*State){
		"config":  func(s *State) { s.Config = json.RawMessage(`{"layers":[1e9]`) },
		"layers":  func(s *State) { s.Config = json.RawMessage(`{}`) },
		"missing": func(s *State) { delete(s.Arrays, "2.weight") },
		"extra":   func(s *State) { s.Arrays["more"] = Array{[]int{1}, []float64{1}} },
		"shape":   func(s *State) { s.Arrays["2.bias"] = Array{[]int{2}, []float64{1, 2}} },
		"NaN":     func(s *State) { s.Arrays["2.bias"].Data[0] = math.NaN() },
		"scale":   func(s *State) { s.Arrays["scale"].Data[0] = 0 },
	} {
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		damage(&s)
		if _, err := openAutoencoder(s); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestAutoencoderStepsAllocateNothing(t *testing.T) {
	x := clusters(2003)
	config := quick()
	config.Epochs = 1
	few := testing.AllocsPerRun(1, func() { config.Fit(t.Context(), x, &Options{Workers: 1}) })
	config.Epochs = 11
	many := testing.AllocsPerRun(1, func() { config.Fit(t.Context(), x, &Options{Workers: 1}) })
	if perStep := (many - few) / 10 / 63; perStep > 0.5 && !race.Enabled { // what an epoch costs, spread over its 63 steps
		t.Errorf("%.2f allocations a step", perStep)
	}
}

func TestChapterRefusesOtherTables(t *testing.T) {
	if _, err := ChapterRows(NewMatrix(3, 64)); err == nil {
		t.Error("64 columns")
	}
	x := NewMatrix(3, 65)
	x.Row(1)[64] = 10
	if _, err := ChapterRows(x); err == nil || !strings.Contains(err.Error(), "row 1, column 64") {
		t.Errorf("a digit of 10: %v", err)
	}
}

func BenchmarkAutoencoderEpoch(b *testing.B) {
	x := NewMatrix(3823, 65)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x.Data {
		x.Data[i] = rng.Float64()
	}
	config := Chapter()
	config.Epochs = 1
	for b.Loop() {
		if _, err := config.Fit(b.Context(), x, nil); err != nil {
			b.Fatal(err)
		}
	}
}
