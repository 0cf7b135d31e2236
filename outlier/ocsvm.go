package outlier

import (
	"context"

	"github.com/blemish/blemish/fault"
)

// OneClassSVMConfig separates the rows from the origin in the kernel's space (Schölkopf, Platt, Shawe-Taylor, Smola and Williamson, Neural
// Computation 13, 2001), as scikit-learn's OneClassSVM.
type OneClassSVMConfig struct {
	KernelConfig
	Nu        float64 `json:"nu"`  // at most this share of the rows fitted are outliers, at least this share are support vectors
	Tol       float64 `json:"tol"` // largest violation of optimality
	Shrinking bool    `json:"shrinking"`
	CacheSize float64 `json:"cache_size"` // of the kernel's rows, in MiB
	MaxIter   int     `json:"max_iter"`   // -1: none; where it is reached, Fit fails
}

// DefaultOneClassSVM is scikit-learn's.
func DefaultOneClassSVM() OneClassSVMConfig {
	return OneClassSVMConfig{
		KernelConfig: KernelConfig{Kernel: "rbf", Gamma: Setting{Name: "scale"}, Degree: 3},
		Nu:           0.5, Tol: 1e-3, Shrinking: true, CacheSize: 200, MaxIter: -1,
	}
}

// Validate names the first parameter that is out of range.
func (c OneClassSVMConfig) Validate() error {
	switch {
	case !(c.Nu > 0 && c.Nu <= 1):
		return &fault.ConfigError{Field: "nu", Value: c.Nu, Reason: "want more than 0 and at most 1"}
	case !(c.Tol > 0):
		return &fault.ConfigError{Field: "tol", Value: c.Tol, Reason: "want more than 0"}
	case !(c.CacheSize > 0):
		return &fault.ConfigError{Field: "cache_size", Value: c.CacheSize, Reason: "want more than 0 MiB"}
	case c.MaxIter < -1:
		return &fault.ConfigError{Field: "max_iter", Value: c.MaxIter, Reason: "want -1 (none) or more"}
	}
	return c.KernelConfig.Validate()
}

// OneClassSVM is a fitted OneClassSVMConfig. The score of a row x is -Σ α K(sv,x), scikit-learn's score_samples with the sign turned, and the
// threshold is -ρ: its decision_function is threshold - score.
type OneClassSVM struct {
	config  OneClassSVMConfig
	kernel  *mapped
	support Matrix    // rows with α > 0
	alpha   []float64 // of each, in (0, 1]; they add up to nu·rows
	mapped  []float32 // support
	rho     float64
}

// Fit solves the dual problem.
func (c OneClassSVMConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	m := &OneClassSVM{config: c, kernel: c.mapping(c.gamma(x), c.shiftOf(x))}
	s, err := c.solve(ctx, x, m.kernel, opts)
	if err != nil {
		return nil, err
	}
	m.support = Matrix{Cols: x.Cols}
	for i, a := range s.alpha {
		if a > 0 {
			m.support.Data = append(m.support.Data, x.Row(i)...)
			m.support.Rows++
			m.alpha = append(m.alpha, a)
		}
	}
	m.rho = s.rho()
	m.mapped, err = m.kernel.rows(m.support)
	return m, err
}

func (c OneClassSVMConfig) solve(ctx context.Context, x Matrix, k *mapped, opts *Options) (*smo, error) {
	rows, err := k.rows(x)
	if err != nil {
		return nil, err
	}
	cache := newRowCache(k, rows, c.CacheSize, opts.workers())
	s := &smo{
		q: cache, diagonal: make([]float64, x.Rows), alpha: make([]float64, x.Rows),
		shrinking: c.Shrinking, tolerance: c.Tol, maxIter: c.MaxIter, workers: opts.workers(),
	}
	left := c.Nu * float64(x.Rows)
	for i := range s.alpha {
		s.diagonal[i] = k.own(cache.row(i))
		s.alpha[i] = min(left, 1)
		left -= s.alpha[i]
	}
	_, err = s.run(ctx)
	return s, err
}

// Score returns -Σ α K(sv,x) of each row.
func (m *OneClassSVM) Score(ctx context.Context, x Matrix) ([]float64, error) {
	if err := checkNew(x, m.support.Cols); err != nil {
		return nil, err
	}
	rows, err := m.kernel.rows(x)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	const together = 16 // queries, so that a block of support vectors is read once from memory
	err = scoreGroups(ctx, x.Rows, together, 0, func(first, last int) {
		w, values := m.kernel.width, make([]float32, rowBlock)
		for from := 0; from < len(m.alpha); from += rowBlock {
			alpha := m.alpha[from:min(from+rowBlock, len(m.alpha))]
			for i := first; i < last; i++ {
				m.kernel.values(values[:len(alpha)], rows[i*w:][:w], m.mapped[from*w:][:len(alpha)*w])
				for k, a := range alpha {
					scores[i] -= a * float64(values[k])
				}
			}
		}
	})
	return scores, err
}

// Threshold is -ρ.
func (m *OneClassSVM) Threshold() float64 { return -m.rho }

// State is the support vectors and their weights.
func (m *OneClassSVM) State() (State, error) {
	return saveAs(m.config, map[string]Array{
		"support": arrayOf(m.support), "alpha": vectorOf(m.alpha), "shift": vectorOf(m.kernel.shift),
		"gamma": numberOf(m.kernel.gamma), "rho": numberOf(m.rho),
	})
}

func openOneClassSVM(s State) (Detector, error) {
	c, r, err := openSaved("one-class SVM", s, OneClassSVMConfig{}, 5)
	if err != nil {
		return nil, err
	}
	support := r.matrix("support", -1, -1)
	m := &OneClassSVM{config: c, support: support, alpha: r.array("alpha", support.Rows).Data, rho: r.number("rho")}
	gamma, shift := r.number("gamma"), r.array("shift", support.Cols).Data
	if r.err == nil && !(gamma > 0) {
		r.err = r.damaged("gamma is %v", gamma)
	}
	if r.err != nil {
		return nil, r.err
	}
	m.kernel = c.mapping(gamma, shift)
	if m.mapped, err = m.kernel.rows(support); err != nil {
		return nil, r.damaged("%v", err)
	}
	return m, nil
}
