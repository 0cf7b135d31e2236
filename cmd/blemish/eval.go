package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/report"
)

type evalFlags struct {
	runFlags
	report, plots, cleanClass string
	json                      bool
}

func newEval(c console) *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval FILE DIR",
		Short: "Measure how well a model tells good pictures from defective ones",
		Long: `Scores the labelled pictures of DIR (its test split, if it has one) and prints figures for pictures (AUROC, average precision, F1-max,
balanced accuracy at the model's threshold) and for pixels (AUROC, average precision, F1-max, AUPRO up to a false-positive rate of 0.3 and 0.05),
over all and for each kind of defect. Every figure is exact and computed on raw scores, pixels at the pictures' own size.`,
		Example: `  blemish eval tiles.blemish tiles/
  blemish eval tiles.blemish tiles/ --report tiles.html
  blemish eval walls.blemish walls/ --plots charts
  blemish eval tiles.blemish tiles/ --json`,
		Args: wantArgs(2, 2, "a model file and a folder of labelled pictures"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), c, args[0], args[1]) },
	}
	f.runFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.report, "report", "", "write a self-contained HTML report to this file")
	fl.StringVar(&f.plots, "plots", "", "write the charts, and a classifier's samples, into this folder: each as .pdf, .svg and .png")
	fl.BoolVar(&f.json, "json", false, "print one JSON object")
	fl.StringVar(&f.cleanClass, "clean-class", "", "name of the class folder that holds good pictures")
	return cmd
}

func (f *evalFlags) run(ctx context.Context, c console, file, dir string) error {
	if err := f.check(); err != nil {
		return err
	}
	model, err := blemish.Open(file)
	if err != nil {
		return err
	}
	set, err := openDataset(c, dir, f.cleanClass, &f.runFlags)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "%s: %s\n", dir, set.Layout)
	bar := newProgress(c.err)
	defer bar.finish()
	source := blemish.Source(blemish.Files{Items: labelled(set), Limits: f.limits()})
	opts := f.options(c, bar)
	if badFiles(f.bad) == badSkip {
		if source, err = blemish.Readable(ctx, source, opts); err != nil {
			return err
		}
	}
	evaluation, err := model.Evaluate(ctx, source, opts)
	if err != nil {
		return err
	}
	section := report.Section{Name: dir, Evaluation: evaluation}
	if f.report != "" || f.plots != "" {
		if fitted, err := model.Classifier(); err == nil {
			section.History = fitted.History
			if section.Samples, err = chooseSamples(ctx, model, source, evaluation); err != nil {
				return err
			}
		}
	}
	if f.plots != "" {
		if err := writePlots(f.plots, section); err != nil {
			return err
		}
		fmt.Fprintf(c.err, "charts: %s\n", f.plots)
	}
	if f.report != "" {
		if section.Galleries, err = galleries(ctx, model, source, evaluation); err != nil {
			return err
		}
		page := report.Report{Title: "Evaluation of " + file, Subtitle: dir, Provenance: provenance(model.Info()), Sections: []report.Section{section}}
		err := checkpoint.WriteFileAtomic(f.report, func(w io.Writer) error { return report.WriteHTML(w, page) })
		if err != nil {
			return err
		}
		fmt.Fprintf(c.err, "report: %s\n", f.report)
	}
	bar.finish()
	if f.json {
		return json.NewEncoder(c.out).Encode(evaluation)
	}
	if evaluation.Class != nil {
		if err := report.WriteClasses(c.out, *evaluation.Class); err != nil {
			return err
		}
	}
	return report.WriteTable(c.out, []report.Section{section})
}
