package nn

import (
	"math"

	"github.com/blemish/blemish/fault"
)

// PlateauConfig are torch.optim.lr_scheduler.ReduceLROnPlateau's settings.
type PlateauConfig struct {
	Max       bool    // larger figures are better
	Factor    float64 // what the rate is multiplied by
	Patience  int     // epochs without improvement that are borne
	Threshold float64 // by which a figure must be better to count
	Absolute  bool    // the threshold is a difference, not a share
	Cooldown  int     // epochs after a reduction in which nothing is counted
	MinLR     float64
	Eps       float64 // smaller changes of the rate are not made
}

// DefaultPlateau are PyTorch's defaults.
func DefaultPlateau() PlateauConfig {
	return PlateauConfig{Factor: 0.1, Patience: 10, Threshold: 1e-4, Eps: 1e-8}
}

// ReduceLROnPlateau lowers learning rates when a figure has stopped improving. Its exported fields are its state.
type ReduceLROnPlateau struct {
	PlateauConfig
	Best      float64
	Started   bool // Best is a figure: at first there is none
	Bad       int  // epochs since the best one
	Cooling   int  // epochs of cooldown left
	Reduced   int  // how often rates were lowered
	optimizer Optimizer
}

// NewReduceLROnPlateau refuses settings that are out of range.
func NewReduceLROnPlateau(o Optimizer, c PlateauConfig) (*ReduceLROnPlateau, error) {
	if !(c.Factor > 0 && c.Factor < 1) {
		return nil, &fault.ConfigError{Field: "factor", Value: c.Factor, Reason: "want more than 0 and less than 1"}
	}
	if c.Patience < 0 || c.Cooldown < 0 {
		return nil, &fault.ConfigError{Field: "patience and cooldown", Value: [2]int{c.Patience, c.Cooldown}, Reason: "want 0 or more"}
	}
	return &ReduceLROnPlateau{PlateauConfig: c, optimizer: o}, nil
}

// Step takes an epoch's figure and reports whether rates were lowered.
func (r *ReduceLROnPlateau) Step(figure float64) bool {
	if r.better(figure) {
		r.Best, r.Started, r.Bad = figure, true, 0
	} else {
		r.Bad++
	}
	if r.Cooling > 0 {
		r.Cooling--
		r.Bad = 0
	}
	if r.Bad <= r.Patience {
		return false
	}
	r.Cooling, r.Bad = r.Cooldown, 0
	r.Reduced++
	for _, g := range r.optimizer.Groups() {
		if lr := max(g.LR*r.Factor, r.MinLR); g.LR-lr > r.Eps {
			g.LR = lr
		}
	}
	return true
}

func (r *ReduceLROnPlateau) better(v float64) bool {
	if !r.Started { // better than nothing, unless it is no number
		return r.Max && v > math.Inf(-1) || !r.Max && v < math.Inf(1)
	}
	limit := r.Threshold
	if !r.Absolute {
		limit *= r.Best
	}
	if r.Max {
		return v > r.Best+limit
	}
	return v < r.Best-limit
}
