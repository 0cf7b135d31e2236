// Package padim is PaDiM: a Gaussian of patch embeddings for every position, and the Mahalanobis distance to it. (Defard et al., "PaDiM: a Patch
// Distribution Modeling Framework for Anomaly Detection and Localization", ICPR 2021, arXiv:2011.08785)
package padim

import (
	"fmt"

	"github.com/blemish/blemish/fault"
)

// Config are PaDiM's hyper-parameters.
type Config struct {
	Dimensions     int     `json:"dimensions"`     // of the embedding, chosen at random; 0 means all
	Regularization float64 `json:"regularization"` // added to the covariances' diagonals (ε of eq. 1)
	Sigma          float64 `json:"sigma"`          // of the map's Gaussian blur, in input pixels; 0 means none
}

// DefaultConfig is the paper's: 100 random dimensions (its choice for ResNet-18), ε = 0.01, blur of 4 pixels.
func DefaultConfig() Config { return Config{Dimensions: 100, Regularization: 0.01, Sigma: 4} }

const maxSigma = 1000

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	switch {
	case c.Dimensions < 0:
		return &fault.ConfigError{Field: "dimensions", Value: c.Dimensions, Reason: "want 0 (all) or more"}
	case !(c.Regularization > 0):
		return &fault.ConfigError{Field: "regularization", Value: c.Regularization, Reason: "want more than 0, or covariances cannot be inverted"}
	case !(c.Sigma >= 0 && c.Sigma <= maxSigma):
		return &fault.ConfigError{Field: "sigma", Value: c.Sigma, Reason: fmt.Sprintf("want 0 to %d pixels", maxSigma)}
	}
	return nil
}
