package blemish_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/explain"
)

// Layers that learned are explained like frozen ones: at the last of them the map is the model's own, whichever part of the backbone learned.
func TestLearnedLayersAreExplained(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole network learns: minutes under the race detector")
	}
	p, err := labelled.Picture(context.Background(), 7) // scratched
	if err != nil {
		t.Fatal(err)
	}
	labels := blemish.Labels{Train: pieces{good: 6, bad: 6, broken: -1}, Valid: pieces{first: 50, good: 4, bad: 4, broken: -1}}
	for from, layers := range map[string][]string{
		"_blocks.14": {"_blocks.4", "_blocks.13", "_blocks.14"}, // before the cut, at it, and among what learned
		"all":        {"_blocks.4", "_blocks.14"},
	} {
		options, err := json.Marshal(map[string]any{"train_from": from, "epochs": 1, "warmup": 0, "views": 1, "flips": false, "batch_size": 6, "backbone_rate": 1, "map": explain.GradCAM})
		if err != nil {
			t.Fatal(err)
		}
		m, err := blemish.TrainClassifier(context.Background(), labels, blemish.ClassifierConfig{Preprocess: small(blemish.ClassifierMethod).Preprocess, Options: options}, nil)
		if err != nil {
			t.Fatal(err)
		}
		own, err := m.Score(context.Background(), p.Image, nil)
		if err != nil {
			t.Fatal(err)
		}
		last, err := m.Explainer("_blocks.15", explain.GradCAM, explain.LayerCAM)
		if err != nil {
			t.Fatal(err)
		}
		got, err := last.Explain(context.Background(), p.Image, nil)
		if err != nil {
			t.Fatal(err)
		}
		// the same layers run in the same order: only the compiled and the recorded convolutions may round differently
		highest := float64(slices.Max(own.Map.Data))
		for i, v := range got[0].Data {
			if math.Abs(float64(v-own.Map.Data[i])) > 1e-4*highest {
				t.Fatalf("%s: value %d is %v, the model's own %v", from, i, v, own.Map.Data[i])
			}
		}
		for _, layer := range layers {
			e, err := m.Explainer(layer, explain.Evidence)
			if err != nil {
				t.Fatal(err)
			}
			maps, err := e.Explain(context.Background(), p.Image, nil)
			if err != nil {
				t.Fatal(err)
			}
			if low, high := slices.Min(maps[0].Data), slices.Max(maps[0].Data); !(high > low) {
				t.Errorf("%s: the map at %s is flat: %v", from, layer, low)
			}
		}
	}
}
