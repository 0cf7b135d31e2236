package outlier

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/blemish/blemish/fault"
)

// KDEConfig scores a row by its negative log-density under a kernel density estimate, as scikit-learn's KernelDensity with Euclidean distances and
// no tolerances: every kernel value counts.
//
// Where no kernel reaches (only kernels of bounded support end), scikit-learn's log-density is -Inf; the score is then math.MaxFloat64.
type KDEConfig struct {
	Bandwidth     Setting `json:"bandwidth"` // number, "scott" or "silverman"; these two know nothing of the columns' scales
	Kernel        string  `json:"kernel"`    // gaussian, tophat, epanechnikov, exponential, linear or cosine
	Contamination float64 `json:"contamination"`
}

// DefaultKDE is scikit-learn's.
func DefaultKDE() KDEConfig {
	return KDEConfig{Bandwidth: Number(1), Kernel: "gaussian", Contamination: 0.1}
}

// Validate names the first parameter that is out of range.
func (c KDEConfig) Validate() error {
	if err := c.Bandwidth.check("bandwidth", "scott", "silverman"); err != nil {
		return err
	}
	if c.Bandwidth.Name == "" && !(c.Bandwidth.Value >= 1e-100 && c.Bandwidth.Value <= 1e100) {
		return &fault.ConfigError{Field: "bandwidth", Value: c.Bandwidth.Value, Reason: "want from 1e-100 to 1e100"}
	}
	if !slices.Contains([]string{"gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"}, c.Kernel) {
		return &fault.ConfigError{Field: "kernel", Value: c.Kernel, Reason: "known are gaussian, tophat, epanechnikov, exponential, linear and cosine"}
	}
	return checkContamination(Number(c.Contamination))
}

// KDE is a fitted KDEConfig. Scores are negative natural logarithms of densities.
type KDE struct {
	config    KDEConfig
	x         Matrix
	blocks    []kdeBlock
	bandwidth float64
	threshold func() float64 // computed when first asked for, since it costs more than fitting and most scoring
}

// Fit keeps the rows.
func (c KDEConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	m := c.prepare(x.clone())
	m.threshold = sync.OnceValue(m.ownThreshold)
	return m, ctx.Err()
}

func (c KDEConfig) prepare(x Matrix) *KDE {
	n, d := float64(x.Rows), float64(x.Cols)
	m := &KDE{config: c, x: x, bandwidth: c.Bandwidth.Value}
	switch c.Bandwidth.Name {
	case "scott":
		m.bandwidth = math.Pow(n, -1/(d+4))
	case "silverman":
		m.bandwidth = math.Pow(n*(d+2)/4, -1/(d+4))
	}
	m.blocks = interleave(x)
	return m
}

// thresholdRows bounds the rows fitted that the threshold is a quantile of.
const thresholdRows = 2000

// ownThreshold is the quantile of the scores of up to 2000 rows fitted, evenly apart, each without itself.
func (m *KDE) ownThreshold() float64 {
	n := min(m.x.Rows, thresholdRows)
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i * m.x.Rows / n
	}
	scores, _ := m.score(context.Background(), rowsOf(m.x, rows), rows, 0)
	return quantile(scores, 1-m.config.Contamination)
}

// RankRows scores each row by the density of the others (leave-one-out).
func (c KDEConfig) RankRows(ctx context.Context, x Matrix, opts *Options) ([]float64, float64, error) {
	if err := check(c, x); err != nil {
		return nil, 0, err
	}
	if err := measurable(x); err != nil {
		return nil, 0, err
	}
	rows := make([]int, x.Rows)
	for i := range rows {
		rows[i] = i
	}
	scores, err := c.prepare(x).score(ctx, x, rows, opts.workers())
	if err != nil {
		return nil, 0, err
	}
	opts.report(x.Rows, x.Rows)
	return scores, quantile(scores, 1-c.Contamination), nil
}

// Score returns negative log-densities.
func (m *KDE) Score(ctx context.Context, x Matrix) ([]float64, error) {
	if err := checkNew(x, m.x.Cols); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	return m.score(ctx, x, nil, 0)
}

// queriesAtOnce go through the rows fitted together, so that a block of these is read once from memory.
const queriesAtOnce = 16

// score adds up the kernels around the rows fitted. own, if not nil, are the queries' own numbers among these, which are left out.
func (m *KDE) score(ctx context.Context, x Matrix, own []int, workers int) ([]float64, error) {
	others := m.x.Rows
	if own != nil {
		others--
	}
	norm := logKernelVolume(m.config.Kernel, x.Cols) + float64(x.Cols)*math.Log(m.bandwidth) + math.Log(float64(others))
	scores := make([]float64, x.Rows)
	err := scoreGroups(ctx, x.Rows, queriesAtOnce, workers, func(first, last int) {
		var sums [queriesAtOnce]kernelSum
		for q := range sums {
			sums[q].shift = math.Inf(-1)
		}
		values := make([]float64, rowBlock)
		for b, block := range m.blocks {
			for i := first; i < last; i++ {
				block.distances(values, x.Row(i))
				without := -1
				if own != nil && own[i]/rowBlock == b {
					without = own[i] % rowBlock
				}
				sums[i-first].add(m.config.Kernel, m.bandwidth, values[:block.rows], without)
			}
		}
		for i := first; i < last; i++ {
			s := sums[i-first]
			if scores[i] = norm - math.Log(s.sum) - s.shift; s.sum == 0 {
				scores[i] = math.MaxFloat64
			}
		}
	})
	return scores, err
}

// Threshold leaves the configured contamination of the rows fitted above it, each judged by the others (of more than 2000, of 2000 evenly apart).
func (m *KDE) Threshold() float64 { return m.threshold() }

// State is the rows fitted.
func (m *KDE) State() (State, error) {
	return saveAs(m.config, map[string]Array{"rows": arrayOf(m.x), "threshold": numberOf(m.threshold())})
}

func openKDE(s State) (Detector, error) {
	c, r, err := openSaved("kernel density", s, KDEConfig{}, 2)
	if err != nil {
		return nil, err
	}
	x, threshold := r.matrix("rows", -1, -1), r.number("threshold")
	if r.err == nil && x.Rows < 2 {
		r.err = r.damaged("%d rows, want at least 2", x.Rows)
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := measurable(x); err != nil {
		return nil, r.damaged("%v", err)
	}
	m := c.prepare(x)
	m.threshold = func() float64 { return threshold }
	return m, nil
}
