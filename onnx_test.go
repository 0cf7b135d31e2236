package blemish_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
)

// A model trained on an ONNX file scores the same where that file is gone, to the bit.
func TestModelOnImportedBackboneIsComplete(t *testing.T) {
	network := filepath.Join(t.TempDir(), "own.onnx")
	raw, err := os.ReadFile("infer/testdata/onnx/resnet-head.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(network, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	config := small("patchcore")
	config.Backbone, config.Layers = network, []string{"layer2", "layer3"}
	m := train(t, config, 2)
	spec, err := backbone.Find(network)
	if err != nil || spec.Name != "own.onnx" || m.Info().Backbone.Name != spec.Name {
		t.Fatalf("%v %q %q", err, spec.Name, m.Info().Backbone.Name)
	}
	path := filepath.Join(t.TempDir(), "model.blemish")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(network); err != nil {
		t.Fatal(err)
	}
	again, err := blemish.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := range labelled.Len() {
		p, err := labelled.Picture(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Score(ctx, p.Image, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := again.Score(ctx, p.Image, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Score != b.Score || !(a.Score > 0) {
			t.Errorf("picture %d scores %v, then %v", i, a.Score, b.Score)
		}
	}
}
