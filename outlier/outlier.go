// Package outlier holds the classic detectors on feature vectors, one a file, with scikit-learn's parameters and defaults in Go case.
//
// There are two questions, and two calls. Fit learns from clean rows, to judge rows it has not seen (novelty detection). Rank judges the very
// rows it is given, some of which are not clean (outlier detection). A Detector never judges the rows it was fitted on as if they were new: where
// that makes a difference (a row is its own nearest neighbour), the method's configuration is a Ranker and does it right.
//
// Raw scores: higher is more anomalous. Thresholds are kept apart from them.
package outlier

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
)

// Matrix is n rows of d values each, row-major.
type Matrix struct {
	Rows, Cols int
	Data       []float64 // (Rows, Cols)
}

// NewMatrix returns zeros.
func NewMatrix(rows, cols int) Matrix { return Matrix{rows, cols, make([]float64, rows*cols)} }

// FromFloat32 copies (rows, cols) values.
func FromFloat32(data []float32, rows, cols int) Matrix {
	m := NewMatrix(rows, cols)
	for i, v := range data[:rows*cols] {
		m.Data[i] = float64(v)
	}
	return m
}

// Row returns row i, sharing its memory.
func (m Matrix) Row(i int) []float64 { return m.Data[i*m.Cols:][:m.Cols:m.Cols] }

// Config is a method's parameters.
type Config interface {
	// Validate names the first parameter that is out of range.
	Validate() error
	// Fit learns from clean rows. The same rows, configuration and seed give the same detector for any number of workers.
	Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error)
}

// Detector is a fitted method: immutable and safe for concurrent use.
type Detector interface {
	// Score returns a raw score for each row of x, which must have as many columns as the rows fitted; higher is more anomalous.
	Score(ctx context.Context, x Matrix) ([]float64, error)
	// Threshold is the method's own: scikit-learn's offset_ with the sign turned. Rows that score above it are anomalous.
	Threshold() float64
	// State is what a file keeps; opening it gives bit-identical scores.
	State() (State, error)
}

// Ranker is a configuration for which judging the rows fitted is more than fitting and scoring.
type Ranker interface {
	Config
	// RankRows returns a raw score for each row of x, compared with the others.
	RankRows(ctx context.Context, x Matrix, opts *Options) (scores []float64, threshold float64, err error)
}

// State is a fitted detector as data.
type State struct {
	Config json.RawMessage
	Arrays map[string]Array
}

// Array is a named array of a State.
type Array struct {
	Shape []int
	Data  []float64
}

// Options says how to run; it never changes a result, except by Seed. Nil means defaults.
type Options struct {
	Seed     uint64
	Workers  int                   // goroutines; 0 means GOMAXPROCS
	Progress func(done, total int) // called from one goroutine at a time; may be nil
}

func (o *Options) seed() uint64 {
	if o == nil {
		return 0
	}
	return o.Seed
}

func (o *Options) workers() int {
	if o == nil {
		return parallel.Workers(0)
	}
	return parallel.Workers(o.Workers)
}

func (o *Options) report(done, total int) {
	if o != nil && o.Progress != nil {
		o.Progress(done, total)
	}
}

// Ranking is the judgement of rows that were given unsorted.
type Ranking struct {
	Scores    []float64 // raw, one a row
	Threshold float64   // rows that score above it are outliers
}

// Rank judges each row of x beside the others. contamination is the share of rows that are outliers, in (0, 0.5]: the threshold is then the
// quantile of the scores that leaves so many above it. 0 takes the method's own threshold.
func Rank(ctx context.Context, c Config, x Matrix, contamination float64, opts *Options) (Ranking, error) {
	if !(contamination >= 0 && contamination <= 0.5) {
		return Ranking{}, &fault.ConfigError{Field: "contamination", Value: contamination, Reason: "want more than 0 and at most 0.5, or 0 for the method's own threshold"}
	}
	var r Ranking
	var err error
	if ranker, ok := c.(Ranker); ok {
		if err = check(c, x); err != nil {
			return Ranking{}, err
		}
		r.Scores, r.Threshold, err = ranker.RankRows(ctx, x, opts)
	} else {
		var d Detector
		if d, err = c.Fit(ctx, x, opts); err != nil {
			return Ranking{}, err
		}
		r.Threshold = d.Threshold()
		r.Scores, err = d.Score(ctx, x)
	}
	if err != nil {
		return Ranking{}, err
	}
	if contamination > 0 {
		r.Threshold = quantile(r.Scores, 1-contamination)
	}
	return r, nil
}

// quantile interpolates linearly between order statistics, as numpy.quantile.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	at := q * float64(len(sorted)-1)
	lo := int(math.Floor(at))
	hi := min(lo+1, len(sorted)-1)
	return sorted[lo] + (at-float64(lo))*(sorted[hi]-sorted[lo])
}

// check is what every Fit begins with: valid parameters and at least two finite rows.
func check(c Config, x Matrix) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if x.Rows < 2 || x.Cols < 1 {
		return &fault.ShapeError{What: "rows to learn from", Want: "at least 2 rows of at least 1 value", Got: []int{x.Rows, x.Cols}}
	}
	return finite(x)
}

// checkNew is what every Score begins with.
func checkNew(x Matrix, cols int) error {
	if x.Cols != cols {
		return &fault.ShapeError{What: "rows to judge", Want: fmt.Sprintf("(n,%d), as the rows fitted", cols), Got: []int{x.Rows, x.Cols}}
	}
	return finite(x)
}

// checkNewWithin is checkNew, then refuse, which is known to pass rows of magnitudes up to most: one pass by several goroutines where both pass,
// as reading the rows twice takes a tenth of the time of fast methods.
func checkNewWithin(x Matrix, cols int, most float64, refuse func(Matrix) error, workers int) error {
	const run = 1 << 14
	var beyond atomic.Bool
	parallel.For(workers, (len(x.Data)+run-1)/run, func(i int) {
		for _, v := range x.Data[i*run : min((i+1)*run, len(x.Data))] {
			if !(math.Abs(v) <= most) {
				beyond.Store(true)
				return
			}
		}
	})
	if !beyond.Load() && x.Cols == cols && len(x.Data) == x.Rows*x.Cols {
		return nil
	}
	if err := checkNew(x, cols); err != nil {
		return err
	}
	return refuse(x)
}

func finite(x Matrix) error {
	if len(x.Data) != x.Rows*x.Cols {
		return &fault.ShapeError{What: "matrix", Want: fmt.Sprintf("%d values", x.Rows*x.Cols), Got: []int{len(x.Data)}}
	}
	for i, v := range x.Data {
		if v-v != 0 {
			return fmt.Errorf("row %d, column %d (both from 0) is %v: leave such rows out, or fill them in", i/x.Cols, i%x.Cols, v)
		}
	}
	return nil
}
