package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/report"
	"github.com/blemish/blemish/table"
)

type outliersFlags struct {
	runFlags
	method, scale, contamination, report, picture, preset string
	backbone                                              string
	set, layers                                           []string
	components, top                                       int
	seed                                                  uint64
	json                                                  bool
	table                                                 table.Options
	header, missing                                       string
	network                                               networkFlags
}

func newOutliers(c console) *cobra.Command {
	var f outliersFlags
	cmd := &cobra.Command{
		Use:   "outliers PATH",
		Short: "Rank the rows of a table, or unsorted pictures, the most anomalous first",
		Long: `Ranks things that nobody has sorted by how little each is like the others. PATH is a table (.csv, .tsv, .npy, .parquet; other
ends are taken for text) or a folder of pictures. Pictures are compared patch by patch, their own patches left out (--method patches, the default
up to some 2000 pictures), or described by the means of a backbone's feature maps, which every other method can rank.

Each gets a raw score (higher is more anomalous), and an estimate of the share of ordinary rows that would score at least as
much. --json prints one object a line, index counting rows from 0: {"rank","index","path","label","score","p_value"}.

` + outlierMethodHelp() + `
--preset chapter is the study of handwritten digits (UCI optdigits.tra): an autoencoder whose settings can each be changed.`,
		Example: `  blemish outliers measurements.csv --label kind --top 20
  blemish outliers unsorted-pictures/ --report suspects.html
  blemish outliers features.npy --method lof --set n_neighbors=35 --json
  blemish outliers optdigits.tra --preset chapter`,
		Args: wantArgs(1, 1, "one table or folder of pictures"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, c, args[0]) },
	}
	f.runFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.method, "method", "", "how to rank: "+strings.Join(outlierMethodNames(), ", ")+"; pictures also: "+blemish.PatchOutliers+" (default: chosen for their number)")
	fl.StringArrayVar(&f.set, "set", nil, "an option of the method, name=value; may be given again")
	fl.StringVar(&f.contamination, "contamination", "auto", "share of the rows that are outliers, such as 0.05; auto: the method's own threshold")
	fl.StringVar(&f.scale, "scale", string(blemish.RobustOutlierScale), "robust: columns by median and interquartile range; none")
	fl.IntVar(&f.components, "components", 0, "reduce to so many whitened principal components; 0: pictures to at most 64, tables not at all")
	fl.Uint64Var(&f.seed, "seed", 0, "of every random choice")
	fl.IntVar(&f.top, "top", 0, "show the first so many only; 0 means all")
	fl.BoolVar(&f.json, "json", false, "print one JSON object a line")
	fl.StringVar(&f.report, "report", "", "write an HTML contact sheet to this file")
	fl.StringVar(&f.table.Label, "label", "", "column that is a label, not a measurement: its name, its number from 1, or last")
	fl.StringVar(&f.table.ID, "id", "", "column that names the rows; it is shown as path")
	fl.StringArrayVar(&f.table.Drop, "drop", nil, "column to leave out; may be given again")
	fl.StringVar(&f.header, "header", string(table.AutoHeader), "does the first line name the columns: auto, yes or no")
	fl.StringVar(&f.missing, "missing", string(table.RefuseMissing), "rows with missing values: refuse, or skip (each is named)")
	fl.StringVar(&f.backbone, "backbone", blemish.DefaultBackbone, "pretrained network for pictures: "+strings.Join(backbone.Names(), ", "))
	fl.StringVar(&f.preset, "preset", "", "chapter: the study of handwritten digits")
	fl.StringVar(&f.picture, "picture", "", "with --preset chapter: write the digit that ranks first as PNG")
	fl.StringSliceVar(&f.layers, "layers", nil, "autoencoder: widths, such as 65,32,8,32,65; pictures with another method: the backbone's layers")
	f.network.add(cmd)
	complete(cmd, "method", append(outlierMethodNames(), blemish.PatchOutliers)...)
	complete(cmd, "scale", string(blemish.RobustOutlierScale), string(blemish.NoOutlierScale))
	complete(cmd, "header", "auto", "yes", "no")
	complete(cmd, "missing", "refuse", "skip")
	complete(cmd, "backbone", backbone.Names()...)
	complete(cmd, "preset", "chapter")
	return cmd
}

func outlierMethodNames() []string {
	var names []string
	for _, m := range outlier.Methods() {
		names = append(names, m.Name)
	}
	return names
}

func outlierMethodHelp() string {
	var b strings.Builder
	b.WriteString("Methods, and their options with defaults (change them with --set name=value):\n")
	for _, m := range outlier.Methods() {
		defaults, err := json.Marshal(m.Defaults())
		if err != nil {
			defaults = []byte(err.Error())
		}
		fmt.Fprintf(&b, "  %-12s %s\n               %s\n", m.Name, m.Summary, defaults)
	}
	return b.String()
}

// suspects are what was ranked, and what names it.
type suspects struct {
	*blemish.Outliers
	what    string   // "rows" or "pictures"
	labels  []string // by row of the table; nil where there are none
	ids     []string
	rows    []int // by row, its number in the file; nil if they are the same
	picture func(i int) (*imageio.Picture, error)
}

func (f *outliersFlags) run(cmd *cobra.Command, c console, path string) error {
	config, err := f.config(cmd)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if f.preset != "" {
		return f.chapter(ctx, c, path, config)
	}
	var s suspects
	switch {
	case info.IsDir():
		s, err = f.rankPictures(ctx, c, path, config)
	case imageio.IsPicture(path):
		return usagef("%s is one picture, and nothing to compare it with: give a folder", path)
	default:
		s, err = f.rankTable(ctx, c, path, config)
	}
	if err != nil {
		return err
	}
	if err := f.write(c, s, path); err != nil {
		return err
	}
	return f.writeReport(s, path)
}

// config checks the flags.
func (f *outliersFlags) config(cmd *cobra.Command) (blemish.OutlierConfig, error) {
	var none blemish.OutlierConfig
	if err := f.check(); err != nil {
		return none, err
	}
	switch {
	case f.top < 0:
		return none, usagef("--top %d: want 0 or more", f.top)
	case f.components < 0:
		return none, usagef("--components %d: want 0 or more", f.components)
	case f.preset != "" && f.preset != "chapter":
		return none, usagef("--preset %q: known is chapter", f.preset)
	case f.preset != "" && f.method != "" && f.method != "autoencoder":
		return none, usagef("--preset chapter is method autoencoder, not %s", f.method)
	case f.picture != "" && f.preset == "":
		return none, usagef("--picture goes with --preset chapter")
	}
	f.table.Header, f.table.Missing = table.Header(f.header), table.Missing(f.missing)
	config := blemish.OutlierConfig{
		Method: f.method, Components: f.components, Seed: f.seed, Backbone: f.backbone,
	}
	if cmd.Flags().Changed("scale") {
		config.Scale = blemish.OutlierScale(f.scale)
	}
	if f.contamination != "auto" {
		if _, err := fmt.Sscanf(f.contamination+" ", "%g ", &config.Contamination); err != nil || !(config.Contamination > 0 && config.Contamination <= 0.5) {
			return none, usagef("--contamination %q: want auto, or more than 0 and at most 0.5", f.contamination)
		}
	}
	given, err := methodOptions(f.set)
	if err != nil {
		return none, err
	}
	network, err := f.network.options(cmd)
	if err != nil {
		return none, err
	}
	auto := f.method == "autoencoder" || f.preset != ""
	if len(f.layers) > 0 && auto {
		if network["layers"], err = widths(f.layers); err != nil {
			return none, err
		}
	} else {
		config.Layers = f.layers
	}
	if len(network) > 0 && !auto {
		return none, usagef("--activation, --output, --optimizer, --epochs, --lr and --batch go with --method autoencoder or --preset chapter")
	}
	if f.preset != "" {
		config.Method, config.Scale = "autoencoder", blemish.NoOutlierScale
		base, err := json.Marshal(outlier.Chapter())
		if err != nil {
			return none, err
		}
		given, err = layered(base, given)
		if err != nil {
			return none, err
		}
	}
	over, err := json.Marshal(network)
	if err != nil {
		return none, err
	}
	if config.MethodOptions, err = layered(given, over); err != nil {
		return none, err
	}
	if config.Method != "" && config.Method != blemish.PatchOutliers {
		method, err := outlier.Lookup(config.Method)
		if err == nil {
			_, err = method.Parse(config.MethodOptions)
		}
		if err != nil {
			return none, usageError{err}
		}
	}
	return config, nil
}

// layered lays one JSON object's fields over another's.
func layered(base, over json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	for _, raw := range []json.RawMessage{base, over} {
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

// announce says on stderr how the ranking came about.
func (f *outliersFlags) announce(c console, o *blemish.Outliers, what string) {
	chosen := ""
	if f.method == "" && f.preset == "" {
		chosen = fmt.Sprintf(" (chosen for %d %s; --method takes another)", len(o.Ranked), what)
	}
	above := 0
	for _, r := range o.Ranked {
		if r.Anomalous {
			above++
		}
	}
	threshold := "the method's own threshold"
	if f.contamination != "auto" {
		threshold = "the threshold for contamination " + f.contamination
	}
	fmt.Fprintf(c.err, "method %s%s\n%s\n%d of %d %s score above %s, %.5g\n", o.Method, chosen, o.Prepared, above, len(o.Ranked), what, threshold, o.Threshold)
}

func (f *outliersFlags) rankTable(ctx context.Context, c console, path string, config blemish.OutlierConfig) (suspects, error) {
	t, err := table.Open(path, f.table)
	if err != nil {
		return suspects{}, err
	}
	describeTable(c, path, t)
	bar := newProgress(c.err)
	defer bar.finish()
	ranked, err := blemish.RankRows(ctx, outlier.Matrix{Rows: t.Rows, Cols: t.Cols, Data: t.Data}, config, f.options(c, bar))
	if err != nil {
		return suspects{}, err
	}
	bar.finish()
	f.announce(c, ranked, "rows")
	return suspects{Outliers: ranked, what: "rows", labels: t.Labels, ids: t.IDs, rows: t.Index}, nil
}

// describeTable says how a table was understood.
func describeTable(c console, path string, t *table.Table) {
	header := "no header"
	if t.HasHeader {
		header = "a header"
	}
	labelled := ""
	if t.LabelName != "" {
		labelled = ", label " + t.LabelName
	}
	fmt.Fprintf(c.err, "%s: %d rows of %d values, %s%s\n", path, t.Rows, t.Cols, header, labelled)
	for i := range t.Skipped {
		fmt.Fprintf(c.err, "left out: %v\n", &t.Skipped[i])
	}
}

func (f *outliersFlags) rankPictures(ctx context.Context, c console, dir string, config blemish.OutlierConfig) (suspects, error) {
	source := blemish.Files{Limits: f.limits()}
	var others []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case imageio.IsPicture(p):
			source.Items = append(source.Items, dataset.Item{Path: p})
		default:
			others = append(others, p)
		}
		return err
	})
	if err != nil {
		return suspects{}, err
	}
	if len(source.Items) == 0 {
		return suspects{}, fmt.Errorf("%s: no pictures in this folder", dir)
	}
	if len(others) > 0 {
		fmt.Fprintf(c.err, "note: %d other files are no pictures, such as %s\n", len(others), others[0])
	}
	bar := newProgress(c.err)
	defer bar.finish()
	ranked, err := blemish.RankPictures(ctx, source, config, f.options(c, bar))
	if err != nil {
		return suspects{}, err
	}
	bar.finish()
	f.announce(c, ranked, "pictures")
	return suspects{Outliers: ranked, what: "pictures", picture: func(i int) (*imageio.Picture, error) {
		p, err := source.Picture(ctx, i)
		return p.Image, err
	}}, nil
}

// suspect is one line of --json.
type suspect struct {
	Rank   int     `json:"rank"`
	Index  int     `json:"index"`
	Path   *string `json:"path"`  // the picture, or what the --id column says; null in a table without one
	Label  *string `json:"label"` // null without a label column
	Score  float64 `json:"score"`
	PValue float64 `json:"p_value"`
}

func (s suspects) line(o blemish.Outlier) suspect {
	line := suspect{Rank: o.Rank, Index: o.Index, Score: o.Score, PValue: o.PValue}
	if s.labels != nil {
		line.Label = &s.labels[o.Index]
	}
	switch {
	case s.ids != nil:
		line.Path = &s.ids[o.Index]
	case o.Path != "":
		line.Path = &o.Path
	}
	if s.rows != nil {
		line.Index = s.rows[o.Index]
	}
	return line
}

// shown are the ranks to print.
func (f *outliersFlags) shown(s suspects) []blemish.Outlier {
	if f.top > 0 {
		return s.Ranked[:min(f.top, len(s.Ranked))]
	}
	return s.Ranked
}

func (f *outliersFlags) write(c console, s suspects, path string) error {
	if f.json {
		buffered := bufio.NewWriter(c.out)
		enc := json.NewEncoder(buffered)
		enc.SetEscapeHTML(false)
		for _, o := range f.shown(s) {
			if err := enc.Encode(s.line(o)); err != nil {
				return err
			}
		}
		return buffered.Flush()
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rank\tverdict\tscore\tp-value\tindex\tlabel\tpath")
	for _, o := range f.shown(s) {
		line := s.line(o)
		verdict := "-"
		if o.Anomalous {
			verdict = "OUTLIER"
		}
		fmt.Fprintf(w, "%d\t%s\t%.5g\t%.3g\t%d\t%s\t%s\n", line.Rank, verdict, line.Score, line.PValue, line.Index, orDash(line.Label), orDash(line.Path))
	}
	return w.Flush()
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}

// sheetPictures and sheetRows bound a contact sheet.
const (
	sheetPictures = 120
	sheetRows     = 1000
)

func (f *outliersFlags) writeReport(s suspects, path string) error {
	if f.report == "" {
		return nil
	}
	most := sheetRows
	if s.picture != nil {
		most = sheetPictures
	}
	if f.top > 0 {
		most = f.top
	}
	sheet := report.ContactSheet{
		Title:    "Outliers: " + filepath.Base(filepath.Clean(path)),
		Subtitle: fmt.Sprintf("the first %d of %d %s, the most anomalous first", min(most, len(s.Ranked)), len(s.Ranked), s.what),
		Provenance: [][2]string{
			{"method", s.Method + " " + string(s.Options)}, {"prepared", s.Prepared}, {"threshold", fmt.Sprintf("%.5g", s.Threshold)},
			{"seed", fmt.Sprint(f.seed)}, {"blemish", blemish.Version},
		},
	}
	for _, o := range s.Ranked[:min(most, len(s.Ranked))] {
		line := s.line(o)
		entry := report.SheetEntry{Rank: line.Rank, Index: line.Index, Score: line.Score, PValue: line.PValue, Anomalous: o.Anomalous}
		if line.Label != nil {
			entry.Label = *line.Label
		}
		if line.Path != nil {
			entry.Path = *line.Path
		}
		if s.picture != nil {
			picture, err := s.picture(o.Index)
			if err != nil {
				return err
			}
			if err := entry.Draw(picture); err != nil {
				return fmt.Errorf("%s: %w", entry.Path, err)
			}
		}
		sheet.Entries = append(sheet.Entries, entry)
	}
	return checkpoint.WriteFileAtomic(f.report, func(w io.Writer) error { return report.WriteContactSheet(w, sheet) })
}
