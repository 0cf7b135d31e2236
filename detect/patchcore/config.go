// Package patchcore is PatchCore: a picture is as anomalous as its patch that is farthest from all good patches. (Roth et al., "Towards Total Recall in
// Industrial Anomaly Detection", CVPR 2022, arXiv:2106.08265)
package patchcore

import (
	"fmt"

	"github.com/blemish/blemish/fault"
)

// Config are PatchCore's hyper-parameters.
type Config struct {
	CoresetRatio float64 `json:"coreset_ratio"` // share of the good patches that is kept, in (0,1]
	CoresetMax   int     `json:"coreset_max"`   // and never more than this many; 0 means no such bound
	Projection   int     `json:"projection"`    // choose the coreset by distances in this many random dimensions; 0 means in all
	Neighbours   int     `json:"neighbours"`    // of the nearest patch, that weight a picture's score (b of eq. 7); 1 means no weighting
	Sigma        float64 `json:"sigma"`         // of the map's Gaussian blur, in input pixels; 0 means none

	// Support is the share of the good pictures, below 1, that should have a patch like each one kept; 0 asks for none. What lies near a kept patch that
	// fewer have is still far from good by as much as they are from having it. It makes up for most of what defects among the good pictures of one kind of
	// surface do, and ruins sets of many kinds of good: docs/contamination.md.
	Support float64 `json:"support,omitempty"`
}

// DefaultConfig keeps 2 % of the patches, but at most 10,000: docs/defaults.md has the measurements. anomalib keeps 10 %.
func DefaultConfig() Config {
	return Config{CoresetRatio: 0.02, CoresetMax: 10000, Neighbours: 9, Sigma: 4}
}

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	switch {
	case !(c.CoresetRatio > 0 && c.CoresetRatio <= 1):
		return &fault.ConfigError{Field: "coreset_ratio", Value: c.CoresetRatio, Reason: "want more than 0 and at most 1"}
	case c.CoresetMax < 0:
		return &fault.ConfigError{Field: "coreset_max", Value: c.CoresetMax, Reason: "want 0 (no bound) or more"}
	case c.Projection < 0:
		return &fault.ConfigError{Field: "projection", Value: c.Projection, Reason: "want 0 (none) or more dimensions"}
	case c.Neighbours < 1:
		return &fault.ConfigError{Field: "neighbours", Value: c.Neighbours, Reason: "want at least 1"}
	case !(c.Support >= 0 && c.Support < 1):
		return &fault.ConfigError{Field: "support", Value: c.Support, Reason: "want 0 (none) or a share below 1"}
	case !(c.Sigma >= 0 && c.Sigma <= maxSigma):
		return &fault.ConfigError{Field: "sigma", Value: c.Sigma, Reason: fmt.Sprintf("want 0 to %d pixels", maxSigma)}
	}
	return nil
}

const maxSigma = 1000

// coreset is how many of n patches are kept, at least one.
func (c Config) coreset(n int) int {
	m := max(1, int(c.CoresetRatio*float64(n)))
	if c.CoresetMax > 0 {
		m = min(m, c.CoresetMax)
	}
	return m
}
