package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/calibrate"
	"github.com/blemish/blemish/dataset"
)

type calibrateFlags struct {
	runFlags
	out, cleanClass           string
	rate, quantile            float64
	f1max                     bool
	threshold, pixelThreshold float64
}

func newCalibrate(c console) *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate FILE [DIR]",
		Short: "Change a model's thresholds without training again",
		Long: `Finds new thresholds and stores them in the model file; scores stay as they are. Without DIR the scores of good pictures kept
in the model are used. DIR holds good pictures that were not trained on (a plain folder, or the good ones of any layout); for --f1-max it
holds labelled good and defective pictures.`,
		Example: `  blemish calibrate tiles.blemish --false-alarm-rate 0.05
  blemish calibrate tiles.blemish more-good-tiles/ --false-alarm-rate 0.001
  blemish calibrate tiles.blemish labelled/ --f1-max
  blemish calibrate tiles.blemish --threshold 3.2 --pixel-threshold 2.8`,
		Args: wantArgs(1, 2, "a model file and at most one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			how := 0
			for _, name := range []string{"false-alarm-rate", "quantile", "f1-max", "threshold"} {
				if cmd.Flags().Changed(name) {
					how++
				}
			}
			pixels := cmd.Flags().Changed("pixel-threshold")
			if how > 1 || how == 0 && !pixels {
				return usagef("choose one of --false-alarm-rate, --quantile, --f1-max and --threshold")
			}
			return f.run(cmd.Context(), c, cmd.Flags().Changed, args)
		},
	}
	f.runFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "model file to write (default: FILE itself)")
	fl.Float64Var(&f.rate, "false-alarm-rate", blemish.DefaultFalseAlarmRate, "conformal: share of good pictures that may be called anomalous")
	fl.Float64Var(&f.quantile, "quantile", 0, "the same share as a plain quantile of the scores, without a guarantee")
	fl.BoolVar(&f.f1max, "f1-max", false, "the threshold with the highest F1 on labelled pictures")
	fl.Float64Var(&f.threshold, "threshold", 0, "this raw score")
	fl.Float64Var(&f.pixelThreshold, "pixel-threshold", 0, "this raw map value, for regions and masks")
	fl.StringVar(&f.cleanClass, "clean-class", "", "name of the class folder that holds good pictures")
	return cmd
}

func (f *calibrateFlags) run(ctx context.Context, c console, given func(flag string) bool, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	model, err := blemish.Open(args[0])
	if err != nil {
		return err
	}
	bar := newProgress(c.err)
	defer bar.finish()
	opts := f.options(c, bar)
	var set *dataset.Dataset
	if len(args) == 2 {
		if set, err = openDataset(c, args[1], f.cleanClass, &f.runFlags); err != nil {
			return err
		}
	}
	calibration := model.Info().Calibration
	switch {
	case given("threshold"):
		t := calibrate.Manual(f.threshold)
		calibration.Image = &t
	case given("f1-max"):
		if calibration.Image, err = f.bestF1(ctx, model, set, opts); err != nil {
			return err
		}
	case given("quantile"):
		scores, err := f.goodScores(ctx, model, set, opts)
		if err != nil {
			return err
		}
		t, err := calibrate.Quantile(scores, f.quantile)
		if err != nil {
			return usageError{err}
		}
		calibration.Image = &t
	case given("false-alarm-rate"):
		if f.rate <= 0 || f.rate >= 1 {
			return usagef("--false-alarm-rate %v: want more than 0 and less than 1", f.rate)
		}
		if set == nil {
			calibration, err = model.Recalibrate(f.rate, opts)
		} else {
			calibration, err = model.CalibrateOn(ctx, f.good(set), f.rate, opts)
		}
		if err != nil {
			return err
		}
	}
	if given("pixel-threshold") {
		t := calibrate.Manual(f.pixelThreshold)
		calibration.Pixel = &t
	}
	bar.finish()
	out := f.out
	if out == "" {
		out = args[0]
	}
	if err := model.WithCalibration(calibration).Save(out); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s:\n", out)
	writeCalibration(c.out, calibration)
	return nil
}

// good are the pictures of a set that calibration may use. A model's own training pictures would score too low: where
// there is a split, they are left out.
func (f *calibrateFlags) good(set *dataset.Dataset) blemish.Source {
	items := goodOnly(append(append([]dataset.Item(nil), set.Valid...), set.Test...))
	if len(items) == 0 {
		items = goodOnly(set.Train)
	}
	return blemish.Files{Items: items, Limits: f.limits()}
}

func (f *calibrateFlags) goodScores(ctx context.Context, model *blemish.Model, set *dataset.Dataset, opts *blemish.Options) ([]float64, error) {
	if set == nil {
		if t := model.Info().Calibration.Image; t != nil && len(t.Scores) > 0 {
			return t.Scores, nil
		}
		return nil, errors.New("the model keeps no calibration scores: give a folder of good pictures")
	}
	var scores []float64
	for s, err := range model.ScoreAll(ctx, f.good(set), opts) {
		if err = errors.Join(err, s.Err); err != nil {
			return nil, err
		}
		scores = append(scores, s.Result.Score)
	}
	return scores, nil
}

func (f *calibrateFlags) bestF1(ctx context.Context, model *blemish.Model, set *dataset.Dataset, opts *blemish.Options) (*calibrate.Threshold, error) {
	if set == nil {
		return nil, usagef("--f1-max needs a folder of labelled pictures")
	}
	var scores []float64
	var labels []bool
	for s, err := range model.ScoreAll(ctx, blemish.Files{Items: labelled(set), Limits: f.limits()}, opts) {
		if err = errors.Join(err, s.Err); err != nil {
			return nil, err
		}
		scores, labels = append(scores, s.Result.Score), append(labels, s.Picture.Defective)
	}
	t, err := calibrate.F1Max(scores, labels)
	return &t, err
}

// labelled are the pictures to measure on: the test split, or where there is none, everything.
func labelled(set *dataset.Dataset) []dataset.Item {
	if len(set.Test) > 0 {
		return set.Test
	}
	return append(append([]dataset.Item(nil), set.Valid...), set.Train...)
}
