package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/metric"
)

type inspectFlags struct {
	runFlags
	out             string
	json            bool
	failOnAnomalies bool
}

func newInspect(c console) *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect FILE PATH...",
		Short: "Judge pictures with a trained model",
		Long: `Judges each picture: its raw score (higher is more anomalous), its p-value (the share of good pictures expected to
score at least as much), and the verdict at the model's threshold. PATH is a picture, a folder of pictures, or - for a list of
paths on standard input, one a line. With --out it also draws each picture's heat map, and writes the raw map (float32 .npy,
and 16-bit PNG with its scale in the file) and the mask of the pixels above the pixel threshold.`,
		Example: `  blemish inspect tiles.blemish new/*.png
  blemish inspect tiles.blemish new/ --out found/ --json
  find new/ -name '*.png' | blemish inspect tiles.blemish - --fail-on-anomaly`,
		Args: wantArgs(2, -1, "a model file and at least one picture, folder or -"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), c, args[0], args[1:]) },
	}
	f.runFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "", "folder for overlays, raw maps and masks")
	fl.BoolVar(&f.json, "json", false, "print one JSON object a line")
	fl.BoolVar(&f.failOnAnomalies, "fail-on-anomaly", false, "exit with 1 if any picture is anomalous")
	return cmd
}

func (f *inspectFlags) run(ctx context.Context, c console, file string, paths []string) error {
	if err := f.check(); err != nil {
		return err
	}
	model, err := blemish.Open(file)
	if err != nil {
		return err
	}
	files, err := listPictures(c.in, paths)
	if err != nil {
		return err
	}
	source := blemish.Files{Limits: f.limits()}
	for _, path := range files {
		source.Items = append(source.Items, dataset.Item{Path: path})
	}
	var drawn *drawings
	if f.out != "" {
		if drawn, err = newDrawings(f.out, files, model); err != nil {
			return err
		}
	}
	write, flush := f.writer(c.out, model)
	defer flush()
	anomalies, failures := 0, 0
	for s, err := range model.ScoreAll(ctx, source, &blemish.Options{Workers: f.workers}) {
		if err != nil {
			return err
		}
		if s.Err != nil {
			if err := flush(); err != nil {
				return err
			}
			failures++
			fmt.Fprintf(c.err, "%s: %v\n", map[badFiles]string{badFail: "failed", badSkip: "skipped"}[badFiles(f.bad)], s.Err)
			continue
		}
		if s.Result.Anomalous {
			anomalies++
		}
		if drawn != nil {
			if err := drawn.write(s); err != nil {
				return err
			}
		}
		if err := write(s.Result); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	switch {
	case failures > 0 && badFiles(f.bad) == badFail:
		return fmt.Errorf("%d of %d pictures could not be judged; the others were (accept that with --bad-files skip)", failures, len(files))
	case anomalies > 0 && f.failOnAnomalies:
		return errAnomalies
	}
	return nil
}

// writer returns a function that prints one result, and one that completes what was printed.
func (f *inspectFlags) writer(out io.Writer, model *blemish.Model) (write func(blemish.Result) error, flush func() error) {
	threshold := model.Info().Calibration.Image
	if f.json {
		buffered := bufio.NewWriter(out)
		enc := json.NewEncoder(buffered)
		enc.SetEscapeHTML(false)
		return func(r blemish.Result) error {
			line := inspection{Path: r.Path, Score: r.Score, Anomalous: r.Anomalous, Ms: milliseconds(r), Regions: r.Regions}
			if !math.IsNaN(r.PValue) {
				line.PValue = &r.PValue
			}
			if threshold != nil {
				line.Threshold = &threshold.Value
			}
			if line.Regions == nil {
				line.Regions = []metric.Region{}
			}
			if err := enc.Encode(line); err != nil {
				return err
			}
			return buffered.Flush()
		}, buffered.Flush
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "verdict\tscore\tp-value\tms\tpath")
	return func(r blemish.Result) error {
		verdict := "good"
		switch {
		case threshold == nil:
			verdict = "undecided"
		case r.Anomalous:
			verdict = "ANOMALOUS"
		}
		p := "-"
		if !math.IsNaN(r.PValue) {
			p = fmt.Sprintf("%.4f", r.PValue)
		}
		_, err := fmt.Fprintf(table, "%s\t%.4f\t%s\t%.1f\t%s\n", verdict, r.Score, p, milliseconds(r), r.Path)
		return err
	}, table.Flush
}

func milliseconds(r blemish.Result) float64 { return float64(r.Elapsed.Microseconds()) / 1e3 }

// inspection is one line of --json. Regions are in the picture's own pixels.
type inspection struct {
	Path      string          `json:"path"`
	Score     float64         `json:"score"`
	PValue    *float64        `json:"p_value"` // null where the model is uncalibrated
	Anomalous bool            `json:"anomalous"`
	Threshold *float64        `json:"threshold"`
	Ms        float64         `json:"ms"`
	Regions   []metric.Region `json:"regions"`
}

// listPictures replaces folders by the pictures below them and - by the lines of in, and checks that each file exists.
func listPictures(in io.Reader, paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		if path == "-" {
			lines := bufio.NewScanner(in)
			for lines.Scan() {
				if line := strings.TrimRight(lines.Text(), "\r"); line != "" {
					files = append(files, line)
				}
			}
			if err := lines.Err(); err != nil {
				return nil, fmt.Errorf("reading paths from standard input: %w", err)
			}
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		before := len(files)
		err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && imageio.IsPicture(p) {
				files = append(files, p)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: no pictures in this folder", path)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("no pictures to inspect")
	}
	return files, nil
}
