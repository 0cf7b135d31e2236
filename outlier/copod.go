package outlier

import "context"

// COPODConfig scores a row by the tails of an empirical copula (Li, Zhao, Botta, Ionescu and Hu, ICDM 2020), as PyOD's COPOD. New rows join the
// rows fitted one by one, as in ECODConfig.
type COPODConfig struct {
	Contamination float64 `json:"contamination"` // share of the rows fitted that the threshold leaves above it
}

// DefaultCOPOD is PyOD's.
func DefaultCOPOD() COPODConfig { return COPODConfig{Contamination: 0.1} }

// Validate names the first parameter that is out of range.
func (c COPODConfig) Validate() error { return checkContamination(Number(c.Contamination)) }

// Fit sorts the columns.
func (c COPODConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	t, _, err := rankTails(ctx, c, x, copodTail, c.Contamination, opts)
	if err != nil {
		return nil, err
	}
	return &COPOD{c, t}, nil
}

// RankRows scores the rows among themselves.
func (c COPODConfig) RankRows(ctx context.Context, x Matrix, opts *Options) ([]float64, float64, error) {
	t, scores, err := rankTails(ctx, c, x, copodTail, c.Contamination, opts)
	if err != nil {
		return nil, 0, err
	}
	return scores, t.threshold, nil
}

// COPOD is a fitted COPODConfig. Scores are sums of negative natural logarithms of tail probabilities.
type COPOD struct {
	config COPODConfig
	tails
}

// State is the sorted columns and the threshold.
func (m *COPOD) State() (State, error) { return saveAs(m.config, m.arrays()) }

func openCOPOD(s State) (Detector, error) {
	c, r, err := openSaved("COPOD detector", s, COPODConfig{}, 2)
	if err != nil {
		return nil, err
	}
	t, err := readTails(r, copodTail)
	if err != nil {
		return nil, err
	}
	return &COPOD{c, t}, nil
}

// copodTail takes the greater of the mean of both tails and the tail on the side of the column's skewness.
func copodTail(left, right, skewed float64) float64 { return max(skewed, (left+right)/2) }
