package blemish_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/detect/classifier"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/fault"
)

// trainClassifier is train for the method that needs labels.
func trainClassifier(t *testing.T, config blemish.Config, workers int) *blemish.Model {
	t.Helper()
	labels := blemish.Labels{Train: pieces{good: 12, bad: 12, broken: -1}, Valid: pieces{first: 50, good: 4, bad: 4, broken: -1}}
	c := blemish.ClassifierConfig{Preprocess: config.Preprocess, Seed: config.Seed, Options: json.RawMessage(`{"views": 2, "epochs": 8, "flips": false}`)}
	m, err := blemish.TrainClassifier(context.Background(), labels, c, &blemish.Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAClassifierSaysWhichClass(t *testing.T) {
	m := trainClassifier(t, small(blemish.ClassifierMethod), 2)
	e, err := m.Evaluate(context.Background(), labelled, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.Class == nil || len(e.Class.Confusion) != 2 {
		t.Fatalf("class figures: %+v", e.Class)
	}
	right, byClass := 0.0, map[string]float64{}
	for i, p := range e.Pictures {
		if (p.Class != "good") != p.Anomalous { // of two classes, the more probable one
			t.Errorf("picture %d: class %s, but anomalous is %v at %v", i, p.Class, p.Anomalous, p.Score)
		}
		if p.Class == p.Kind {
			right++
			byClass[p.Kind] += 0.2 // 5 of each
		}
	}
	if e.Class.Accuracy != right/10 || math.Abs(e.Class.BalancedAccuracy-(byClass["good"]+byClass["scratch"])/2) > 1e-12 || *e.Image.Accuracy != e.Class.Accuracy {
		t.Errorf("accuracy %v and %v, balanced %v; %v of 10 are right", e.Class.Accuracy, *e.Image.Accuracy, e.Class.BalancedAccuracy, right)
	}
	if info := m.Info(); info.Calibration.Image.Value != 0.5 || info.Calibration.Pixel == nil || info.Provenance.Pictures != 24 || info.Provenance.HeldOut != 8 {
		t.Errorf("%+v", info)
	}
}

func TestWhatAClassifierIsNotTrainedWith(t *testing.T) {
	var config *fault.ConfigError
	for what, c := range map[string]blemish.ClassifierConfig{
		"an unknown preset":         {Preset: "best"},
		"a threshold of 2":          {Threshold: 2},
		"layers for the vgg head":   {Preset: blemish.ChapterPreset, Layers: []string{"features.16"}},
		"an unknown layer to train": {Options: json.RawMessage(`{"train_from": "layer9"}`)},
		"a head nobody pretrained":  {Options: json.RawMessage(`{"head": "vgg", "train_last": 1}`)},
	} {
		if err := c.Validate(); !errors.As(err, &config) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := blemish.TrainClassifier(context.Background(), blemish.Labels{Train: good, Valid: good}, blemish.ClassifierConfig{}, nil); !errors.Is(err, classifier.ErrNeedsClasses) {
		t.Errorf("good pictures alone: %v", err)
	}
	if _, err := blemish.Train(context.Background(), good, nil, small(blemish.ClassifierMethod), nil); !errors.Is(err, classifier.ErrNeedsClasses) {
		t.Errorf("train without labels: %v", err)
	}
	if (blemish.ClassifierConfig{Preset: blemish.ChapterPreset}).Validate() != nil {
		t.Error("the chapter's preset is not valid")
	}
}

// Settings that others' defaults depend on are heeded, and those defaults fit them: a backbone that learns reads pictures at one, smaller size.
func TestDefaultsFollowWhatLearns(t *testing.T) {
	for options, size := range map[string]int{
		``:                                 448,
		`{"epochs": 5}`:                    448,
		`{"train_from": "_blocks.14"}`:     320,
		`{"train_from": "all"}`:            320,
		`{"head": "vgg", "train_last": 3}`: 320,
	} {
		c := blemish.ClassifierConfig{Options: json.RawMessage(options), Untrained: true}
		if err := c.Validate(); err != nil || c.Size() != size {
			t.Errorf("%s: %d pixels, want %d; %v", options, c.Size(), size, err)
		}
	}
}

// At the layer the head reads, evidence is the model's own map, but for its scale and offset; at earlier layers it is finer.
func TestExplainersShowWhatTheModelSaw(t *testing.T) {
	m := trainClassifier(t, small(blemish.ClassifierMethod), 1)
	p, err := labelled.Picture(context.Background(), 7) // scratched
	if err != nil {
		t.Fatal(err)
	}
	own, err := m.Score(context.Background(), p.Image, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range []string{"_blocks.15", "_blocks.10"} {
		for _, how := range explain.Methods() {
			e, err := m.Explainer(layer, how)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Explain(context.Background(), p.Image, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Shape[0] != p.Image.Height || got[0].Shape[1] != p.Image.Width {
				t.Fatalf("%s: map of %v for a picture of %dx%d", how, got[0].Shape, p.Image.Width, p.Image.Height)
			}
			if r := correlation(got[0].Data, own.Map.Data); layer == "_blocks.15" && how == explain.Evidence && r < 0.99999 {
				t.Errorf("evidence correlates by %v with the model's own map", r)
			}
		}
	}
	var config *fault.ConfigError
	if _, err := m.Explainer("_blocks.99", explain.GradCAM); !errors.As(err, &config) {
		t.Errorf("an unknown layer: %v", err)
	}
	if _, err := m.Explainer("_blocks.15", "x-ray"); !errors.As(err, &config) {
		t.Errorf("an unknown method: %v", err)
	}
	if _, err := train(t, small("padim"), 1).Explainer("_blocks.4", explain.GradCAM); err == nil {
		t.Error("PaDiM was explained")
	}
}

func correlation(a, b []float32) float64 {
	var sa, sb, aa, bb, ab float64
	n := float64(len(a))
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		sa, sb, aa, bb, ab = sa+x, sb+y, aa+x*x, bb+y*y, ab+x*y
	}
	return (ab - sa*sb/n) / math.Sqrt((aa-sa*sa/n)*(bb-sb*sb/n))
}
