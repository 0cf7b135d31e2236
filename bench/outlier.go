package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/outlier"
)

// outlierJob is what both sides are given.
type outlierJob struct {
	Work    string `json:"work"`
	Rows    string `json:"rows"`    // file of float64
	Queries string `json:"queries"` // likewise; rows are judged themselves without
	Scores  string `json:"scores"`  // file that float64 scores go to, higher more anomalous
	Cols    int    `json:"cols"`
	Threads int    `json:"threads"`
}

// outlierWork is a line of the table.
type outlierWork struct {
	name          string
	n, d, queries int
	centres       int // of the normal distributions the rows are drawn from
	agree         func(own, peer []float64) float64
	within        float64 // what agree may be at most
}

// Fitting and scoring are timed apart, except where ranking the rows fitted is one step. Where a work is fitting, its scores are computed after the
// clock has stopped.
var outlierWorks = []outlierWork{
	{"lof", 20000, 64, 0, 1, largestDifference, 1e-6},
	{"knn", 20000, 64, 0, 1, largestDifference, 1e-6},
	{"iforest-fit", 100000, 64, 0, 1, meanDifference, 0.02}, // the trees are random
	{"iforest-score", 100000, 64, 0, 1, meanDifference, 0.02},
	{"ocsvm-fit", 5000, 64, 0, 1, largestDifference, 1e-4}, // both stop within tol 1e-3 of the optimum
	{"ocsvm-score", 5000, 64, 5000, 1, largestDifference, 1e-4},
	{"sgd-fit", 100000, 64, 0, 1, meanDifference, 0.05}, // of 100 Nystroem features; rows and basis are shuffled
	{"sgd-score", 100000, 64, 0, 1, meanDifference, 0.05},
	{"kde-fit", 20000, 16, 2000, 1, largestDifference, 1e-6},
	{"kde-score", 20000, 16, 2000, 1, largestDifference, 1e-6},
	{"gmm-fit", 50000, 32, 0, 8, largestDifference, 1e-6},
	{"gmm-score", 50000, 32, 0, 8, largestDifference, 1e-6},
	{"gmm-kmeans", 50000, 32, 0, 8, meanDifference, 0.02}, // k-means starts at random
}

// largestDifference is relative to the largest score.
func largestDifference(own, peer []float64) float64 {
	most, scale := 0.0, 0.0
	for i, v := range own {
		most, scale = max(most, math.Abs(v-peer[i])), max(scale, math.Abs(peer[i]))
	}
	return most / scale
}

// meanDifference is relative to the mean score.
func meanDifference(own, peer []float64) float64 {
	var sums [2]float64
	for i, v := range own {
		sums[0] += v
		sums[1] += peer[i]
	}
	return math.Abs(sums[0]/sums[1] - 1)
}

// outlierRow is what -json writes for a line.
type outlierRow struct {
	Work       string     `json:"work"`
	Rows       int        `json:"rows"`
	Queries    int        `json:"queries,omitempty"`
	Cols       int        `json:"cols"`
	Blemish    []float64  `json:"blemish_s"` // of each round
	Peer       []float64  `json:"scikit_learn_s"`
	Ratio      float64    `json:"ratio"` // of medians, Blemish/scikit-learn
	Memory     [2]float64 `json:"peak_resident_mib"`
	Difference float64    `json:"difference"` // between the scores: the largest of all rounds
}

// compareOutlier runs both sides of every work in turn, each in a process of its own.
func compareOutlier(args []string) error {
	flags := flag.NewFlagSet("outlier", flag.ContinueOnError)
	python := flags.String("python", "python3", "interpreter with scikit-learn installed")
	rounds := flags.Int("rounds", 5, "runs of each side, in turn")
	threads := flags.Int("threads", 2, "threads of each side")
	only := flags.String("only", "", "works, separated by commas; all by default")
	short := flags.Bool("short", false, "a twentieth of the rows, to see that everything runs")
	file := flags.String("json", "", "file to write all figures to")
	pictures := flags.String("pictures", "", "folders of pictures, separated by commas: Blemish's AUROC by pooled features instead, for each method")
	seeds := flags.Int("seeds", 5, "with -pictures: fits of each method")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *threads < 1 {
		return errors.New("-rounds, -threads: want 1 or more")
	}
	if *pictures != "" {
		return pictureAUROC(strings.Split(*pictures, ","), max(1, *seeds))
	}
	works, err := chosenWorks(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var table []outlierRow
	text := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(text, "%s, %d threads, medians of %d rounds\n", cpuName(), *threads, *rounds)
	fmt.Fprintln(text, "\tn x d\tqueries\tBlemish, s\tscikit-learn, s\tratio\tBlemish, MiB\tscikit-learn, MiB\tdifference")
	for _, w := range works {
		if *short {
			w.n, w.queries = w.n/20, w.queries/20
		}
		row, err := w.compare(dir, self, *python, *rounds, *threads)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Fprintf(text, "%s\t%d x %d\t%d\t%.4f\t%.4f\t%.3f\t%.0f\t%.0f\t%.1e\n", w.name, w.n, w.d, w.queries, middle(row.Blemish), middle(row.Peer),
			row.Ratio, row.Memory[0], row.Memory[1], row.Difference)
		table = append(table, row)
	}
	if err := text.Flush(); err != nil || *file == "" {
		return err
	}
	raw, err := json.MarshalIndent(map[string]any{
		"cpu": cpuName(), "date": time.Now().UTC().Format(time.DateOnly), "threads": *threads, "rounds": *rounds, "rows": table,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*file, append(raw, '\n'), 0o644)
}

func chosenWorks(only string) ([]outlierWork, error) {
	if only == "" {
		return outlierWorks, nil
	}
	var works []outlierWork
	for _, name := range strings.Split(only, ",") {
		at := slices.IndexFunc(outlierWorks, func(w outlierWork) bool { return w.name == name })
		if at < 0 {
			return nil, fmt.Errorf("-only: no work %q", name)
		}
		works = append(works, outlierWorks[at])
	}
	return works, nil
}

// compare draws the rows, and runs Blemish and scikit-learn on them in turn.
func (w outlierWork) compare(dir, self, python string, rounds, threads int) (row outlierRow, err error) {
	job := outlierJob{Work: w.name, Cols: w.d, Threads: threads, Rows: filepath.Join(dir, "rows"), Scores: filepath.Join(dir, "scores")}
	if err := writeRows(job.Rows, w.n, w.d, w.centres, 1); err != nil {
		return row, err
	}
	if w.queries > 0 {
		job.Queries = filepath.Join(dir, "queries")
		if err := writeRows(job.Queries, w.queries, w.d, w.centres, 2); err != nil {
			return row, err
		}
	}
	row = outlierRow{Work: w.name, Rows: w.n, Queries: w.queries, Cols: w.d}
	for range rounds {
		own, err := outlierProcess(job, self, "outlier-side")
		if err != nil {
			return row, err
		}
		peer, err := outlierProcess(job, python, "outlier.py")
		if err != nil {
			return row, err
		}
		row.Blemish, row.Peer = append(row.Blemish, own.Seconds), append(row.Peer, peer.Seconds)
		row.Memory = [2]float64{max(row.Memory[0], own.peak), max(row.Memory[1], peer.peak)}
		if len(own.scores) != len(peer.scores) || len(own.scores) == 0 {
			return row, fmt.Errorf("%d scores from Blemish, %d from scikit-learn", len(own.scores), len(peer.scores))
		}
		difference := w.agree(own.scores, peer.scores)
		if !(difference <= w.within) {
			return row, fmt.Errorf("the scores differ from scikit-learn's by %.3g, want at most %g", difference, w.within)
		}
		row.Difference = max(row.Difference, difference)
	}
	row.Ratio = middle(row.Blemish) / middle(row.Peer)
	return row, nil
}

// writeRows draws rows around so many centres, the same for every seed.
func writeRows(path string, n, d, centres int, seed uint64) error {
	centre := rand.New(rand.NewPCG(9, 9))
	means := make([]float64, centres*d)
	for i := range means {
		means[i] = 2 * centre.NormFloat64()
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, 0, 8*n*d)
	for i := range n * d {
		v := rng.NormFloat64()
		if centres > 1 {
			v += means[i/d%centres*d+i%d]
		}
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return os.WriteFile(path, out, 0o600)
}

func readRows(path string, cols int) (outlier.Matrix, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return outlier.Matrix{}, err
	}
	m := outlier.NewMatrix(len(raw)/8/cols, cols)
	for i := range m.Data {
		m.Data[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return m, nil
}

// outlierFigures are what each side prints: seconds of the work alone.
type outlierFigures struct {
	Seconds float64 `json:"seconds"`
	scores  []float64
	peak    float64 // resident memory of the whole process, in MiB
}

func outlierProcess(job outlierJob, args ...string) (f outlierFigures, err error) {
	raw, err := json.Marshal(job)
	if err != nil {
		return f, err
	}
	threads := fmt.Sprint(job.Threads)
	cmd := exec.Command(args[0], append(args[1:], string(raw))...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS="+threads, "OPENBLAS_NUM_THREADS="+threads, "MKL_NUM_THREADS="+threads, "GOMAXPROCS="+threads)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("%s: %w\n%s", args[0], err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &f); err != nil {
		return f, err
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.peak = float64(usage.Maxrss) / 1024
	}
	scores, err := readRows(job.Scores, 1)
	f.scores = scores.Data
	return f, errors.Join(err, os.Remove(job.Scores))
}

// outlierSide does what outlier.py does, and prints the same figures.
func outlierSide(raw string) error {
	var job outlierJob
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return err
	}
	x, err := readRows(job.Rows, job.Cols)
	if err != nil {
		return err
	}
	q := x
	if job.Queries != "" {
		if q, err = readRows(job.Queries, job.Cols); err != nil {
			return err
		}
	}
	ctx, opts := context.Background(), &outlier.Options{Workers: job.Threads}
	method, step, _ := strings.Cut(job.Work, "-")
	config, err := outlierConfig(method, step, x)
	if err != nil {
		return err
	}
	var scores []float64
	var elapsed time.Duration
	start := time.Now()
	if step == "" { // rows are ranked among themselves
		var r outlier.Ranking
		r, err = outlier.Rank(ctx, config, x, 0, opts)
		scores, elapsed = r.Scores, time.Since(start)
	} else {
		var d outlier.Detector
		if d, err = config.Fit(ctx, x, opts); err != nil {
			return err
		}
		elapsed = time.Since(start)
		start = time.Now()
		if scores, err = d.Score(ctx, q); step == "score" {
			elapsed = time.Since(start)
		}
	}
	if err != nil {
		return err
	}
	out := make([]byte, 0, 8*len(scores))
	for _, v := range scores {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	if err := os.WriteFile(job.Scores, out, 0o600); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outlierFigures{Seconds: elapsed.Seconds()})
}

// outlierConfig is scikit-learn's defaults, except for the mixture: both sides take 20 steps from the same start, or (gmm-kmeans) start by k-means.
func outlierConfig(method, step string, x outlier.Matrix) (outlier.Config, error) {
	switch method {
	case "lof":
		return outlier.DefaultLOF(), nil
	case "knn":
		return outlier.DefaultKNN(), nil
	case "iforest":
		return outlier.DefaultIsolationForest(), nil
	case "ocsvm":
		return outlier.DefaultOneClassSVM(), nil
	case "sgd":
		return outlier.DefaultSGDOneClassSVM(), nil
	case "kde":
		return outlier.DefaultKDE(), nil
	case "gmm":
		c := outlier.DefaultGMM()
		c.NComponents = outlier.Number(8)
		if step == "kmeans" {
			return c, nil
		}
		c.Tol, c.MaxIter = 0, 20
		identity := make([]float64, x.Cols*x.Cols)
		for j := range x.Cols {
			identity[j*x.Cols+j] = 1
		}
		for k := range 8 {
			c.WeightsInit = append(c.WeightsInit, 1./8)
			c.MeansInit = append(c.MeansInit, x.Row(k))
			c.PrecisionsInit = append(c.PrecisionsInit, identity)
		}
		return c, nil
	}
	return nil, fmt.Errorf("no method %q", method)
}
