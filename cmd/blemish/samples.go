package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/report"
)

// chooseSamples takes fifteen pictures, spread over the set, as the network sees them, with a classifier's verdicts.
func chooseSamples(ctx context.Context, model *blemish.Model, source blemish.Source, e *blemish.Evaluation) ([]report.Sample, error) {
	var samples []report.Sample
	n := min(report.GridRows*report.GridColumns, len(e.Pictures))
	how := model.Info().Preprocess
	for i := range n {
		at := i * len(e.Pictures) / n
		p, err := source.Picture(ctx, at)
		if err != nil {
			return nil, err
		}
		x, _, err := how.Apply(p.Image)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Path, err)
		}
		samples = append(samples, report.Sample{Picture: report.Unnormalised(x, how), Predicted: e.Pictures[at].Class, Truth: e.Pictures[at].Kind})
	}
	return samples, nil
}

// plotFormats are the endings of the files that writePlots makes of each chart.
var plotFormats = []string{".pdf", ".svg", ".png"}

// writePlots writes the charts of a section, and its samples, into a folder, each in every format.
func writePlots(dir string, s report.Section) error {
	plots, err := report.Plots(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, format := range plotFormats {
		for _, p := range plots {
			if p.Chart == nil {
				continue
			}
			file := filepath.Join(dir, p.Name+format)
			if err := checkpoint.WriteFileAtomic(file, func(w io.Writer) error { return report.WriteChart(w, file, p.Chart) }); err != nil {
				return err
			}
		}
		if len(s.Samples) == 0 {
			continue
		}
		file := filepath.Join(dir, "samples"+format)
		if err := checkpoint.WriteFileAtomic(file, func(w io.Writer) error { return report.WriteSamples(w, file, s.Samples) }); err != nil {
			return err
		}
	}
	return nil
}
