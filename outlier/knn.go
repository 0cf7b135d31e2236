package outlier

import (
	"context"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/knn"
)

// KNNConfig scores a row by its distance from its nearest neighbours (Ramaswamy, Rastogi and Shim, SIGMOD 2000; Angiulli and Pizzuti, PKDD
// 2002), as PyOD's KNN. Of fewer rows, as many neighbours are taken as there are.
type KNNConfig struct {
	NNeighbors    int     `json:"n_neighbors"`
	Method        string  `json:"method"`        // of the distances of the k nearest: largest, mean or median
	Contamination float64 `json:"contamination"` // share of the rows fitted that the threshold leaves above it
}

// DefaultKNN is PyOD's.
func DefaultKNN() KNNConfig { return KNNConfig{NNeighbors: 5, Method: "largest", Contamination: 0.1} }

// Validate names the first parameter that is out of range.
func (c KNNConfig) Validate() error {
	if err := checkNeighbours(c.NNeighbors); err != nil {
		return err
	}
	if !slices.Contains([]string{"largest", "mean", "median"}, c.Method) {
		return &fault.ConfigError{Field: "method", Value: c.Method, Reason: "known are largest, mean and median"}
	}
	return checkContamination(Number(c.Contamination))
}

// KNN is a fitted KNNConfig. Scores are Euclidean distances.
type KNN struct {
	config    KNNConfig
	k         int
	x         Matrix
	rows      *knn.Rows
	threshold float64
}

// Fit keeps the rows. The threshold is a quantile of their own scores, each without itself.
func (c KNNConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	m, err := c.prepare(x.clone())
	if err != nil {
		return nil, err
	}
	_, m.threshold, err = m.rank(ctx, opts)
	return m, err
}

// RankRows scores each row by its distance from the others.
func (c KNNConfig) RankRows(ctx context.Context, x Matrix, opts *Options) (scores []float64, threshold float64, err error) {
	if err := check(c, x); err != nil {
		return nil, 0, err
	}
	m, err := c.prepare(x)
	if err != nil {
		return nil, 0, err
	}
	return m.rank(ctx, opts)
}

func (c KNNConfig) prepare(x Matrix) (*KNN, error) {
	rows, err := searchable(x)
	return &KNN{config: c, k: nearRows(c.NNeighbors, x), x: x, rows: rows}, err
}

func (m *KNN) rank(ctx context.Context, opts *Options) (scores []float64, threshold float64, err error) {
	near, err := m.rows.Others(ctx, m.k, opts.workers())
	if err != nil {
		return nil, 0, err
	}
	opts.report(m.x.Rows, m.x.Rows)
	scores = m.config.scores(near)
	return scores, quantile(scores, 1-m.config.Contamination), nil
}

// scores summarises the distances, which are in order.
func (c KNNConfig) scores(near knn.Near) []float64 {
	k := near.K
	scores := make([]float64, len(near.Distance)/k)
	for i := range scores {
		d := near.Distance[i*k:][:k]
		switch c.Method {
		case "largest":
			scores[i] = d[k-1]
		case "mean":
			for _, v := range d {
				scores[i] += v / float64(k)
			}
		case "median":
			scores[i] = (d[(k-1)/2] + d[k/2]) / 2
		}
	}
	return scores
}

// Score returns each row's distance from the rows fitted.
func (m *KNN) Score(ctx context.Context, x Matrix) ([]float64, error) {
	if err := checkNew(x, m.x.Cols); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	near, err := m.rows.Nearest(ctx, x.Data, m.k, 0)
	if err != nil {
		return nil, err
	}
	return m.config.scores(near), nil
}

// Threshold leaves the configured contamination of the rows fitted above it.
func (m *KNN) Threshold() float64 { return m.threshold }

// State is the rows fitted.
func (m *KNN) State() (State, error) {
	return saveAs(m.config, map[string]Array{"rows": arrayOf(m.x), "threshold": numberOf(m.threshold)})
}

func openKNN(s State) (Detector, error) {
	c, r, err := openSaved("k-NN detector", s, KNNConfig{}, 2)
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
	m, err := c.prepare(x)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	m.threshold = threshold
	return m, nil
}
