package outlier

import (
	"context"
	"fmt"
	"math"

	"github.com/blemish/blemish/fault"
)

// ZScoreConfig scores a row by its most deviant column: the greatest |v - mean| / standard deviation. Means and population standard deviations
// are scikit-learn's StandardScaler's; a constant column keeps its unit, as there.
type ZScoreConfig struct {
	ThresholdAt float64 `json:"threshold"` // standard deviations
}

// DefaultZScore is the rule of three sigmas.
func DefaultZScore() ZScoreConfig { return ZScoreConfig{ThresholdAt: 3} }

// Validate names the first parameter that is out of range.
func (c ZScoreConfig) Validate() error { return checkDeviations(c.ThresholdAt) }

func checkDeviations(threshold float64) error {
	if !(threshold > 0) || math.IsInf(threshold, 1) {
		return &fault.ConfigError{Field: "threshold", Value: threshold, Reason: "want more than 0"}
	}
	return nil
}

// ZScore is a fitted ZScoreConfig. Scores are in standard deviations.
type ZScore struct {
	config ZScoreConfig
	columns
}

// Fit finds each column's mean and standard deviation.
func (c ZScoreConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	m := &ZScore{config: c, columns: newColumns(x.Cols)}
	for j := range x.Cols {
		if m.center[j], m.scale[j] = columnScale("standard", x, j); m.scale[j] <= 1e-150 {
			return nil, fmt.Errorf("column %d (from 0) has a standard deviation of %v: scale it", j, m.scale[j])
		}
	}
	return m, ctx.Err()
}

// Threshold is the configured one.
func (m *ZScore) Threshold() float64 { return m.config.ThresholdAt }

// State is each column's mean and scale.
func (m *ZScore) State() (State, error) { return saveAs(m.config, m.arrays()) }

func openZScore(s State) (Detector, error) {
	c, r, err := openSaved("z-score detector", s, ZScoreConfig{}, 2)
	if err != nil {
		return nil, err
	}
	m := &ZScore{config: c, columns: readColumns(r)}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

// columns says where each column lies and how far it spreads.
type columns struct{ center, scale []float64 }

func newColumns(d int) columns { return columns{make([]float64, d), make([]float64, d)} }

// Score returns each row's greatest deviation.
func (m columns) Score(ctx context.Context, x Matrix) ([]float64, error) {
	if err := checkNew(x, len(m.center)); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	err := scoreBlocks(ctx, x.Rows, 0, func(_, first, last int) {
		for i := first; i < last; i++ {
			for j, v := range x.Row(i) {
				scores[i] = max(scores[i], math.Abs(v-m.center[j])/m.scale[j])
			}
		}
	})
	return scores, err
}

func (m columns) arrays() map[string]Array {
	return map[string]Array{"center": vectorOf(m.center), "scale": vectorOf(m.scale)}
}

func readColumns(r *saved) columns {
	m := columns{center: r.array("center", -1).Data}
	m.scale = r.array("scale", len(m.center)).Data
	for _, v := range m.scale {
		if r.err == nil && !(v > 1e-150) {
			r.err = r.damaged("a scale is %v", v)
		}
	}
	for _, v := range m.center {
		if r.err == nil && math.Abs(v) > farthestValue {
			r.err = r.damaged("a center is %v", v)
		}
	}
	return m
}
