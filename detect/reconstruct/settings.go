// Package reconstruct is what methods share that learn to give good pictures back, and judge others by what comes back wrong: tiles of pictures,
// the training on them, the map of errors.
package reconstruct

import (
	"fmt"
	"slices"

	"github.com/blemish/blemish/fault"
)

// Settings are the hyper-parameters that such methods have in common. Schedule, Margin, LogOffset and Typical are zero in models that were made
// before there were any: a constant rate, and none of the rest.
type Settings struct {
	Base        int       `json:"base_channels"`   // of the first layer; each further one has twice as many
	Latent      int       `json:"latent_channels"` // of the code, at each of its positions
	Depth       int       `json:"depth"`           // layers that halve the sides
	Loss        Loss      `json:"loss"`            // learned and judged by
	Optimizer   Optimizer `json:"optimizer"`
	LR          float64   `json:"learning_rate"`
	Schedule    Schedule  `json:"schedule"`
	WeightDecay float64   `json:"weight_decay"`
	Epochs      int       `json:"epochs"`
	BatchSize   int       `json:"batch_size"`    // tiles
	Tile        int       `json:"tile"`          // pixels of a tile's side: what the network sees at once
	Overlap     int       `json:"overlap"`       // pixels that neighbouring tiles share
	Margin      int       `json:"margin"`        // pixels by which pictures are mirrored outwards, so that their borders lie inside tiles
	LogOffset   float64   `json:"log_offset"`    // pixels of 0 (black) to 1 enter as log(1 + value/this); 0 means as they are
	Sigma       float64   `json:"sigma"`         // of the error map's Gaussian blur, in pixels; 0 means none
	Typical     int       `json:"typical_cells"` // a side of the grid of typical errors that maps are divided by; 0 means none: maps stay absolute
	Score       Summary   `json:"score"`         // how the blurred map becomes a number
}

// Loss is a measure of difference.
type Loss string

// Optimizer is how weights follow gradients.
type Optimizer string

// Schedule is how the learning rate changes.
type Schedule string

// Summary is a number taken of a map.
type Summary string

const (
	MSE  Loss = "mse"  // squared difference, in units of the training pixels' variance
	SSIM Loss = "ssim" // 1 - structural similarity (Wang et al. 2004)
	Both Loss = "both" // their sum

	Adam Optimizer = "adam"
	SGD  Optimizer = "sgd" // with momentum 0.9

	Constant Schedule = "constant"
	Cosine   Schedule = "cosine" // falls to 0 along half a cosine

	Max  Summary = "max"
	Top  Summary = "top" // mean of the highest fiftieth
	Mean Summary = "mean"
)

// DefaultSettings are those of a small network on tiles of 64x64. docs/defaults.md has what they were chosen from.
func DefaultSettings() Settings {
	return Settings{
		Base: 16, Latent: 8, Depth: 3, Loss: MSE, Optimizer: Adam, LR: 2e-3, Schedule: Cosine, Epochs: 30, BatchSize: 16,
		Tile: 64, Overlap: 16, Margin: 16, LogOffset: 0.05, Sigma: 2, Typical: 32, Score: Max,
	}
}

// Bounds of what a file can ask for.
const (
	maxChannels = 1 << 12
	maxDepth    = 8
	maxTile     = 1 << 12
	maxSigma    = 1000
	maxCells    = 256
	ssimSide    = 11 // of the window of SSIM
)

// Validate names the first field that is out of range.
func (s Settings) Validate() error {
	unit := 1 << min(max(s.Depth, 0), maxDepth)
	for _, f := range []struct {
		name   string
		value  any
		ok     bool
		reason string
	}{
		{"depth", s.Depth, s.Depth >= 1 && s.Depth <= maxDepth, fmt.Sprintf("want 1 to %d", maxDepth)},
		{"base_channels", s.Base, s.Base >= 1 && s.Base <= maxChannels/unit, fmt.Sprintf("want at least 1, and at most %d in the deepest layer", maxChannels)},
		{"latent_channels", s.Latent, s.Latent >= 1 && s.Latent <= maxChannels, fmt.Sprintf("want 1 to %d", maxChannels)},
		{"loss", s.Loss, slices.Contains([]Loss{MSE, SSIM, Both}, s.Loss), "known are mse, ssim and both"},
		{"optimizer", s.Optimizer, s.Optimizer == Adam || s.Optimizer == SGD, "known are adam and sgd"},
		{"learning_rate", s.LR, s.LR > 0 && s.LR < 1e3, "want more than 0, such as 0.002"},
		{"schedule", s.Schedule, slices.Contains([]Schedule{"", Constant, Cosine}, s.Schedule), "known are constant and cosine"},
		{"weight_decay", s.WeightDecay, s.WeightDecay >= 0 && s.WeightDecay < 1e3, "want 0 or more"},
		{"epochs", s.Epochs, s.Epochs >= 1, "want 1 or more"},
		{"batch_size", s.BatchSize, s.BatchSize >= 1, "want 1 or more"},
		{"tile", s.Tile, s.Tile >= ssimSide && s.Tile <= maxTile && s.Tile%unit == 0, fmt.Sprintf("want a multiple of 2^depth = %d, from %d to %d", unit, ssimSide, maxTile)},
		{"overlap", s.Overlap, s.Overlap >= 0 && 2*s.Overlap <= s.Tile, "want 0 to half a tile"},
		{"margin", s.Margin, s.Margin >= 0 && s.Margin <= s.Tile, "want 0 to a tile"},
		{"log_offset", s.LogOffset, s.LogOffset == 0 || s.LogOffset >= 1e-6 && s.LogOffset <= 1e6, "want 0, or 1e-6 to 1e6, such as 0.05"},
		{"sigma", s.Sigma, s.Sigma >= 0 && s.Sigma <= maxSigma, fmt.Sprintf("want 0 to %d pixels", maxSigma)},
		{"typical_cells", s.Typical, s.Typical >= 0 && s.Typical <= maxCells, fmt.Sprintf("want 0 to %d", maxCells)},
		{"score", s.Score, s.Score == Max || s.Score == Top || s.Score == Mean, "known are max, top and mean"},
	} {
		if !f.ok {
			return &fault.ConfigError{Field: f.name, Value: f.value, Reason: f.reason}
		}
	}
	return nil
}
