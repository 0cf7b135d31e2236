package outlier

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/linalg"
)

// MahalanobisConfig scores a row by its squared Mahalanobis distance from the mean, with scikit-learn's covariance estimators:
// EmpiricalCovariance, LedoitWolf, OAS, or MinCovDet (with contamination: EllipticEnvelope).
type MahalanobisConfig struct {
	Covariance      string  `json:"covariance"`                 // empirical, ledoit_wolf, oas or robust
	SupportFraction float64 `json:"support_fraction,omitempty"` // of robust: the share of rows whose determinant is least; 0 takes (n+d+1)/2 rows
	Contamination   float64 `json:"contamination"`              // share of the rows fitted that the threshold leaves above it
}

// DefaultMahalanobis is scikit-learn's EllipticEnvelope, but with Ledoit and Wolf's covariance, which exists for any number of rows.
func DefaultMahalanobis() MahalanobisConfig {
	return MahalanobisConfig{Covariance: "ledoit_wolf", Contamination: 0.1}
}

// Validate names the first parameter that is out of range.
func (c MahalanobisConfig) Validate() error {
	switch {
	case !slices.Contains([]string{"empirical", "ledoit_wolf", "oas", "robust"}, c.Covariance):
		return &fault.ConfigError{Field: "covariance", Value: c.Covariance, Reason: "known are empirical, ledoit_wolf, oas and robust"}
	case !(c.SupportFraction >= 0 && c.SupportFraction <= 1) || c.SupportFraction > 0 && c.Covariance != "robust":
		return &fault.ConfigError{Field: "support_fraction", Value: c.SupportFraction, Reason: "want more than 0 and at most 1, with covariance robust"}
	}
	return checkContamination(Number(c.Contamination))
}

// Mahalanobis is a fitted MahalanobisConfig. Scores are squared distances.
type Mahalanobis struct {
	config    MahalanobisConfig
	location  []float64 // (d)
	whitening Matrix    // (r,d): W·(row - location) has unit covariance on the r directions in which the rows vary
	threshold float64
}

// Fit estimates location and covariance. Directions in which the rows do not vary count nothing, as with scikit-learn's pseudo-inverse.
func (c MahalanobisConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	location, lower, err := c.estimate(ctx, x, opts)
	if err != nil {
		return nil, err
	}
	m := &Mahalanobis{config: c, location: location}
	if m.whitening, err = whiten(lower, x.Cols); err != nil {
		return nil, err
	}
	scores, err := m.score(ctx, x, opts.workers())
	if err != nil {
		return nil, err
	}
	m.threshold = quantile(scores, 1-c.Contamination)
	opts.report(x.Rows, x.Rows)
	return m, nil
}

// estimate returns the covariance packed.
func (c MahalanobisConfig) estimate(ctx context.Context, x Matrix, opts *Options) (location, lower []float64, err error) {
	if c.Covariance == "robust" {
		return c.minCovDet(ctx, x, opts)
	}
	location, lower, err = empiricalCovariance(ctx, x, opts.workers())
	if err != nil {
		return nil, nil, err
	}
	switch c.Covariance {
	case "ledoit_wolf":
		shrink(lower, x.Cols, ledoitWolfShrinkage(centredOn(x, location), lower))
	case "oas":
		shrink(lower, x.Cols, oasShrinkage(x.Rows, lower, x.Cols))
	}
	return location, lower, nil
}

// whiten returns eigenvectors divided by the roots of their eigenvalues. Those up to d·2⁻⁵² of the greatest count as 0, as in scipy's pinvh.
func whiten(lower []float64, d int) (Matrix, error) {
	values, vectors, err := linalg.SymmetricEigen(squareOf(lower, d), d)
	if err != nil {
		return Matrix{}, err
	}
	least := values[0] * float64(d) * 0x1p-52
	rank := 0
	for rank < d && values[rank] > max(least, 1e-300) {
		root := math.Sqrt(values[rank])
		for j := range d {
			vectors[rank*d+j] /= root
		}
		rank++
	}
	if rank == 0 {
		return Matrix{}, errors.New("all rows are equal: there is no covariance to measure distances by")
	}
	return Matrix{rank, d, vectors[:rank*d]}, nil
}

// Score returns squared distances.
func (m *Mahalanobis) Score(ctx context.Context, x Matrix) ([]float64, error) {
	return m.score(ctx, x, 0)
}

func (m *Mahalanobis) score(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	if err := checkNew(x, len(m.location)); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	err := scoreBlocks(ctx, x.Rows, workers, func(_, first, last int) {
		z := make([]float64, x.Cols)
		for i := first; i < last; i++ {
			for j, v := range x.Row(i) {
				z[j] = v - m.location[j]
			}
			for k := range m.whitening.Rows {
				y := dotProduct(m.whitening.Row(k), z)
				scores[i] += y * y
			}
		}
	})
	return representable(scores, err)
}

// representable refuses scores beyond float64.
func representable(scores []float64, err error) ([]float64, error) {
	if err != nil {
		return nil, err
	}
	for i, v := range scores {
		if v-v != 0 {
			return nil, &fault.LimitError{What: "score of row " + Number(float64(i)).String() + " (from 0)", Limit: "double precision: scale the columns"}
		}
	}
	return scores, nil
}

// Threshold leaves the configured contamination of the rows fitted above it.
func (m *Mahalanobis) Threshold() float64 { return m.threshold }

// State is location, whitening and threshold.
func (m *Mahalanobis) State() (State, error) {
	return saveAs(m.config, map[string]Array{"location": vectorOf(m.location), "whitening": arrayOf(m.whitening), "threshold": numberOf(m.threshold)})
}

func openMahalanobis(s State) (Detector, error) {
	c, r, err := openSaved("Mahalanobis detector", s, MahalanobisConfig{}, 3)
	if err != nil {
		return nil, err
	}
	m := &Mahalanobis{config: c, whitening: r.matrix("whitening", -1, -1), threshold: r.number("threshold")}
	m.location = r.array("location", m.whitening.Cols).Data
	if r.err == nil && m.whitening.Rows > m.whitening.Cols {
		r.err = r.damaged("whitening has more directions than columns")
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}
