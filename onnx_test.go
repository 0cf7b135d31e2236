package blemish_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
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

// A vision transformer is exported for one size: pictures of any shape are fitted into it, and another size is refused before any is read.
func TestImportedBackboneChoosesItsSize(t *testing.T) {
	config := small("patchcore")
	config.Backbone, config.Layers, config.Preprocess = "infer/testdata/onnx/vit.onnx", []string{"blocks.0"}, nil
	m := train(t, config, 2)
	if p := m.Info().Preprocess; p.Resize != transform.Letterbox || p.Height != 32 || p.Width != 32 {
		t.Errorf("pictures are prepared by %+v", p)
	}
	for _, p := range []transform.Config{{Resize: transform.Shorter, Size: 48}, {Resize: transform.Exact, Height: 32, Width: 48}} {
		p.Interpolation, p.Std = transform.Bilinear, [3]float32{1, 1, 1}
		config.Preprocess = &p
		_, err := blemish.Train(context.Background(), good, nil, config, nil)
		var wrong *fault.ConfigError
		if !errors.As(err, &wrong) || wrong.Field != "size" || !strings.Contains(err.Error(), "32x32") {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// Filters rounded to 16 bits take half the room, and are what is computed with from the start: a reopened model scores the same, to the bit.
func TestWeightsOf16Bits(t *testing.T) {
	picture, err := labelled.Picture(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	scores, sizes := map[checkpoint.DType]float64{}, map[checkpoint.DType]int64{}
	for _, kept := range []checkpoint.DType{"", checkpoint.F16, checkpoint.BF16} {
		config := small("patchcore")
		config.Backbone, config.Layers, config.WeightType = "infer/testdata/onnx/resnet-head.onnx", []string{"layer2"}, kept
		config.Calibration.Strategy = blemish.NoCalibration
		path := filepath.Join(t.TempDir(), "model.blemish")
		m := train(t, config, 2)
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		again, err := blemish.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Score(context.Background(), picture.Image, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := again.Score(context.Background(), picture.Image, nil)
		if err != nil || a.Score != b.Score {
			t.Errorf("%q: scores %v, reopened %v, %v", kept, a.Score, b.Score, err)
		}
		file, err := checkpoint.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range file.Names() {
			if info, _ := file.Info(name); strings.HasPrefix(name, "backbone/") && info.DType != checkpoint.U8 {
				sizes[kept] += int64(tensor.Volume(info.Shape) * map[checkpoint.DType]int{checkpoint.F32: 4, checkpoint.F16: 2, checkpoint.BF16: 2}[info.DType])
			}
		}
		file.Close()
		scores[kept] = a.Score
	}
	for kept, most := range map[checkpoint.DType]float64{checkpoint.F16: 0.005, checkpoint.BF16: 0.05} { // 11 and 8 bits of mantissa, through some ten layers
		if apart := math.Abs(scores[kept]/scores[""] - 1); !(apart > 0 && apart < most) {
			t.Errorf("%s: the score is %v, that of float32 %v", kept, scores[kept], scores[""])
		}
		if 10*sizes[kept] > 6*sizes[""] {
			t.Errorf("%s: %d bytes of weights, %d of float32", kept, sizes[kept], sizes[""])
		}
	}
	config := small("patchcore")
	config.WeightType = "F8"
	if err := config.Validate(); err == nil {
		t.Error("F8 is taken")
	}
}

// Methods that keep no frozen backbone say so, and which do; where there is nothing to round, that is said.
func TestWeightTypeIsRefusedWhereItMeansNothing(t *testing.T) {
	takes := map[string]bool{}
	for _, m := range blemish.Methods() {
		err := blemish.Config{Method: m.Name, WeightType: checkpoint.F16}.Validate()
		var wrong *fault.ConfigError
		switch takes[m.Name] = err == nil; {
		case err == nil:
		case !errors.As(err, &wrong) || wrong.Field != "weight type" || !strings.Contains(err.Error(), m.Name+" keeps no frozen backbone") ||
			!strings.Contains(err.Error(), "patchcore, padim, "):
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	for name, want := range map[string]bool{"patchcore": true, "padim": true, "knn": true, "autoencoder": false, "vae": false, "classifier": false} {
		if takes[name] != want {
			t.Errorf("%s takes a weight type: %v", name, takes[name])
		}
	}
	var notes []string
	config := small("patchcore")
	config.WeightType, config.Calibration.Strategy = checkpoint.BF16, blemish.NoCalibration
	for name, want := range map[string]int{"": 1, "infer/testdata/onnx/resnet-head.onnx": 0} { // the embedded one's filters are float16
		notes = nil
		config.Backbone = name
		if name != "" {
			config.Layers = []string{"layer2"}
		}
		if _, err := blemish.Train(context.Background(), good, nil, config, &blemish.Options{Warn: func(s string) { notes = append(notes, s) }}); err != nil {
			t.Fatal(err)
		}
		if len(notes) != want || want > 0 && !strings.Contains(notes[0], "BF16 changes nothing") {
			t.Errorf("%q: notes %q", name, notes)
		}
		config.Layers = nil
	}
}
