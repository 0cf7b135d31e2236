package outlier

import (
	"context"

	"github.com/blemish/blemish/knn"
)

// LOFConfig is the local outlier factor: how much sparser a row's neighbourhood is than its neighbours' (Breunig, Kriegel, Ng and Sander,
// SIGMOD 2000), as scikit-learn's LocalOutlierFactor: with novelty=True for Fit, without for Rank. Of fewer rows, as many neighbours are taken
// as there are. Among neighbours that are equally near, those of lowest index count.
type LOFConfig struct {
	NNeighbors    int     `json:"n_neighbors"`
	Contamination Setting `json:"contamination"` // auto: the threshold is 1.5, as in the paper
}

// DefaultLOF is scikit-learn's.
func DefaultLOF() LOFConfig { return LOFConfig{NNeighbors: 20, Contamination: Auto} }

// Validate names the first parameter that is out of range.
func (c LOFConfig) Validate() error {
	if err := checkNeighbours(c.NNeighbors); err != nil {
		return err
	}
	return checkContamination(c.Contamination)
}

// LOF is a fitted LOFConfig. Scores are factors: about 1 for a row whose neighbourhood is as dense as its neighbours'.
type LOF struct {
	config    LOFConfig
	k         int
	x         Matrix
	rows      *knn.Rows
	reach     []float64 // of each row fitted: distance from its k-th neighbour
	density   []float64 // local reachability density
	threshold float64
}

// duplicates keeps densities finite where more than k rows are the same.
const duplicates = 1e-10

// Fit measures the density around each row.
func (c LOFConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	m, _, err := c.measure(ctx, x.clone(), opts)
	return m, err
}

// RankRows compares each row with the others.
func (c LOFConfig) RankRows(ctx context.Context, x Matrix, opts *Options) (scores []float64, threshold float64, err error) {
	if err := check(c, x); err != nil {
		return nil, 0, err
	}
	m, scores, err := c.measure(ctx, x, opts)
	if err != nil {
		return nil, 0, err
	}
	return scores, m.threshold, nil
}

func (c LOFConfig) measure(ctx context.Context, x Matrix, opts *Options) (m *LOF, scores []float64, err error) {
	rows, err := searchable(x)
	if err != nil {
		return nil, nil, err
	}
	m = &LOF{config: c, k: nearRows(c.NNeighbors, x), x: x, rows: rows, threshold: 1.5}
	near, err := m.rows.Others(ctx, m.k, opts.workers())
	if err != nil {
		return nil, nil, err
	}
	m.reach = make([]float64, x.Rows)
	for i := range m.reach {
		m.reach[i] = near.Distance[i*m.k+m.k-1]
	}
	m.density = m.densities(near)
	scores = m.factors(near, m.density)
	if c.Contamination.Name == "" {
		m.threshold = quantile(scores, 1-c.Contamination.Value)
	}
	opts.report(x.Rows, x.Rows)
	return m, scores, nil
}

// densities are the inverse mean reachability distances: no neighbour counts as nearer than its own k-th neighbour is to it.
func (m *LOF) densities(near knn.Near) []float64 {
	density := make([]float64, len(near.Index)/m.k)
	for i := range density {
		sum := 0.0
		for o, j := range near.Index[i*m.k:][:m.k] {
			sum += max(near.Distance[i*m.k+o], m.reach[j])
		}
		density[i] = 1 / (sum/float64(m.k) + duplicates)
	}
	return density
}

// factors compare densities with those of the neighbours.
func (m *LOF) factors(near knn.Near, density []float64) []float64 {
	factors := make([]float64, len(density))
	for i, own := range density {
		sum := 0.0
		for _, j := range near.Index[i*m.k:][:m.k] {
			sum += m.density[j] / own
		}
		factors[i] = sum / float64(m.k)
	}
	return factors
}

// Score compares each row with its neighbours among the rows fitted.
func (m *LOF) Score(ctx context.Context, x Matrix) ([]float64, error) {
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
	return m.factors(near, m.densities(near)), nil
}

// Threshold is 1.5, or leaves the configured contamination of the rows fitted above it.
func (m *LOF) Threshold() float64 { return m.threshold }

// State is the rows fitted and what was measured around them.
func (m *LOF) State() (State, error) {
	return saveAs(m.config, map[string]Array{
		"rows": arrayOf(m.x), "reach": vectorOf(m.reach), "density": vectorOf(m.density), "threshold": numberOf(m.threshold),
	})
}

func openLOF(s State) (Detector, error) {
	c, r, err := openSaved("local outlier factor", s, LOFConfig{}, 4)
	if err != nil {
		return nil, err
	}
	x, threshold := r.matrix("rows", -1, -1), r.number("threshold")
	reach, density := r.array("reach", x.Rows), r.array("density", x.Rows)
	if r.err == nil && x.Rows < 2 {
		r.err = r.damaged("%d rows, want at least 2", x.Rows)
	}
	if r.err != nil {
		return nil, r.err
	}
	rows, err := searchable(x)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	return &LOF{config: c, k: nearRows(c.NNeighbors, x), x: x, rows: rows, reach: reach.Data, density: density.Data, threshold: threshold}, nil
}
