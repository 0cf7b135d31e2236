package blemish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/synth"
	"github.com/blemish/blemish/transform"
)

// pieces is a Source of rendered metal: good ones, then defective ones.
type pieces struct {
	first, good, bad int
	broken           int // this one cannot be read; -1 for none
}

// rendered remembers pieces by their spec: trainings read them again and again, and nobody changes them.
var rendered sync.Map

func (p pieces) Len() int { return p.good + p.bad }

func (p pieces) Picture(ctx context.Context, i int) (blemish.Picture, error) {
	if i == p.broken {
		return blemish.Picture{}, fmt.Errorf("piece %d is broken", i)
	}
	spec := synth.Spec{Surface: "brushed metal", Seed: 5, Index: p.first + i}
	out := blemish.Picture{Path: fmt.Sprint("piece ", i), Kind: "good"}
	if i >= p.good {
		spec.Defect, out.Kind, out.Defective = "scratch", "scratch", true
	}
	if known, ok := rendered.Load(spec); ok {
		piece := known.(blemish.Picture)
		out.Image, out.Mask = piece.Image, piece.Mask
		return out, nil
	}
	var err error
	if out.Image, out.Mask, err = synth.Render(spec); err == nil {
		rendered.Store(spec, out)
	}
	return out, err
}

var (
	good     = pieces{good: 12, broken: -1}
	labelled = pieces{first: 100, good: 5, bad: 5, broken: -1}
)

// small is a quick configuration: little pictures, a little bank.
func small(method string) blemish.Config {
	spec, err := backbone.Lookup(blemish.DefaultBackbone)
	if err != nil {
		panic(err)
	}
	p := blemish.DefaultPreprocess(spec)
	p.Size = 96
	c := blemish.Config{Method: method, Preprocess: &p, Calibration: blemish.CalibrationConfig{Folds: 2}}
	switch method {
	case "patchcore":
		c.MethodOptions = json.RawMessage(`{"coreset_ratio": 0.05}`)
	case "autoencoder", "vae":
		c.MethodOptions = json.RawMessage(`{"epochs": 1, "base_channels": 8}`)
	}
	return c
}

func train(t *testing.T, config blemish.Config, workers int) *blemish.Model {
	t.Helper()
	if config.Method == blemish.ClassifierMethod {
		return trainClassifier(t, config, workers)
	}
	m, err := blemish.Train(context.Background(), good, nil, config, &blemish.Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func eachMethod(t *testing.T, f func(t *testing.T, config blemish.Config)) {
	for _, m := range blemish.Methods() {
		if _, err := outlier.Lookup(m.Name); err == nil && !m.Pixels && m.Name != "mahalanobis" {
			continue // the classic detectors share one way into a model file; the suite of package detect/features holds each of them
		}
		if testing.Short() && m.Name != "patchcore" && m.Name != "padim" && m.Name != "mahalanobis" {
			continue // trained by gradient: minutes under the race detector, and raced in their own packages
		}
		t.Run(m.Name, func(t *testing.T) { f(t, small(m.Name)) })
	}
}

func TestTheSameTrainingGivesTheSameFile(t *testing.T) {
	eachMethod(t, func(t *testing.T, config blemish.Config) {
		var files [][]byte
		for _, workers := range []int{1, 3, 1} {
			path := filepath.Join(t.TempDir(), "model")
			if err := train(t, config, workers).Save(path); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, raw)
		}
		if !bytes.Equal(files[0], files[1]) || !bytes.Equal(files[0], files[2]) {
			t.Error("files of 1, 3 and again 1 workers differ")
		}
		config.Seed++
		path := filepath.Join(t.TempDir(), "model")
		if err := train(t, config, 1).Save(path); err != nil {
			t.Fatal(err)
		}
		if raw, _ := os.ReadFile(path); bytes.Equal(raw, files[0]) {
			t.Error("another seed gives the same file")
		}
	})
}

func TestASavedModelScoresTheSame(t *testing.T) {
	eachMethod(t, func(t *testing.T, config blemish.Config) {
		m := train(t, config, 2)
		path := filepath.Join(t.TempDir(), "model")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		opened, err := blemish.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := blemish.ReadInfo(path); err != nil || !reflect.DeepEqual(info, opened.Info()) {
			t.Errorf("the description alone is %+v, %v; the model's %+v", info, err, opened.Info())
		}
		next := 0
		for s, err := range opened.ScoreAll(context.Background(), labelled, &blemish.Options{Workers: 3}) {
			if err != nil || s.Err != nil {
				t.Fatal(err, s.Err)
			}
			p, _ := labelled.Picture(context.Background(), next)
			want, err := m.Score(context.Background(), p.Image, &blemish.Options{Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			got := s.Result
			if got.Score != want.Score || got.PValue != want.PValue || got.Anomalous != want.Anomalous ||
				!slices.Equal(got.Map.Data, want.Map.Data) || !slices.Equal(got.Regions, want.Regions) {
				t.Errorf("piece %d: opened %v, trained %v, or their maps or regions differ", next, got.Score, want.Score)
			}
			if !slices.Equal(got.Map.Shape, []int{p.Image.Height, p.Image.Width}) {
				t.Errorf("the map has shape %v", got.Map.Shape)
			}
			next++
		}
		again := filepath.Join(t.TempDir(), "again")
		if err := opened.Save(again); err != nil {
			t.Fatal(err)
		}
		a, _ := os.ReadFile(path)
		b, _ := os.ReadFile(again)
		if !bytes.Equal(a, b) {
			t.Error("a model saved again differs")
		}
	})
}

func TestEvaluation(t *testing.T) {
	m := train(t, small("patchcore"), 0)
	e, err := m.Evaluate(context.Background(), labelled, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.Images != 10 || *e.Image.AUROC < 0.9 || *e.Pixel.AUROC < 0.9 || *e.Pixel.AUPRO < 0.5 {
		t.Errorf("%d images, AUROC %v, pixel %v, AUPRO %v", e.Images, *e.Image.AUROC, *e.Pixel.AUROC, *e.Pixel.AUPRO)
	}
	if c := e.Counts; c.TP+c.FN != 5 || c.TN+c.FP != 5 {
		t.Errorf("counts %+v", c)
	}
	if *e.ByDefect["scratch"].Image.AUROC != *e.Image.AUROC || e.ByDefect["scratch"].Images != 5 {
		t.Errorf("by defect %+v", e.ByDefect)
	}
	onlyGood, err := m.Evaluate(context.Background(), good, nil)
	if err != nil || onlyGood.Image.AUROC != nil || onlyGood.Pixel.AUROC != nil || len(onlyGood.Notes) == 0 {
		t.Errorf("good pictures alone: %+v, %v", onlyGood, err)
	}
	if raw, err := json.Marshal(onlyGood); err != nil || !strings.Contains(string(raw), `"auroc":null`) {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestCalibrationChangesDecisionsAlone(t *testing.T) {
	m := train(t, small("patchcore"), 0)
	loose, err := m.Recalibrate(0.5, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := m.WithCalibration(loose)
	if !(loose.Image.Value < m.Info().Calibration.Image.Value) {
		t.Errorf("at rate 0.5 the threshold is %v, before %v", loose.Image.Value, m.Info().Calibration.Image.Value)
	}
	p, _ := labelled.Picture(context.Background(), 0)
	a, _ := m.Score(context.Background(), p.Image, nil)
	b, _ := other.Score(context.Background(), p.Image, nil)
	if a.Score != b.Score || a.PValue != b.PValue {
		t.Error("a threshold changed a score or a p-value")
	}
	var warned []string
	_, err = blemish.Train(context.Background(), good, nil, small("patchcore"), &blemish.Options{Warn: func(s string) { warned = append(warned, s) }})
	if err != nil || len(warned) != 1 || !strings.Contains(warned[0], "12 good scores cannot guarantee") {
		t.Errorf("12 pictures for a rate of 1 %%: %q, %v", warned, err)
	}
	if g := m.Info().Calibration.Image.GuaranteedRate; math.Abs(g-1./13) > 1e-12 {
		t.Errorf("the rate guaranteed is %v, want 1/13", g)
	}
	none := small("patchcore")
	none.Calibration.Strategy = blemish.NoCalibration
	r, err := train(t, none, 0).Score(context.Background(), p.Image, nil)
	if err != nil || !math.IsNaN(r.PValue) || r.Anomalous || r.Regions != nil {
		t.Errorf("an uncalibrated model decides: %+v, %v", r, err)
	}
}

func TestUnreadablePicturesAreRefusedOrLeftOut(t *testing.T) {
	damaged := good
	damaged.broken = 3
	_, err := blemish.Train(context.Background(), damaged, nil, small("patchcore"), nil)
	if err == nil || !strings.Contains(err.Error(), "piece 3 is broken") {
		t.Errorf("refusing: %v", err)
	}
	m, err := blemish.Train(context.Background(), damaged, nil, small("patchcore"), &blemish.Options{Bad: func(blemish.BadPicture) error { return nil }})
	if err != nil || m.Info().Provenance.Pictures != 11 {
		t.Errorf("leaving out: %v", err)
	}
	seen := 0
	for s, err := range m.ScoreAll(context.Background(), damaged, nil) {
		if err != nil || (s.Err != nil) != (seen == 3) {
			t.Errorf("piece %d: %v, %v", seen, err, s.Err)
		}
		seen++
	}
	if seen != damaged.Len() {
		t.Errorf("%d pieces scored", seen)
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for what, c := range map[string]blemish.Config{
		"method":                  {Method: "magic"},
		"coreset_ratio":           {MethodOptions: json.RawMessage(`{"coreset_ratio": 2}`)},
		"unknown field":           {MethodOptions: json.RawMessage(`{"corset": 1}`)},
		"backbone":                {Backbone: "resnet19"},
		"size":                    {Preprocess: &transform.Config{Resize: transform.Shorter}},
		"false alarm rate":        {Calibration: blemish.CalibrationConfig{FalseAlarmRate: 2}},
		"calibration strategy":    {Calibration: blemish.CalibrationConfig{Strategy: "guess"}},
		"efficientnet-lite0 has ": {Layers: []string{"layer2"}},
	} {
		_, err := blemish.Train(context.Background(), good, nil, c, nil)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := blemish.Train(context.Background(), pieces{broken: -1}, nil, small("padim"), nil); err == nil {
		t.Error("trained on nothing")
	}
}

func TestDamagedModelFilesAreErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	if err := train(t, small("padim"), 0).Save(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func(raw []byte) error {
		p := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(p, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := blemish.Open(p)
		return err
	}
	if err := open(whole); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 8, 100, 5000, len(whole) / 2, len(whole) - 1} {
		if err := open(whole[:n]); err == nil {
			t.Errorf("the first %d bytes are accepted", n)
		}
	}
	changed := slices.Clone(whole)
	at := bytes.Index(changed, []byte("efficientnet-lite0"))
	copy(changed[at:], "efficientnet-lite9")
	if err := open(changed); err == nil {
		t.Error("an unknown backbone is accepted")
	}
	var format *fault.FormatError
	if err := open([]byte("\x10\x00\x00\x00\x00\x00\x00\x00{}              ")); !errors.As(err, &format) {
		t.Errorf("safetensors without a model: %v", err)
	}
	// the backbone's weights come first: a flipped bit in them must not go unseen
	changed = slices.Clone(whole)
	header := int(changed[0]) | int(changed[1])<<8 | int(changed[2])<<16
	changed[8+header+1000] ^= 0x10
	if err := open(changed); err == nil {
		t.Error("a changed weight is accepted")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("\x10\x00\x00\x00\x00\x00\x00\x00{}              "))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := filepath.Join(t.TempDir(), "model")
		if err := os.WriteFile(p, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := blemish.Open(p); err == nil {
			t.Error("a model was made of nothing")
		}
	})
}
