package classifier

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// pictures is a Source of pictures in memory. Augmenting changes nothing, unless it is told to.
type pictures struct {
	samples []detect.Sample
	labels  []int
	augment Augment
}

func (p pictures) Len() int          { return len(p.labels) }
func (p pictures) Name(i int) string { return p.samples[i].Name }
func (p pictures) Load(_ context.Context, i int, rng *rand.Rand) (train.Sample, error) {
	x := p.samples[i].Image
	if rng != nil {
		x = p.augment.Apply(x, [3]float32{0.5, 0.5, 0.5}, [3]float32{1, 1, 1}, rng)
	}
	return train.Sample{Input: x, Label: p.labels[i]}, nil
}

// planted adds a copy with a bright square of each good picture; from 2 classes on, darker ones are the further kinds.
func planted(good []detect.Sample, kinds int) pictures {
	var p pictures
	for i, s := range good {
		p.samples, p.labels = append(p.samples, s), append(p.labels, 0)
		if len(s.Image.Shape) != 3 {
			continue
		}
		for kind := 1; kind <= kinds; kind++ {
			x := s.Image.Clone()
			h, w := x.Shape[1], x.Shape[2]
			top, left := (i*13+kind)%(h-16)+4, (i*29+kind)%(w-16)+4
			for c := range 3 {
				for y := range 8 {
					for k := range 8 {
						x.Data[(c*h+top+y)*w+left+k] += []float32{0, 1.5, -1.5}[kind]
					}
				}
			}
			p.samples = append(p.samples, detect.Sample{Name: fmt.Sprintf("%s with %d", s.Name, kind), Image: x})
			p.labels = append(p.labels, kind)
		}
	}
	return p
}

// small settings for pictures of 64 pixels and features of eight channels.
func small() Config {
	c := DefaultConfig()
	c.Scales, c.Views, c.Epochs, c.LR, c.BatchSize, c.StopAfter, c.Dropout = nil, 1, 100, 0.05, 16, 0, 0
	return c
}

// labelling makes a detect.Trainer of a classifier: from good pictures it plants defects of its own.
type labelling struct{ Config }

func (l labelling) Fit(ctx context.Context, source detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	var good []detect.Sample
	for s, err := range source.Samples(ctx) {
		if err != nil {
			return nil, err
		}
		good = append(good, s)
	}
	set := planted(good, 1)
	for shift := range 3 { // more places
		k := min(shift+1, len(good))
		more := planted(slices.Concat(good[k:], good[:k]), 1)
		set.samples, set.labels = append(set.samples, more.samples...), append(set.labels, more.labels...)
	}
	d, err := l.FitClasses(ctx, Data{Classes: []string{"good", "blot"}, Clean: "good", Train: set, Valid: set}, opts)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func TestConformance(t *testing.T) {
	detecttest.Run(t, detecttest.Method{Trainer: labelling{small()}, Open: Open})
}

func good(t *testing.T, n int) []detect.Sample {
	t.Helper()
	var out []detect.Sample
	for s, err := range detecttest.Pictures(n).Samples(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func TestKindsOfDefectAreToldApart(t *testing.T) {
	set := planted(good(t, 16), 2)
	data := Data{Classes: []string{"good", "bright", "dark"}, Clean: "good", Train: set, Valid: set}
	d, err := small().FitClasses(context.Background(), data, &detect.FitOptions{Extractor: detecttest.Extractor{}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	test := planted(good(t, 24)[16:], 2)
	right := 0
	for i, s := range test.samples {
		r, err := d.Score(context.Background(), s.Image.Reshape(append([]int{1}, s.Image.Shape...)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := float32(0)
		for _, p := range r[0].Classes {
			sum += p
		}
		if math.Abs(float64(sum)-1) > 1e-6 || math.Abs(float64(r[0].Score+r[0].Classes[0])-1) > 1e-6 {
			t.Errorf("%s: probabilities %v add up to %v, the score is %v", s.Name, r[0].Classes, sum, r[0].Score)
		}
		if highest(r[0].Classes) == test.labels[i] {
			right++
		}
	}
	if right < len(test.labels)-1 {
		t.Errorf("%d of %d right", right, len(test.labels))
	}
}

// With two classes the log-odds are the difference of the logits: the map of a linear head says where they come from.
func TestEvidenceAddsUpToTheLogOdds(t *testing.T) {
	set := planted(good(t, 8), 1)
	d, err := small().FitClasses(context.Background(), Data{Classes: []string{"good", "blot"}, Clean: "good", Train: set, Valid: set}, &detect.FitOptions{Extractor: detecttest.Extractor{}})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range set.samples {
		maps, err := detecttest.Extractor{}.Features(context.Background(), s.Image.Reshape(append([]int{1}, s.Image.Shape...)...), 1)
		if err != nil {
			t.Fatal(err)
		}
		logits, weights, bias := d.evidence(pool(maps).Data)
		sum := float64(bias)
		for _, m := range maps {
			cam := explain.CAM(m.Item(0), weights)
			for _, v := range cam.Data {
				sum += float64(v) / float64(len(cam.Data))
			}
			weights = weights[m.Shape[1]:]
		}
		// float32 sums of eight products that cancel in part
		if odds := float64(logits[1] - logits[0]); math.Abs(sum-odds) > 1e-4*(1+math.Abs(odds)) {
			t.Errorf("picture %d: the evidence is %v, the log-odds are %v", i, sum, odds)
		}
	}
}

func TestTemperatureMinimisesTheExpectedLoss(t *testing.T) {
	// log-odds of 4 for the first class, to which 8 of 10 belong. The next picture like the 8 does with probability 9/10, one like the 2 with
	// 1/4: calibrated are log-odds of log(p/(1-p)) for the mean p = (8·9/10 + 2·1/4)/10 = 0.77
	logits, labels := tensor.New(10, 2), make([]int, 10)
	for i := range 10 {
		logits.Data[2*i] = 4
		if i >= 8 {
			labels[i] = 1
		}
	}
	if got, want := temperature(logits, labels), 4/math.Log(0.77/0.23); math.Abs(got-want) > 1e-6 {
		t.Errorf("temperature %v, want %v", got, want)
	}
	// ten pictures of one class, all right: the next one is with probability 11/12, not certainly
	if got, want := temperature(logits, make([]int, 10)), 4/math.Log(11); math.Abs(got-want) > 1e-6 {
		t.Errorf("temperature of right verdicts alone %v, want %v", got, want)
	}
	// cross-entropy of 0.8 and 0.2
	if got, want := loss(logits, labels, 4/math.Log(4)), -0.8*math.Log(0.8)-0.2*math.Log(0.2); math.Abs(got-want) > 1e-9 {
		t.Errorf("loss %v, want %v", got, want)
	}
}

func TestClassWeightsAreScikitLearns(t *testing.T) {
	// compute_class_weight("balanced", classes=[0,1,2], y=[0,0,0,1,2,2]) of scikit-learn 1.9.1
	want := []float32{6. / 9, 2, 1}
	for k, w := range balanced([]int{0, 0, 0, 1, 2, 2}, 3) {
		if w != want[k] {
			t.Errorf("class %d weighs %v, want %v", k, w, want[k])
		}
	}
}

func TestAnInterruptedTrainingGoesOnToTheSameBits(t *testing.T) {
	set := planted(good(t, 8), 1)
	c := small()
	c.Epochs, c.Dropout, c.StopAfter = 6, 0.3, 3
	fit := func(ctx context.Context, file string, each func(detect.Progress)) (*Detector, error) {
		data := Data{Classes: []string{"good", "blot"}, Clean: "good", Train: set, Valid: set, Checkpoint: file, Resume: true}
		return c.FitClasses(ctx, data, &detect.FitOptions{Extractor: detecttest.Extractor{}, Seed: 5, Progress: each})
	}
	whole, err := fit(context.Background(), t.TempDir()+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	file := t.TempDir() + "/b"
	_, err = fit(ctx, file, func(p detect.Progress) {
		if p.Stage == "epoch" && p.Done == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	resumed, err := fit(context.Background(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := whole.State()
	b, _ := resumed.State()
	if string(a.Config) != string(b.Config) {
		t.Errorf("configurations differ:\n%s\n%s", a.Config, b.Config)
	}
	for name, x := range a.Tensors {
		if !slices.Equal(x.Data, b.Tensors[name].Data) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestALossThatIsNoNumberStopsAndKeepsTheCheckpoint(t *testing.T) {
	set := planted(good(t, 8), 1)
	c := small()
	c.Optimizer, c.LR, c.Decay, c.Schedule, c.StopAfter, c.BatchSize = SGD, 900, 900, Constant, 0, 4 // each step multiplies the weights by -810000
	file := t.TempDir() + "/checkpoint"
	_, err := c.FitClasses(context.Background(), Data{Classes: []string{"good", "blot"}, Clean: "good", Train: set, Valid: set, Checkpoint: file},
		&detect.FitOptions{Extractor: detecttest.Extractor{}})
	var bad *autograd.NonFiniteError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	for _, w := range []string{"epoch 2, step 4", "learning rate", file} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not mention %q", err, w)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeLearnedFrom(t *testing.T) {
	set := planted(good(t, 4), 1)
	e := &detect.FitOptions{Extractor: detecttest.Extractor{}}
	ctx := context.Background()
	ok := Data{Classes: []string{"good", "blot"}, Clean: "good", Train: set, Valid: set}
	for what, change := range map[string]func(*Config, *Data){
		"no validation pictures": func(_ *Config, d *Data) { d.Valid = nil },
		"an unknown clean class": func(_ *Config, d *Data) { d.Clean = "fine" },
		"a label without class":  func(_ *Config, d *Data) { d.Classes, d.Train = []string{"good", "blot"}, planted(good(t, 4), 2) },
		"no head":                func(c *Config, _ *Data) { c.Head = "" },
		"no learning":            func(c *Config, _ *Data) { c.LR = 0 },
		"a head for one layer":   func(c *Config, _ *Data) { c.Head = VGG },
	} {
		c, d := small(), ok
		change(&c, &d)
		if _, err := c.FitClasses(ctx, d, e); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	one := ok
	one.Classes = []string{"good"}
	if _, err := small().FitClasses(ctx, one, e); !errors.Is(err, ErrNeedsClasses) {
		t.Errorf("one class: %v", err)
	}
	if _, err := small().Fit(ctx, detecttest.Pictures(3), e); !errors.Is(err, ErrNeedsClasses) {
		t.Errorf("no labels: %v", err)
	}
	var config *fault.ConfigError
	c := small()
	c.Network, c.TrainFrom = "resnet18", "layer9"
	if _, err := c.FitClasses(ctx, ok, e); err == nil || errors.As(err, &config) && config.Field == "" {
		t.Errorf("an unknown layer: %v", err)
	}
}
