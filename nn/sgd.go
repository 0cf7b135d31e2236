package nn

import (
	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
)

// SGDConfig are torch.optim.SGD's settings; zero values are its defaults.
type SGDConfig struct {
	Momentum, Dampening, WeightDecay float64
	Nesterov                         bool
}

// SGD is gradient descent: g += decay·p; v = momentum·v + (1-dampening)·g, from v = g at the first step; p -= lr·v, or with Nesterov
// p -= lr·(g + momentum·v).
type SGD struct {
	groups
	slots
	SGDConfig
	scratch []float32
}

// NewSGD refuses settings that are out of range.
func NewSGD(gs []*Group, c SGDConfig) (*SGD, error) {
	switch {
	case !(c.Momentum >= 0):
		return nil, &fault.ConfigError{Field: "momentum", Value: c.Momentum, Reason: "want 0 or more"}
	case !(c.WeightDecay >= 0):
		return nil, &fault.ConfigError{Field: "weight decay", Value: c.WeightDecay, Reason: "want 0 or more"}
	case c.Nesterov && (c.Momentum == 0 || c.Dampening != 0):
		return nil, &fault.ConfigError{Field: "nesterov", Value: true, Reason: "wants a momentum, and no dampening"}
	}
	if err := check(gs); err != nil {
		return nil, err
	}
	return &SGD{groups: gs, slots: newSlots(gs, "momentum_buffer"), SGDConfig: c}, nil
}

// Step allocates nothing after the first one.
func (o *SGD) Step() {
	for _, g := range o.groups {
		for _, p := range g.Params {
			if p.Grad != nil {
				o.step(p, float32(g.LR))
			}
		}
	}
}

func (o *SGD) step(p *autograd.Var, lr float32) {
	x, grad := p.Value.Data, p.Grad.Data
	if o.WeightDecay != 0 {
		if len(o.scratch) < len(x) {
			o.scratch = make([]float32, len(x))
		}
		s := o.scratch[:len(x)]
		kernel.Affine(s, x, grad, float32(o.WeightDecay), 1, 0, -inf, inf)
		grad = s
	}
	if o.Momentum == 0 {
		kernel.Axpy(x, grad, -lr)
		return
	}
	slot, fresh := o.get(p)
	v := slot[0].Data
	if fresh {
		copy(v, grad)
	} else {
		kernel.Affine(v, v, grad, float32(o.Momentum), float32(1-o.Dampening), 0, -inf, inf)
	}
	if o.Nesterov {
		kernel.Axpy(x, grad, -lr)
		kernel.Axpy(x, v, -lr*float32(o.Momentum))
		return
	}
	kernel.Axpy(x, v, -lr)
}
