package outlier

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/fault"
)

// GMMConfig scores a row by its negative log-likelihood under a mixture of normal distributions fitted by expectation maximisation, as
// scikit-learn's GaussianMixture. Random starts are seeded by Options; give weights, means and precisions to begin where scikit-learn does.
type GMMConfig struct {
	NComponents    Setting     `json:"n_components"`    // 1 or more, or "bic": the number up to max_components of least Bayesian information criterion
	MaxComponents  int         `json:"max_components"`  // of bic
	CovarianceType string      `json:"covariance_type"` // full, tied, diag or spherical
	Tol            float64     `json:"tol"`             // ends when the mean log-likelihood gains less
	RegCovar       float64     `json:"reg_covar"`       // added to the covariances' diagonals
	MaxIter        int         `json:"max_iter"`
	NInit          int         `json:"n_init"`      // starts, of which the likeliest wins
	InitParams     string      `json:"init_params"` // kmeans, k-means++ or random_from_data
	WeightsInit    []float64   `json:"weights_init,omitempty"`
	MeansInit      [][]float64 `json:"means_init,omitempty"`      // (k,d)
	PrecisionsInit [][]float64 `json:"precisions_init,omitempty"` // full: (k,d·d), tied: (1,d·d), diag: (k,d), spherical: (k,1)
	Contamination  float64     `json:"contamination"`             // share of the rows fitted that the threshold leaves above it
}

// DefaultGMM is scikit-learn's.
func DefaultGMM() GMMConfig {
	return GMMConfig{
		NComponents: Number(1), MaxComponents: 10, CovarianceType: "full", Tol: 1e-3, RegCovar: 1e-6, MaxIter: 100, NInit: 1, InitParams: "kmeans",
		Contamination: 0.1,
	}
}

// Validate names the first parameter that is out of range.
func (c GMMConfig) Validate() error {
	if err := c.NComponents.check("n_components", "bic"); err != nil {
		return err
	}
	whole := func(v float64) bool { return v >= 1 && v <= 10000 && v == math.Floor(v) }
	given := len(c.WeightsInit)+len(c.MeansInit)+len(c.PrecisionsInit) > 0
	total := 0.0
	for _, w := range c.WeightsInit {
		if total += w; !(w >= 0 && w <= 1) {
			total = math.NaN()
		}
	}
	switch {
	case c.NComponents.Name == "" && !whole(c.NComponents.Value):
		return &fault.ConfigError{Field: "n_components", Value: c.NComponents.Value, Reason: "want a whole number from 1 to 10000, or bic"}
	case c.MaxComponents < 1 || c.MaxComponents > 10000:
		return &fault.ConfigError{Field: "max_components", Value: c.MaxComponents, Reason: "want from 1 to 10000"}
	case !slices.Contains([]string{"full", "tied", "diag", "spherical"}, c.CovarianceType):
		return &fault.ConfigError{Field: "covariance_type", Value: c.CovarianceType, Reason: "known are full, tied, diag and spherical"}
	case !(c.Tol >= 0):
		return &fault.ConfigError{Field: "tol", Value: c.Tol, Reason: "want 0 or more"}
	case !(c.RegCovar >= 0) || math.IsInf(c.RegCovar, 1):
		return &fault.ConfigError{Field: "reg_covar", Value: c.RegCovar, Reason: "want 0 or more"}
	case c.MaxIter < 1:
		return &fault.ConfigError{Field: "max_iter", Value: c.MaxIter, Reason: "want 1 or more"}
	case c.NInit < 1:
		return &fault.ConfigError{Field: "n_init", Value: c.NInit, Reason: "want 1 or more"}
	case !slices.Contains([]string{"kmeans", "k-means++", "random_from_data"}, c.InitParams):
		return &fault.ConfigError{Field: "init_params", Value: c.InitParams, Reason: "known are kmeans, k-means++ and random_from_data"}
	case given && c.NComponents.Name != "":
		return &fault.ConfigError{Field: "n_components", Value: c.NComponents, Reason: "want the number that weights_init, means_init and precisions_init are of"}
	case len(c.WeightsInit) > 0 && (len(c.WeightsInit) != int(c.NComponents.Value) || !(math.Abs(total-1) < 1e-6)):
		return &fault.ConfigError{Field: "weights_init", Value: c.WeightsInit, Reason: "want one from 0 to 1 a component, 1 in all"}
	case len(c.MeansInit) > 0 && len(c.MeansInit) != int(c.NComponents.Value):
		return &fault.ConfigError{Field: "means_init", Value: len(c.MeansInit), Reason: "want one row a component"}
	}
	return checkContamination(Number(c.Contamination))
}

// GMM is a fitted GMMConfig. Scores are negative natural logarithms of likelihoods.
type GMM struct {
	config    GMMConfig
	mix       *mixture
	threshold float64
	// LowerBound is the mean log-likelihood of the rows fitted before the last step, scikit-learn's lower_bound_; 0 after opening a file.
	LowerBound float64
	Iterations int  // of the start that won
	Converged  bool // whether it ended by tol
}

// Fit finds the mixture.
func (c GMMConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	counts := []int{int(c.NComponents.Value)}
	if c.NComponents.Name == "bic" {
		counts = counts[:0]
		for k := 1; k <= min(c.MaxComponents, x.Rows); k++ {
			counts = append(counts, k)
		}
	}
	var best *GMM
	var scores []float64
	var failed error
	least := math.Inf(1)
	for i, k := range counts {
		m, err := c.fit(ctx, x, k, opts)
		if errors.Is(err, errCollapsed) && c.NComponents.Name == "bic" && best != nil {
			break // more components would collapse, too
		}
		if err != nil {
			failed = err
			break
		}
		s, err := m.score(ctx, x, opts.workers())
		if err != nil {
			return nil, err
		}
		total := 0.0
		for _, v := range s {
			total += v
		}
		if bic := 2*total + float64(m.mix.parameters())*math.Log(float64(x.Rows)); bic < least {
			best, scores, least = m, s, bic
		}
		opts.report(i+1, len(counts))
	}
	if failed != nil {
		return nil, failed
	}
	if best == nil {
		return nil, errCollapsed
	}
	best.threshold = quantile(scores, 1-c.Contamination)
	return best, nil
}

// errCollapsed is scikit-learn's complaint.
var errCollapsed = errors.New("a component's covariance is singular, as of few or equal rows or constant columns: take fewer components, raise reg_covar, or scale the columns")

// fit is Fit for one number of components.
func (c GMMConfig) fit(ctx context.Context, x Matrix, k int, opts *Options) (*GMM, error) {
	if k > x.Rows {
		return nil, &fault.ConfigError{Field: "n_components", Value: k, Reason: fmt.Sprintf("want at most the %d rows there are", x.Rows)}
	}
	if err := c.checkStart(k, x.Cols); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opts.seed(), 0x676d6d<<16+uint64(k))) // a stream of its own
	e := newExpectation(c, x, k, opts.workers())
	var best *GMM
	for range c.NInit {
		mix, err := e.start(ctx, rng)
		if err != nil {
			return nil, err
		}
		m := &GMM{config: c, mix: mix, LowerBound: math.Inf(-1)}
		for m.Iterations < c.MaxIter {
			bound, next, err := e.step(ctx, m.mix)
			if err != nil {
				return nil, err
			}
			change := bound - m.LowerBound
			m.mix, m.LowerBound = next, bound
			m.Iterations++
			if math.Abs(change) < c.Tol {
				m.Converged = true
				break
			}
		}
		if best == nil || m.LowerBound > best.LowerBound {
			best = m
		}
	}
	return best, nil
}

// checkStart compares what was given to begin with with the rows.
func (c GMMConfig) checkStart(k, d int) error {
	for _, row := range c.MeansInit {
		if len(row) != d {
			return &fault.ShapeError{What: "means_init", Want: fmt.Sprintf("(%d,%d)", k, d), Got: []int{len(c.MeansInit), len(row)}}
		}
	}
	if len(c.PrecisionsInit) == 0 {
		return nil
	}
	rows, cols := c.precisionShape(k, d)
	if len(c.PrecisionsInit) != rows {
		return &fault.ShapeError{What: "precisions_init", Want: fmt.Sprintf("(%d,%d)", rows, cols), Got: []int{len(c.PrecisionsInit)}}
	}
	for _, row := range c.PrecisionsInit {
		if len(row) != cols {
			return &fault.ShapeError{What: "precisions_init", Want: fmt.Sprintf("(%d,%d)", rows, cols), Got: []int{rows, len(row)}}
		}
	}
	return nil
}

func (c GMMConfig) precisionShape(k, d int) (rows, cols int) {
	switch c.CovarianceType {
	case "full":
		return k, d * d
	case "tied":
		return 1, d * d
	case "diag":
		return k, d
	}
	return k, 1
}

// Score returns negative log-likelihoods.
func (m *GMM) Score(ctx context.Context, x Matrix) ([]float64, error) { return m.score(ctx, x, 0) }

func (m *GMM) score(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	if err := checkNewWithin(x, m.mix.d, farthestValue, measurable, workers); err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	err := scoreBlocks(ctx, x.Rows, workers, func(_, first, last int) {
		r := m.mix.judgement()
		for from := first; from < last; from += judgedTogether {
			n := min(judgedTogether, last-from)
			m.mix.judge(x, from, from+n, r)
			for i, v := range r.logLikelihood[:n] {
				scores[from+i] = -v
			}
		}
	})
	return representable(scores, err)
}

// Threshold leaves the configured contamination of the rows fitted above it.
func (m *GMM) Threshold() float64 { return m.threshold }

// Components is the number of components, as given or chosen.
func (m *GMM) Components() int { return m.mix.k }

// State is weights, means, the inverse Cholesky factors of the covariances (packed; diagonals of diag and spherical) and the threshold.
func (m *GMM) State() (State, error) {
	return saveAs(m.config, map[string]Array{
		"weights": vectorOf(m.mix.weights), "means": arrayOf(m.mix.means), "factors": arrayOf(m.mix.factors), "threshold": numberOf(m.threshold),
	})
}

func openGMM(s State) (Detector, error) {
	c, r, err := openSaved("Gaussian mixture", s, GMMConfig{}, 4)
	if err != nil {
		return nil, err
	}
	means, threshold := r.matrix("means", -1, -1), r.number("threshold")
	k, d := means.Rows, means.Cols
	rows, size := k, d
	if r.err == nil && (c.CovarianceType == "full" || c.CovarianceType == "tied") {
		size = d * (d + 1) / 2
	}
	if c.CovarianceType == "tied" {
		rows = 1
	}
	weights, factors := r.array("weights", k), r.matrix("factors", rows, size)
	if r.err == nil && c.NComponents.Name == "" && int(c.NComponents.Value) != k {
		r.err = r.damaged("%d components, want %v", k, c.NComponents)
	}
	for _, w := range weights.Data {
		if r.err == nil && !(w >= 0 && w <= 1+1e-9) {
			r.err = r.damaged("a weight is %v", w)
		}
	}
	if r.err == nil && slices.Max(weights.Data) == 0 {
		r.err = r.damaged("all weights are 0")
	}
	if r.err != nil {
		return nil, r.err
	}
	mix := &mixture{k: k, d: d, kind: c.CovarianceType, weights: weights.Data, means: means, factors: factors}
	if err := mix.prepare(); err != nil {
		return nil, r.damaged("%v", err)
	}
	if err := measurable(means); err != nil {
		return nil, r.damaged("%v", err)
	}
	return &GMM{config: c, mix: mix, threshold: threshold}, nil
}
