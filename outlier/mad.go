package outlier

import (
	"context"
	"fmt"
	"math"
)

// MADConfig scores a row by its most deviant column: the greatest modified z-score, 0.6745·|v - median| / MAD, where MAD is the median absolute
// deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993); for one column, PyOD's MAD. Up to half of the rows may be outliers.
//
// A constant column keeps its unit. One of which more than half of the values are equal, but not all, is refused: its MAD is 0, and PyOD's scores
// are infinite.
type MADConfig struct {
	ThresholdAt float64 `json:"threshold"`
}

// DefaultMAD is PyOD's.
func DefaultMAD() MADConfig { return MADConfig{ThresholdAt: 3.5} }

// Validate names the first parameter that is out of range.
func (c MADConfig) Validate() error { return checkDeviations(c.ThresholdAt) }

// MAD is a fitted MADConfig. For normal columns, scores are in standard deviations.
type MAD struct {
	config MADConfig
	columns
}

// Fit finds each column's median and median absolute deviation.
func (c MADConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	m := &MAD{config: c, columns: newColumns(x.Cols)}
	values := make([]float64, x.Rows)
	for j := range x.Cols {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range values {
			values[i] = x.Row(i)[j]
		}
		median := quantile(values, 0.5)
		farthest := 0.0
		for i, v := range values {
			values[i] = math.Abs(v - median)
			farthest = max(farthest, values[i])
		}
		spread := quantile(values, 0.5)
		switch {
		case farthest == 0:
			spread = 0.6745
		case !(spread > 1e-150):
			return nil, fmt.Errorf("column %d (from 0): at least half of its values are equal, so that its median absolute deviation is 0: leave the column out, or take zscore", j)
		}
		m.center[j], m.scale[j] = median, spread/0.6745
	}
	return m, nil
}

// Threshold is the configured one.
func (m *MAD) Threshold() float64 { return m.config.ThresholdAt }

// State is each column's median and scale.
func (m *MAD) State() (State, error) { return saveAs(m.config, m.arrays()) }

func openMAD(s State) (Detector, error) {
	c, r, err := openSaved("MAD detector", s, MADConfig{}, 2)
	if err != nil {
		return nil, err
	}
	m := &MAD{config: c, columns: readColumns(r)}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}
