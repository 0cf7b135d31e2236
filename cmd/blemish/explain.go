package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/report"
	"github.com/blemish/blemish/tensor"
)

type explainFlags struct {
	layers   []string
	how, out string
	share    float64
	workers  int
	json     bool
}

func newExplain(c console) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain FILE PICTURE...",
		Short: "Show where a classifier saw what made it call pictures defective",
		Long: `Draws class activation maps of what speaks against the good class, at any layer of a classifier's backbone, and prints the boxes of the regions
that lie above a share of the way from a map's lowest to its highest value. Maps at several layers are fused into one: their geometric mean.
Maps: ` + joined(explain.Methods()) + `.`,
		Example: `  blemish explain walls.blemish new/*.png
  blemish explain walls.blemish new/ --layers _blocks.10,_blocks.4 --out drawn`,
		Args: wantArgs(2, -1, "a model file and pictures"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), c, args[0], args[1:]) },
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.layers, "layers", nil, "of the backbone (default: the one that the model reads)")
	fl.StringVar(&f.how, "map", string(explain.LayerCAM), "how to draw: "+joined(explain.Methods()))
	fl.Float64Var(&f.share, "share", 0.5, "regions lie above this share of the way from the map's lowest to its highest value")
	fl.StringVar(&f.out, "out", "", "write an overlay and the raw map of each picture into this folder")
	fl.IntVar(&f.workers, "workers", 0, "goroutines to use; 0 means one per core. It never changes a result")
	fl.BoolVar(&f.json, "json", false, "print one JSON object a picture")
	return cmd
}

func joined(methods []explain.Method) string {
	var names []string
	for _, m := range methods {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}

// explanation is one line of --json. Boxes are in the picture's own pixels; a box's score is the map's highest value in it.
type explanation struct {
	Path  string          `json:"path"`
	Class string          `json:"class"`
	Score float64         `json:"score"`
	Boxes []metric.Region `json:"boxes"`
}

func (f *explainFlags) run(ctx context.Context, c console, file string, paths []string) error {
	if !(f.share >= 0 && f.share < 1) {
		return usagef("--share %v: want at least 0 and less than 1", f.share)
	}
	if f.workers < 0 {
		return usagef("--workers %d: want 0 or more", f.workers)
	}
	model, err := blemish.Open(file)
	if err != nil {
		return err
	}
	layers := f.layers
	if len(layers) == 0 {
		layers = model.Info().Backbone.Layers[:min(1, len(model.Info().Backbone.Layers))]
	}
	var explainers []*blemish.Explainer
	for _, layer := range layers {
		e, err := model.Explainer(layer, explain.Method(f.how))
		if err != nil {
			return err
		}
		explainers = append(explainers, e)
	}
	if len(explainers) == 0 {
		return fmt.Errorf("%s: a %s model is no classifier: only those are explained", file, model.Info().Method)
	}
	files, err := listPictures(c.in, paths)
	if err != nil {
		return err
	}
	names, err := outputNames(files)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if !f.json {
		fmt.Fprintln(table, "class\tscore\tbox: x y width height\tpeak\tpath")
	}
	source := blemish.Files{Limits: imageio.Limits{MaxPixels: imageio.DefaultMaxPixels}}
	for _, path := range files {
		source.Items = append(source.Items, dataset.Item{Path: path})
	}
	opts := &blemish.Options{Workers: f.workers}
	for i := range source.Len() {
		picture, err := source.Picture(ctx, i)
		if err != nil {
			return err
		}
		m, err := explainBy(ctx, explainers, picture.Image, opts)
		if err != nil {
			return fmt.Errorf("%s: %w", picture.Path, err)
		}
		r, err := model.Score(ctx, picture.Image, opts)
		if err != nil {
			return fmt.Errorf("%s: %w", picture.Path, err)
		}
		line := explanation{Path: picture.Path, Class: r.Class, Score: r.Score, Boxes: explain.Boxes(m, f.share)}
		if err := f.print(c.out, table, line); err != nil {
			return err
		}
		if f.out != "" {
			if err := f.draw(filepath.Join(f.out, names[picture.Path]), picture.Image, m); err != nil {
				return err
			}
		}
	}
	return table.Flush()
}

// explainBy fuses the maps of all layers.
func explainBy(ctx context.Context, explainers []*blemish.Explainer, picture *imageio.Picture, opts *blemish.Options) (*tensor.Tensor, error) {
	var maps []*tensor.Tensor
	for _, e := range explainers {
		m, err := e.Explain(ctx, picture, opts)
		if err != nil {
			return nil, err
		}
		maps = append(maps, m...)
	}
	if len(maps) == 1 {
		return maps[0], nil
	}
	return explain.Fuse(maps...)
}

func (f *explainFlags) print(out io.Writer, table *tabwriter.Writer, line explanation) error {
	if f.json {
		if line.Boxes == nil {
			line.Boxes = []metric.Region{}
		}
		return json.NewEncoder(out).Encode(line)
	}
	if len(line.Boxes) == 0 {
		fmt.Fprintf(table, "%s\t%.4f\tnone\t\t%s\n", line.Class, line.Score, line.Path)
	}
	for _, b := range line.Boxes {
		fmt.Fprintf(table, "%s\t%.4f\t%d %d %d %d\t%.4g\t%s\n", line.Class, line.Score, b.X, b.Y, b.Width, b.Height, b.Score, line.Path)
	}
	return nil
}

// draw writes the map over its picture, regions outlined, and the map itself.
func (f *explainFlags) draw(base string, picture *imageio.Picture, m *tensor.Tensor) error {
	if err := os.MkdirAll(f.out, 0o777); err != nil {
		return err
	}
	low, high := float64(slices.Min(m.Data)), float64(slices.Max(m.Data))
	threshold := low + f.share*(high-low)
	scale := report.Scale{Low: low, High: high, Threshold: &threshold}
	err := checkpoint.WriteFileAtomic(base+"_overlay.png", func(w io.Writer) error { return png.Encode(w, report.Overlay(picture, m, scale)) })
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(base+"_map.npy", func(w io.Writer) error { return imageio.WriteNPY(w, m) })
}
