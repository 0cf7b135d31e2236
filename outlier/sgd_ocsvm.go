package outlier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/fault"
)

// SGDOneClassSVMConfig is the one-class SVM for many rows: the kernel is approximated by a map to a few features, and the plane in them is found by
// gradient descent, a row at a time, as scikit-learn's Nystroem or RBFSampler followed by SGDOneClassSVM. Time and memory grow with the number of
// rows alone: the features of all rows are kept, 8·n_components bytes a row.
//
// The parameters and defaults are SGDOneClassSVM's; those of the kernel, OneClassSVM's, so that both approximate and exact judge alike.
type SGDOneClassSVMConfig struct {
	FeatureMap  string `json:"feature_map"`  // nystroem, rbf_sampler (random features of the rbf kernel) or linear: rows as they are
	NComponents int    `json:"n_components"` // features; at most as many as rows with nystroem
	KernelConfig

	Nu           float64 `json:"nu"` // about this share of the rows fitted are outliers
	FitIntercept bool    `json:"fit_intercept"`
	MaxIter      int     `json:"max_iter"`         // passes over the rows
	Tol          float64 `json:"tol"`              // stop when the mean objective is not less by this than the best so far; -1: never
	NoChange     int     `json:"n_iter_no_change"` // for so many passes in a row
	Shuffle      bool    `json:"shuffle"`          // the rows before each pass
	LearningRate string  `json:"learning_rate"`    // constant eta0; optimal 1/(nu·(t₀+t)); invscaling eta0/t^power_t; adaptive: eta0, a fifth where it does not improve
	Eta0         float64 `json:"eta0"`
	PowerT       float64 `json:"power_t"`
	Average      int     `json:"average"` // 0: the last plane counts; k: the mean of all planes from the k-th row seen on
}

// DefaultSGDOneClassSVM is scikit-learn's SGDOneClassSVM on its Nystroem.
func DefaultSGDOneClassSVM() SGDOneClassSVMConfig {
	return SGDOneClassSVMConfig{
		FeatureMap: "nystroem", NComponents: 100, KernelConfig: KernelConfig{Kernel: "rbf", Gamma: Setting{Name: "scale"}, Degree: 3},
		Nu: 0.5, FitIntercept: true, MaxIter: 1000, Tol: 1e-3, NoChange: 5, Shuffle: true, LearningRate: "optimal", Eta0: 0.01, PowerT: 0.5,
	}
}

// Validate names the first parameter that is out of range.
func (c SGDOneClassSVMConfig) Validate() error {
	switch {
	case !slices.Contains([]string{"nystroem", "rbf_sampler", "linear"}, c.FeatureMap):
		return &fault.ConfigError{Field: "feature_map", Value: c.FeatureMap, Reason: "known are nystroem, rbf_sampler and linear"}
	case c.NComponents < 1 || c.NComponents > mostEigen:
		return &fault.ConfigError{Field: "n_components", Value: c.NComponents, Reason: fmt.Sprintf("want 1 to %d", mostEigen)}
	case !slices.Contains(nystroemKernels, c.Kernel):
		return &fault.ConfigError{Field: "kernel", Value: c.Kernel, Reason: fmt.Sprintf("known are %q", nystroemKernels)}
	case c.FeatureMap == "rbf_sampler" && c.Kernel != "rbf":
		return &fault.ConfigError{Field: "kernel", Value: c.Kernel, Reason: "random features are those of rbf; feature_map nystroem takes any kernel"}
	case !(c.Nu > 0 && c.Nu <= 1):
		return &fault.ConfigError{Field: "nu", Value: c.Nu, Reason: "want more than 0 and at most 1"}
	case c.MaxIter < 1:
		return &fault.ConfigError{Field: "max_iter", Value: c.MaxIter, Reason: "want 1 or more"}
	case !(c.Tol >= 0 || c.Tol == -1) || math.IsInf(c.Tol, 1):
		return &fault.ConfigError{Field: "tol", Value: c.Tol, Reason: "want 0 or more, or -1: no stop before max_iter"}
	case c.NoChange < 1:
		return &fault.ConfigError{Field: "n_iter_no_change", Value: c.NoChange, Reason: "want 1 or more"}
	case !slices.Contains([]string{"constant", "optimal", "invscaling", "adaptive"}, c.LearningRate):
		return &fault.ConfigError{Field: "learning_rate", Value: c.LearningRate, Reason: "known are constant, optimal, invscaling and adaptive"}
	case !(c.Eta0 > 0) || math.IsInf(c.Eta0, 1):
		return &fault.ConfigError{Field: "eta0", Value: c.Eta0, Reason: "want more than 0"}
	case !(c.PowerT >= 0) || math.IsInf(c.PowerT, 1):
		return &fault.ConfigError{Field: "power_t", Value: c.PowerT, Reason: "want 0 or more"}
	case c.Average < 0:
		return &fault.ConfigError{Field: "average", Value: c.Average, Reason: "want 0 (no average) or the row seen from which on to average"}
	}
	rest := c.KernelConfig
	rest.Kernel = "rbf"
	return rest.Validate()
}

// SGDOneClassSVM is a fitted SGDOneClassSVMConfig. The score of a row x is -w·φ(x), scikit-learn's score_samples with the sign turned, and the
// threshold is -offset: its decision_function is threshold - score.
type SGDOneClassSVM struct {
	Iterations int  // passes over the rows; 0 of an opened detector
	Converged  bool // whether the passes ended by tol

	config   SGDOneClassSVMConfig
	cols     int
	features featureMap
	coef     []float64 // w
	offset   float64
	onValues []float64 // w folded through the map's second step
}

// errKernelRange is of kernels such as poly.
var errKernelRange = errors.New("kernel values are beyond double precision: scale the columns")

// Fit maps the rows, and finds the plane.
func (c SGDOneClassSVMConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opts.seed(), 0x7367646f6373766d)) // a stream of its own
	features, err := c.newMap(ctx, x, rng, opts.workers())
	if err != nil {
		return nil, err
	}
	return c.fitOn(ctx, x, features, rng, opts)
}

func (c SGDOneClassSVMConfig) newMap(ctx context.Context, x Matrix, rng *rand.Rand, workers int) (featureMap, error) {
	if c.FeatureMap == "linear" {
		return identity(x.Cols), nil
	}
	gamma := c.gamma(x)
	if gamma-gamma != 0 {
		return nil, fmt.Errorf("gamma is %v: the rows differ too little for double precision; scale the columns", gamma)
	}
	if c.FeatureMap == "rbf_sampler" {
		return newRandomFeatures(c.NComponents, x.Cols, gamma, rng), nil
	}
	return newNystroem(ctx, c, x, gamma, rng, workers)
}

// fitOn finds the plane in a map's features.
func (c SGDOneClassSVMConfig) fitOn(ctx context.Context, x Matrix, features featureMap, rng *rand.Rand, opts *Options) (*SGDOneClassSVM, error) {
	z := x
	if c.FeatureMap != "linear" {
		z = NewMatrix(x.Rows, features.features())
		err := eachMapped(ctx, features, x, opts.workers(), func(first int, values [][]float64) {
			features.second(z.rows(first, first+len(values)), values)
		})
		if err != nil {
			return nil, err
		}
	}
	s := newDescent(c, z)
	if err := s.run(ctx, rng, opts); err != nil {
		return nil, err
	}
	m := &SGDOneClassSVM{Iterations: s.epochs, Converged: s.converged, config: c, cols: x.Cols, features: features}
	var intercept float64
	m.coef, intercept = s.plane()
	m.offset = 1 - intercept
	m.onValues = features.folded(m.coef)
	return m, nil
}

// Score returns -w·φ(x) of each row.
func (m *SGDOneClassSVM) Score(ctx context.Context, x Matrix) ([]float64, error) {
	if err := checkNewWithin(x, m.cols, farthestValue, measurable, 0); err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	err := eachMapped(ctx, m.features, x, 0, func(first int, values [][]float64) {
		for i, v := range values {
			scores[first+i] = -dotOfFour(m.onValues, v)
		}
	})
	return representable(scores, err)
}

// Threshold is -offset.
func (m *SGDOneClassSVM) Threshold() float64 { return -m.offset }

// State is the map and the plane.
func (m *SGDOneClassSVM) State() (State, error) {
	arrays := m.features.arrays()
	arrays["coef"], arrays["offset"] = vectorOf(m.coef), numberOf(m.offset)
	return saveAs(m.config, arrays)
}

func openSGDOneClassSVM(s State) (Detector, error) {
	var of struct {
		FeatureMap string `json:"feature_map"`
	}
	json.Unmarshal(s.Config, &of) // openSaved says what is wrong with it
	c, r, err := openSaved("SGD one-class SVM", s, SGDOneClassSVMConfig{}, map[string]int{"nystroem": 5, "rbf_sampler": 4, "linear": 2}[of.FeatureMap])
	if err != nil {
		return nil, err
	}
	m := &SGDOneClassSVM{config: c}
	switch c.FeatureMap {
	case "nystroem":
		n := readNystroem(r, c.KernelConfig)
		if r.err != nil {
			return nil, r.err
		}
		m.cols, m.features = n.components.Cols, n
	case "rbf_sampler":
		f := readRandomFeatures(r)
		if r.err != nil {
			return nil, r.err
		}
		m.cols, m.features = f.weights.Cols, f
	default:
		m.cols = len(r.array("coef", -1).Data)
		m.features = identity(m.cols)
	}
	m.coef, m.offset = r.array("coef", m.features.features()).Data, r.number("offset")
	if r.err != nil {
		return nil, r.err
	}
	m.onValues = m.features.folded(m.coef)
	for _, v := range m.onValues {
		if v-v != 0 {
			return nil, r.damaged("its weights are beyond double precision")
		}
	}
	return m, nil
}
