package outlier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/blemish/blemish/fault"
)

// Method is a detector known by name.
type Method struct {
	Name     string
	Summary  string
	Defaults func() Config
	// Parse reads JSON over the defaults, refuses unknown fields and validates the result.
	Parse func(config json.RawMessage) (Config, error)
	// Open is the inverse of Detector.State. It checks everything it reads.
	Open func(State) (Detector, error)
}

var methods = []Method{
	method("autoencoder", "error of a network that gives rows back through a narrow layer", DefaultAutoencoder, openAutoencoder),
	method("svdd", "distance from a center to which a network learned to map the rows (Deep SVDD)", DefaultSVDD, openSVDD),
	method("lof", "density around a row beside that around its neighbours (local outlier factor)", DefaultLOF, openLOF),
	method("knn", "distance from the k nearest neighbours", DefaultKNN, openKNN),
	method("iforest", "how few random splits set a row apart (isolation forest)", DefaultIsolationForest, openIsolationForest),
	method("ocsvm", "side of a boundary around the rows in a kernel's space (one-class SVM)", DefaultOneClassSVM, openOneClassSVM),
	method("sgd_ocsvm", "the same for many rows: approximate kernel, gradient descent (SGD one-class SVM)", DefaultSGDOneClassSVM, openSGDOneClassSVM),
	method("zscore", "most deviant column, in standard deviations from the mean", DefaultZScore, openZScore),
	method("mad", "most deviant column, in median absolute deviations from the median", DefaultMAD, openMAD),
	method("mahalanobis", "squared distance from the mean by the rows' covariance", DefaultMahalanobis, openMahalanobis),
	method("pca", "squared distance from the plane of the principal components", DefaultPCA, openPCA),
	method("hbos", "rareness by the columns' histograms", DefaultHBOS, openHBOS),
	method("ecod", "tail probabilities by the columns' empirical distributions", DefaultECOD, openECOD),
	method("copod", "tail probabilities by an empirical copula", DefaultCOPOD, openCOPOD),
	method("kde", "negative log-density around the rows (kernel density estimate)", DefaultKDE, openKDE),
	method("gmm", "negative log-likelihood under a mixture of normal distributions", DefaultGMM, openGMM),
}

// Methods lists every method.
func Methods() []Method { return append([]Method(nil), methods...) }

// Lookup finds a method by name.
func Lookup(name string) (Method, error) {
	var known []string
	for _, m := range methods {
		if m.Name == name {
			return m, nil
		}
		known = append(known, m.Name)
	}
	return Method{}, &fault.ConfigError{Field: "method", Value: name, Reason: "known are " + strings.Join(known, ", ")}
}

// method makes an entry of the table.
func method[C Config](name, summary string, defaults func() C, open func(State) (Detector, error)) Method {
	return Method{
		Name: name, Summary: summary, Open: open,
		Defaults: func() Config { return defaults() },
		Parse: func(raw json.RawMessage) (Config, error) {
			config := defaults()
			if len(raw) > 0 {
				d := json.NewDecoder(bytes.NewReader(raw))
				d.DisallowUnknownFields()
				if err := d.Decode(&config); err != nil {
					return nil, fmt.Errorf("%s configuration: %w", name, err)
				}
			}
			return config, config.Validate()
		},
	}
}
