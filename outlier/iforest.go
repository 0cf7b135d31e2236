package outlier

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
)

// IsolationForestConfig finds rows that few random splits set apart (Liu, Ting and Zhou, ICDM 2008), as scikit-learn's IsolationForest. With
// an extension level above 0, splits are oblique: across so many further columns (Hariri, Carrasco Kind and Brunner, TKDE 33, 2021).
//
// As there, rows are rounded to single precision before all else.
type IsolationForestConfig struct {
	NEstimators    int     `json:"n_estimators"`
	MaxSamples     Setting `json:"max_samples"`   // rows a tree grows from: auto is 256, or all if fewer; at most 1 is a share of them
	MaxFeatures    float64 `json:"max_features"`  // columns a tree may split: at most 1 is a share of them
	Bootstrap      bool    `json:"bootstrap"`     // draw a tree's rows with replacement
	Contamination  Setting `json:"contamination"` // auto: the threshold is 0.5, as in the paper
	ExtensionLevel int     `json:"extension_level"`
}

// DefaultIsolationForest is scikit-learn's.
func DefaultIsolationForest() IsolationForestConfig {
	return IsolationForestConfig{NEstimators: 100, MaxSamples: Auto, MaxFeatures: 1, Contamination: Auto}
}

// Validate names the first parameter that is out of range.
func (c IsolationForestConfig) Validate() error {
	if err := c.MaxSamples.check("max_samples", "auto"); err != nil {
		return err
	}
	whole := func(v float64) bool { return v <= 1 || v == math.Trunc(v) && v < 1<<31 }
	switch {
	case c.NEstimators < 1:
		return &fault.ConfigError{Field: "n_estimators", Value: c.NEstimators, Reason: "want 1 or more"}
	case c.MaxSamples.Name == "" && !whole(c.MaxSamples.Value):
		return &fault.ConfigError{Field: "max_samples", Value: c.MaxSamples.Value, Reason: "want a whole number of rows, or a share of at most 1"}
	case !(c.MaxFeatures > 0) || !whole(c.MaxFeatures):
		return &fault.ConfigError{Field: "max_features", Value: c.MaxFeatures, Reason: "want a whole number of columns, or a share of at most 1"}
	case c.ExtensionLevel < 0:
		return &fault.ConfigError{Field: "extension_level", Value: c.ExtensionLevel, Reason: "want 0 (splits of one column) or more"}
	}
	return checkContamination(c.Contamination)
}

// sizes are the rows and columns of each tree.
func (c IsolationForestConfig) sizes(x Matrix) (rows, cols int, err error) {
	rows = min(256, x.Rows)
	if s := c.MaxSamples; s.Name == "" {
		rows = int(s.Value)
		if s.Value <= 1 {
			rows = int(s.Value * float64(x.Rows))
		}
	}
	rows = min(rows, x.Rows) // as scikit-learn, which warns
	if rows < 1 {
		return 0, 0, &fault.ConfigError{Field: "max_samples", Value: c.MaxSamples.Value, Reason: fmt.Sprintf("leaves no row of %d", x.Rows)}
	}
	cols = int(c.MaxFeatures)
	if c.MaxFeatures <= 1 {
		cols = max(1, int(c.MaxFeatures*float64(x.Cols)))
	}
	if cols > x.Cols {
		return 0, 0, &fault.ConfigError{Field: "max_features", Value: c.MaxFeatures, Reason: fmt.Sprintf("there are %d columns", x.Cols)}
	}
	if c.ExtensionLevel >= cols {
		return 0, 0, &fault.ConfigError{Field: "extension_level", Value: c.ExtensionLevel, Reason: fmt.Sprintf("want at most %d: a tree splits %d columns", cols-1, cols)}
	}
	return rows, cols, nil
}

// IsolationForest is a fitted IsolationForestConfig. Scores are 2^(-mean path length / path length expected), from 0 to 1; 0.5 is usual.
type IsolationForest struct {
	config    IsolationForestConfig
	cols      int
	samples   int // rows that each tree grew from
	trees     []isolationTree
	threshold float64
}

// Fit grows the trees.
func (c IsolationForestConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	rows, cols, err := c.sizes(x)
	if err != nil {
		return nil, err
	}
	if err := single(x); err != nil {
		return nil, err
	}
	f := &IsolationForest{config: c, cols: x.Cols, samples: rows, trees: make([]isolationTree, c.NEstimators), threshold: 0.5}
	parallel.For(opts.workers(), len(f.trees), func(i int) {
		if ctx.Err() == nil {
			g := grower{rng: rand.New(rand.NewPCG(opts.seed(), 0x69666f72<<32+uint64(i))), level: c.ExtensionLevel}
			f.trees[i] = g.grow(x, g.drawRows(x.Rows, rows, c.Bootstrap), g.drawColumns(x.Cols, cols))
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opts.report(len(f.trees), len(f.trees))
	if c.Contamination.Name == "" {
		scores, err := f.scores(ctx, x, opts.workers())
		if err != nil {
			return nil, err
		}
		f.threshold = quantile(scores, 1-c.Contamination.Value)
	}
	return f, nil
}

// single refuses values that single precision does not hold.
func single(x Matrix) error {
	for i, v := range x.Data {
		if math.Abs(v) > math.MaxFloat32 {
			return fmt.Errorf("row %d, column %d (both from 0) is %v: too large for single precision", i/x.Cols, i%x.Cols, v)
		}
	}
	return nil
}

// forestRows go through the trees together: they and a tree fit the first cache.
const forestRows = 64

func (f *IsolationForest) scores(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	if err := checkNewWithin(x, f.cols, math.MaxFloat32, single, workers); err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	// A tree of one row tells nothing, and has no expected path.
	expected := float64(len(f.trees)) * averagePath(f.samples)
	const task = 16 * forestRows
	parallel.For(workers, (x.Rows+task-1)/task, func(b int) {
		if ctx.Err() != nil {
			return
		}
		block := make([]float32, forestRows*f.cols)
		for from := b * task; from < min((b+1)*task, x.Rows); from += forestRows {
			to := min(from+forestRows, x.Rows)
			for i, v := range x.Data[from*f.cols : to*f.cols] {
				block[i] = float32(v)
			}
			clear(block[(to-from)*f.cols:])
			var sums [forestRows]float64
			for t := range f.trees {
				f.trees[t].addPaths(&sums, block, f.cols)
			}
			for i := from; i < to; i++ {
				scores[i] = 0.5
				if expected > 0 {
					scores[i] = math.Exp2(-sums[i-from] / expected)
				}
			}
		}
	})
	return scores, ctx.Err()
}

// Score returns each row's anomaly score.
func (f *IsolationForest) Score(ctx context.Context, x Matrix) ([]float64, error) {
	return f.scores(ctx, x, 0)
}

// Threshold is 0.5, or leaves the configured contamination of the rows fitted above it.
func (f *IsolationForest) Threshold() float64 { return f.threshold }
