package blemish

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/blemish/blemish/calibrate"
	"github.com/blemish/blemish/metric"
)

// judge fills in what follows from a raw score and map: p-value, verdict, regions.
func (c Calibration) judge(r *Result) {
	r.PValue = math.NaN()
	if c.Image != nil {
		r.PValue = c.Image.PValue(r.Score)
		r.Anomalous = c.Image.Anomalous(r.Score)
	}
	if c.Pixel != nil && r.Map != nil {
		r.Regions = metric.Regions(r.Map.Data, r.Map.Shape[1], r.Map.Shape[0], float32(c.Pixel.Value))
	}
}

// decide finds the thresholds for the rate asked, or for the smallest rate that the scores can guarantee.
func (c CalibrationConfig) decide(scores goodScores, opts *Options) (Calibration, error) {
	if len(scores.image) == 0 {
		return Calibration{}, nil
	}
	conformal := calibrate.Conformal
	if scores.crossed {
		conformal = calibrate.CrossConformal
	}
	find := func(what string, values []float64) (*calibrate.Threshold, error) {
		if len(values) == 0 {
			return nil, nil
		}
		t, err := conformal(values, c.rate())
		var few *calibrate.TooFewError
		if errors.As(err, &few) {
			if what == "pictures" {
				opts.warn(fmt.Sprintf("%v; the threshold is set for %.2g", few, few.SmallestRate))
			}
			t, err = conformal(values, few.SmallestRate)
			if err == nil {
				t.RequestedRate = c.rate()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("calibrating %s: %w", what, err)
		}
		return &t, nil
	}
	image, err := find("pictures", scores.image)
	if err != nil {
		return Calibration{}, err
	}
	pixel, err := find("pixels", scores.pixel)
	return Calibration{Image: image, Pixel: pixel}, err
}

// Recalibrate finds new thresholds for a rate from the calibration scores that the model keeps.
func (m *Model) Recalibrate(rate float64, opts *Options) (Calibration, error) {
	old := m.info.Calibration
	if old.Image == nil || len(old.Image.Scores) == 0 {
		return Calibration{}, errors.New("the model keeps no calibration scores: give a folder of good pictures")
	}
	scores := goodScores{image: old.Image.Scores, crossed: old.Image.Method == calibrate.MethodCrossConformal}
	if old.Pixel != nil {
		scores.pixel = old.Pixel.Scores
	}
	return CalibrationConfig{FalseAlarmRate: rate}.decide(scores, opts)
}

// CalibrateOn finds thresholds for a rate from good pictures that the model was not fitted on.
func (m *Model) CalibrateOn(ctx context.Context, good Source, rate float64, opts *Options) (Calibration, error) {
	scores, err := m.goodScores(ctx, good, opts, "calibration")
	if err != nil {
		return Calibration{}, err
	}
	return CalibrationConfig{FalseAlarmRate: rate}.decide(scores, opts)
}
