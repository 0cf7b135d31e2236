package blemish

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/blemish/blemish/calibrate"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/tensor"
)

// Model is all that is needed to judge a picture: preprocessing, backbone, fitted detector and calibration, with a
// record of where they come from. It is immutable and safe for concurrent use.
type Model struct {
	info     Info
	weights  []checkpoint.Entry // the backbone's, as they go into the model file
	extract  detect.Extractor   // nil where the method has no backbone
	detector detect.Detector
}

// Info describes a model.
func (m *Model) Info() Info { return m.info }

// Result is the judgement of one picture.
type Result struct {
	Path      string
	Score     float64         // raw; higher is more anomalous
	PValue    float64         // share of good pictures expected to score at least this much; NaN where uncalibrated
	Anomalous bool            // Score is above the model's threshold
	Map       *tensor.Tensor  // (H,W) raw anomaly map at the picture's own size
	Regions   []metric.Region // where Map is above the pixel threshold, in the picture's own pixels
	Elapsed   time.Duration   // from decoded picture to result

	Class         string    // a classifier's verdict, the most probable class; "" for other methods
	Probabilities []float32 // of its classes, by label
}

// Score judges one picture with all of the workers.
func (m *Model) Score(ctx context.Context, picture *imageio.Picture, opts *Options) (Result, error) {
	return m.score(ctx, Picture{Image: picture}, opts.workers())
}

func (m *Model) score(ctx context.Context, picture Picture, workers int) (Result, error) {
	start := time.Now()
	x, geometry, err := m.info.Preprocess.Apply(picture.Image)
	if err != nil {
		return Result{}, err
	}
	scored, err := m.detector.Score(ctx, x.Reshape(append([]int{1}, x.Shape...)...), &detect.ScoreOptions{Workers: workers})
	if err != nil {
		return Result{}, err
	}
	r := Result{Path: picture.Path, Score: float64(scored[0].Score)}
	m.name(&r, scored[0].Classes)
	if scored[0].Map != nil {
		r.Map = geometry.MapBack(scored[0].Map)
	}
	m.info.Calibration.judge(&r)
	r.Elapsed = time.Since(start)
	return r, nil
}

// Scored is a picture of a source and its result.
type Scored struct {
	Picture Picture
	Result  Result
	Err     error // why this picture could not be read or scored; the others go on
}

// ScoreAll judges every picture of a source and yields them in order, several at a time. A picture that fails carries its
// own error; only cancellation ends the iteration early, with ctx's error.
func (m *Model) ScoreAll(ctx context.Context, source Source, opts *Options) iter.Seq2[Scored, error] {
	workers := opts.workers()
	within := max(1, workers/max(1, source.Len())) // pictures side by side first, layers side by side with what is left
	return parallel.Ordered(ctx, workers, source.Len(), func(ctx context.Context, i int) (Scored, error) {
		picture, err := source.Picture(ctx, i)
		if err == nil {
			var r Result
			if r, err = m.score(ctx, picture, within); err == nil {
				return Scored{Picture: picture, Result: r}, nil
			}
			err = fmt.Errorf("%s: %w", picture.Path, err)
		}
		if ctx.Err() != nil {
			return Scored{}, ctx.Err()
		}
		return Scored{Picture: picture, Err: err}, nil
	})
}

// WithCalibration returns the same model with other thresholds.
func (m *Model) WithCalibration(c Calibration) *Model {
	other := *m
	other.info.Calibration = c
	return &other
}

// Calibration is how raw scores become decisions. It is stored beside the detector and can be changed without refitting.
type Calibration struct {
	Image *calibrate.Threshold `json:"image"` // of picture scores; nil where the model is uncalibrated
	Pixel *calibrate.Threshold `json:"pixel"` // of anomaly map values; nil where uncalibrated or without maps
}
