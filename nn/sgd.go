package nn

import (
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
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

// Step allocates nothing after the first one, for small parameters.
func (o *SGD) Step() {
	for _, g := range o.groups {
		for _, p := range g.Params {
			if p.Grad == nil {
				continue
			}
			s := sgdStep{o: o, lr: float32(g.LR), x: p.Value.Data, grad: p.Grad.Data}
			if o.Momentum != 0 {
				slot, fresh := o.get(p)
				s.v, s.fresh = slot[0].Data, fresh
			}
			if n := len(s.x); n <= sgdPiece {
				s.run(0, n)
			} else {
				s.spread(n)
			}
		}
	}
}

// sgdPiece is how many values are updated at once: they stay in the cache from one operation to the next.
const sgdPiece = 1 << 13

type sgdStep struct {
	o          *SGD
	lr         float32
	x, grad, v []float32
	fresh      bool // v is not yet set
}

func (s sgdStep) spread(n int) {
	parallel.For(0, (n+sgdPiece-1)/sgdPiece, func(i int) { s.run(i*sgdPiece, min(n, (i+1)*sgdPiece)) })
}

// run updates values from..to of a parameter. Weight decay's share is added to v and to x by itself: the sum of gradient and decay is nowhere
// stored.
func (s *sgdStep) run(from, to int) {
	o := s.o
	x, grad, decay := s.x[from:to], s.grad[from:to], float32(o.WeightDecay)
	direct, momentum := s.lr, s.lr // what of the gradient, and of v, the parameter loses
	switch {
	case o.Momentum == 0:
		momentum = 0
	case o.Nesterov:
		momentum *= float32(o.Momentum)
	default:
		direct = 0
	}
	if o.Momentum != 0 {
		v, share := s.v[from:to], float32(1-o.Dampening)
		if s.fresh {
			copy(v, grad)
			share = 1
		} else {
			kernel.Affine(v, v, grad, float32(o.Momentum), share, 0, -inf, inf)
		}
		if decay != 0 {
			kernel.Axpy(v, x, share*decay)
		}
	}
	if o.Momentum == 0 || o.Nesterov {
		if decay != 0 {
			kernel.Axpy(x, x, -direct*decay)
		}
		kernel.Axpy(x, grad, -direct)
	}
	if o.Momentum != 0 {
		kernel.Axpy(x, s.v[from:to], -momentum)
	}
}
