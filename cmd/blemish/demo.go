package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/report"
	"github.com/blemish/blemish/synth"
)

type demoFlags struct {
	out     string
	workers int
	seed    uint64
}

func newDemo(c console) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Learn and inspect on rendered pictures, and write a report: no data and no network needed",
		Long: `Renders pictures of three surfaces, learns from the good ones, judges the rest, prints a table and writes an HTML report with heat maps.
The pictures are the same in every run; some of their defects are faint, so that not every figure is 1.`,
		Example: `  blemish demo
  blemish demo --out /tmp/report.html`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), c) },
	}
	cmd.Flags().StringVar(&f.out, "out", "blemish-report.html", "where to write the report")
	cmd.Flags().IntVar(&f.workers, "workers", 0, "goroutines to use; 0 means one per core. It never changes a result")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "of the pictures, and of what is learned from them")
	return cmd
}

// rendered is a Source of pictures that were drawn before: they are read several times.
type rendered []blemish.Picture

func (r rendered) Len() int { return len(r) }

func (r rendered) Picture(ctx context.Context, i int) (blemish.Picture, error) {
	return r[i], ctx.Err()
}

// render draws pictures, several at a time.
func render(ctx context.Context, specs []synth.Spec, workers int) (rendered, error) {
	var pictures rendered
	for p, err := range parallel.Ordered(ctx, workers, len(specs), func(_ context.Context, i int) (blemish.Picture, error) {
		s := specs[i]
		image, mask, err := synth.Render(s)
		p := blemish.Picture{Image: image, Kind: dataset.Good, Mask: mask}
		if s.Defect != "" {
			p.Kind, p.Defective = s.Defect, true
		}
		p.Path = fmt.Sprintf("%s, piece %d, %s", s.Surface, s.Index, p.Kind)
		return p, err
	}) {
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, p)
	}
	return pictures, nil
}

func (f *demoFlags) run(ctx context.Context, c console) error {
	start := time.Now()
	var sections []report.Section
	var last blemish.Info
	for _, surface := range synth.Surfaces() {
		section, info, err := f.surface(ctx, c, surface)
		if err != nil {
			return err
		}
		sections, last = append(sections, section), info
	}
	page := report.Report{
		Title: "Blemish demo", Subtitle: "Three rendered surfaces: learned from good pictures alone, then judged",
		Provenance: provenance(last), Sections: sections,
	}
	if err := checkpoint.WriteFileAtomic(f.out, func(w io.Writer) error { return report.WriteHTML(w, page) }); err != nil {
		return err
	}
	if err := report.WriteTable(c.out, sections); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.out, `
Report with heat maps: %s (%.0f s in all)
Next, with your own pictures:
  blemish train DIR-OF-GOOD-PICTURES -o model.blemish
  blemish inspect model.blemish NEW-PICTURES...
`, f.out, time.Since(start).Seconds())
	return err
}

func (f *demoFlags) surface(ctx context.Context, c console, surface string) (report.Section, blemish.Info, error) {
	learn, judge, err := synth.Demo(surface, f.seed)
	if err != nil {
		return report.Section{}, blemish.Info{}, err
	}
	train, err := render(ctx, learn, f.workers)
	if err != nil {
		return report.Section{}, blemish.Info{}, err
	}
	test, err := render(ctx, judge, f.workers)
	if err != nil {
		return report.Section{}, blemish.Info{}, err
	}
	fmt.Fprintf(c.err, "%s: learning from %d good pictures, judging %d\n", surface, len(train), len(test))
	bar := newProgress(c.err)
	defer bar.finish()
	run := runFlags{workers: f.workers, bad: string(badFail)}
	opts := run.options(c, bar)
	opts.Warn = nil // that 80 pictures cannot guarantee 1 % is said in the report
	model, err := blemish.Train(ctx, train, nil, blemish.Config{Seed: f.seed}, opts)
	if err != nil {
		return report.Section{}, blemish.Info{}, err
	}
	evaluation, err := model.Evaluate(ctx, test, opts)
	if err != nil {
		return report.Section{}, blemish.Info{}, err
	}
	if t := model.Info().Calibration.Image; t.GuaranteedRate > 0 {
		evaluation.Notes = append(evaluation.Notes, "threshold: "+t.String())
	}
	section := report.Section{Name: surface, Evaluation: evaluation}
	section.Galleries, err = galleries(ctx, model, test, evaluation)
	return section, model.Info(), err
}
