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
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/outlier"
)

// outlierJob is what both sides are given.
type outlierJob struct {
	Work    string `json:"work"`
	Rows    string `json:"rows"`    // file of float64
	Queries string `json:"queries"` // likewise; rows are judged themselves without
	Cols    int    `json:"cols"`
	Threads int    `json:"threads"`
}

// outlierWork is a line of the table.
type outlierWork struct {
	name          string
	n, d, queries int
	centres       int // of the normal distributions the rows are drawn from
}

var outlierWorks = []outlierWork{
	{"lof", 20000, 64, 0, 1},
	{"knn", 20000, 64, 0, 1},
	{"iforest-fit", 100000, 64, 0, 1},
	{"iforest-score", 100000, 64, 0, 1},
	{"ocsvm-fit", 5000, 64, 0, 1},
	{"kde", 20000, 16, 2000, 1},
	{"gmm", 50000, 32, 0, 8},
}

// outlierRow is what -json writes for a line: seconds of each round, and the ratio of medians Blemish/scikit-learn.
type outlierRow struct {
	Work    string    `json:"work"`
	Rows    int       `json:"rows"`
	Cols    int       `json:"cols"`
	Blemish []float64 `json:"blemish_s"`
	Peer    []float64 `json:"scikit_learn_s"`
	Ratio   float64   `json:"ratio"`
	Checks  []float64 `json:"mean_scores"` // of Blemish and of scikit-learn in the last round: the same where both compute the same
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
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *threads < 1 {
		return errors.New("-rounds, -threads: want 1 or more")
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
	fmt.Fprintf(text, "%s, %d threads, medians of %d rounds\n\tn\td\tBlemish, s\tscikit-learn, s\tratio\n", cpuName(), *threads, *rounds)
	for _, w := range outlierWorks {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), w.name) {
			continue
		}
		if *short {
			w.n, w.queries = w.n/20, w.queries/20
		}
		job := outlierJob{Work: w.name, Cols: w.d, Threads: *threads, Rows: filepath.Join(dir, "rows")}
		if err := writeRows(job.Rows, w.n, w.d, w.centres, 1); err != nil {
			return err
		}
		if w.queries > 0 {
			job.Queries = filepath.Join(dir, "queries")
			if err := writeRows(job.Queries, w.queries, w.d, w.centres, 2); err != nil {
				return err
			}
		}
		row := outlierRow{Work: w.name, Rows: w.n, Cols: w.d}
		for range *rounds {
			own, err := outlierProcess(job, self, "outlier-side")
			if err != nil {
				return err
			}
			peer, err := outlierProcess(job, *python, "outlier.py")
			if err != nil {
				return err
			}
			row.Blemish, row.Peer = append(row.Blemish, own.Seconds), append(row.Peer, peer.Seconds)
			row.Checks = []float64{own.Mean, peer.Mean}
		}
		row.Ratio = middle(row.Blemish) / middle(row.Peer)
		fmt.Fprintf(text, "%s\t%d\t%d\t%.4g\t%.4g\t%.3f\n", w.name, w.n, w.d, middle(row.Blemish), middle(row.Peer), row.Ratio)
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

// outlierFigures are what each side prints: seconds of the work alone, and the mean of its result, higher more anomalous.
type outlierFigures struct {
	Seconds float64 `json:"seconds"`
	Mean    float64 `json:"mean"`
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
	return f, json.Unmarshal(out, &f)
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
	runtime.GOMAXPROCS(job.Threads)
	ctx, opts := context.Background(), &outlier.Options{Workers: job.Threads}
	var scores []float64
	var start time.Time
	rank := func(c outlier.Config) error {
		start = time.Now()
		r, err := outlier.Rank(ctx, c, x, 0, opts)
		scores = r.Scores
		return err
	}
	fit := func(c outlier.Config) (outlier.Detector, error) { // what is timed, unless judging is
		start = time.Now()
		return c.Fit(ctx, x, opts)
	}
	judge := func(d outlier.Detector, err error) error {
		if err == nil {
			scores, err = d.Score(ctx, q)
		}
		return err
	}
	judging := func(d outlier.Detector, err error) error {
		start = time.Now()
		return judge(d, err)
	}
	switch job.Work {
	case "lof":
		err = rank(outlier.DefaultLOF())
	case "knn":
		err = rank(outlier.DefaultKNN())
	case "iforest-fit":
		_, err = fit(outlier.DefaultIsolationForest())
	case "iforest-score":
		err = judging(fit(outlier.DefaultIsolationForest()))
	case "ocsvm-fit":
		_, err = fit(outlier.DefaultOneClassSVM())
	case "kde":
		err = judge(fit(outlier.DefaultKDE()))
	case "gmm":
		c := outlier.DefaultGMM()
		c.NComponents, c.Tol, c.MaxIter = outlier.Number(8), 0, 20
		for k := range 8 {
			c.MeansInit = append(c.MeansInit, x.Row(k))
		}
		err = judge(fit(c))
	default:
		err = fmt.Errorf("no work %q", job.Work)
	}
	if err != nil {
		return err
	}
	f := outlierFigures{Seconds: time.Since(start).Seconds()}
	for _, v := range scores {
		f.Mean += v / float64(len(scores))
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}
