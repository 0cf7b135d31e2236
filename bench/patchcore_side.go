package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone/weights"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/transform"
)

// patchCoreSide does what anomalib_patchcore.py does, and prints the same figures.
func patchCoreSide(raw string) error {
	var j job
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		return err
	}
	ctx := context.Background()
	set, err := dataset.Open(j.Dir, dataset.Options{})
	if err != nil {
		return err
	}
	opts := &blemish.Options{Workers: j.Threads}
	if j.Save != "" {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		opts.Weights = &weights.Store{Dir: dir}
		if err := opts.Weights.Import(ctx, j.Own, j.Save); err != nil {
			return err
		}
	}
	options, err := json.Marshal(map[string]any{"coreset_ratio": j.Coreset, "coreset_max": 0})
	if err != nil {
		return err
	}
	preprocess := transform.DefaultConfig()
	preprocess.Resize, preprocess.Size, preprocess.Height, preprocess.Width = transform.Exact, 0, j.Size, j.Size
	preprocess.Mean, preprocess.Std = j.Mean, j.Std
	train := set.Train[:min(j.Train, len(set.Train))]

	start := time.Now()
	model, err := blemish.Train(ctx, blemish.Files{Items: train}, nil, blemish.Config{
		MethodOptions: options, Backbone: j.Own, Layers: j.Tap, Preprocess: &preprocess, Seed: uint64(j.Seed),
		Calibration: blemish.CalibrationConfig{Strategy: blemish.NoCalibration},
	}, opts)
	if err != nil {
		return err
	}
	f := figures{Fit: time.Since(start).Seconds()}

	test := set.Test
	if j.Test > 0 {
		var some []dataset.Item
		for i := 0; i < len(test) && len(some) < j.Test; i += max(1, len(test)/j.Test) {
			some = append(some, test[i])
		}
		test = some
	}
	source := blemish.Files{Items: test}
	if j.Loop {
		start = time.Now()
		e, err := model.Evaluate(ctx, source, opts)
		if err != nil {
			return err
		}
		f.MsPerImage = 1e3 * time.Since(start).Seconds() / float64(len(test))
		f.ImageAUROC = *e.Image.AUROC
	} else if f.MsPerImage, f.ImageAUROC, err = oneByOne(ctx, model, source, opts); err != nil {
		return err
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	f.PeakMiB = float64(usage.Maxrss) / 1024
	if j.Pixels {
		e, err := model.Evaluate(ctx, source, opts)
		if err != nil {
			return err
		}
		f.PixelAUROC, f.AUPRO = *e.Pixel.AUROC, *e.Pixel.AUPRO
	}
	f.Patches = len(train) * (j.Size / 8) * (j.Size / 8)
	f.Coreset = int(j.Coreset * float64(f.Patches))
	out, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(out))
	return err
}

// oneByOne judges pictures as they come, and returns milliseconds a picture and image AUROC.
func oneByOne(ctx context.Context, model *blemish.Model, source blemish.Files, opts *blemish.Options) (ms, auroc float64, err error) {
	var scores []float64
	var labels []bool
	start := time.Now()
	for i := range source.Len() {
		p, err := source.Picture(ctx, i)
		if err != nil {
			return 0, 0, err
		}
		r, err := model.Score(ctx, p.Image, opts)
		if err != nil {
			return 0, 0, err
		}
		scores, labels = append(scores, r.Score), append(labels, p.Defective)
	}
	ms = 1e3 * time.Since(start).Seconds() / float64(source.Len())
	auroc, err = metric.AUROC(scores, labels)
	return ms, auroc, err
}
