package nn

import (
	"math"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// AdamConfig are the settings of torch.optim.Adam and AdamW.
type AdamConfig struct {
	Beta1, Beta2 float64
	Eps          float64
	WeightDecay  float64
	Decoupled    bool // AdamW: decay shrinks parameters by lr·decay instead of being added to the gradient
	AMSGrad      bool // divide by the largest second moment so far
}

// DefaultAdam are torch.optim.Adam's defaults.
func DefaultAdam() AdamConfig { return AdamConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8} }

// DefaultAdamW are torch.optim.AdamW's defaults.
func DefaultAdamW() AdamConfig {
	return AdamConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, Decoupled: true}
}

// Adam follows the gradient's running mean m over the root of its running square v, both corrected for their start at zero: p -= lr·m̂/(√v̂ + ε).
// (Kingma and Ba, ICLR 2015; decoupled decay: Loshchilov and Hutter, ICLR 2019; AMSGrad: Reddi et al., ICLR 2018)
type Adam struct {
	groups
	slots
	AdamConfig
}

// NewAdam refuses settings that are out of range.
func NewAdam(gs []*Group, c AdamConfig) (*Adam, error) {
	switch {
	case !(c.Beta1 >= 0 && c.Beta1 < 1):
		return nil, &fault.ConfigError{Field: "beta1", Value: c.Beta1, Reason: "want at least 0 and less than 1"}
	case !(c.Beta2 >= 0 && c.Beta2 < 1):
		return nil, &fault.ConfigError{Field: "beta2", Value: c.Beta2, Reason: "want at least 0 and less than 1"}
	case !(c.Eps >= 0):
		return nil, &fault.ConfigError{Field: "eps", Value: c.Eps, Reason: "want 0 or more"}
	case !(c.WeightDecay >= 0):
		return nil, &fault.ConfigError{Field: "weight decay", Value: c.WeightDecay, Reason: "want 0 or more"}
	}
	if err := check(gs); err != nil {
		return nil, err
	}
	kinds := []string{"step", "exp_avg", "exp_avg_sq"}
	if c.AMSGrad {
		kinds = append(kinds, "max_exp_avg_sq")
	}
	return &Adam{groups: gs, slots: newSlots(gs, kinds...), AdamConfig: c}, nil
}

// Step allocates nothing after the first one, for small parameters.
func (o *Adam) Step() {
	for _, g := range o.groups {
		for _, p := range g.Params {
			if p.Grad == nil {
				continue
			}
			slot, _ := o.get(p)
			slot[0].Data[0]++
			s := adamStep{o: o, lr: g.LR, step: float64(slot[0].Data[0])}
			s.correction1 = 1 - math.Pow(o.Beta1, s.step)
			s.correction2 = math.Sqrt(1 - math.Pow(o.Beta2, s.step))
			const piece = 1 << 14
			if len(p.Value.Data) <= piece {
				s.run(p, slot, 0, len(p.Value.Data))
			} else {
				s.spread(p, slot, piece)
			}
		}
	}
}

type adamStep struct {
	o                        *Adam
	lr, step                 float64
	correction1, correction2 float64
}

func (s adamStep) spread(p *autograd.Var, slot []*tensor.Tensor, piece int) {
	n := len(p.Value.Data)
	parallel.For(0, (n+piece-1)/piece, func(i int) { s.run(p, slot, i*piece, min(n, (i+1)*piece)) })
}

// run updates values from..to of a parameter.
func (s adamStep) run(p *autograd.Var, slot []*tensor.Tensor, from, to int) {
	o := s.o
	x, g, m, v := p.Value.Data[from:to], p.Grad.Data[from:to], slot[1].Data[from:to], slot[2].Data[from:to]
	if o.Decoupled && o.WeightDecay != 0 {
		kernel.Scale(x, x, float32(1-s.lr*o.WeightDecay))
	}
	decay := float32(0)
	if !o.Decoupled {
		decay = float32(o.WeightDecay)
	}
	var most []float32
	if o.AMSGrad {
		most = slot[3].Data[from:to]
	}
	b1, b2 := float32(1-o.Beta1), float32(o.Beta2)
	rate, root, eps := float32(s.lr/s.correction1), float32(s.correction2), float32(o.Eps)
	for i, d := range g {
		d += decay * x[i]
		m[i] += b1 * (d - m[i])
		v[i] = b2*v[i] + float32(1-o.Beta2)*d*d
		second := v[i]
		if most != nil {
			most[i] = max(most[i], second)
			second = most[i]
		}
		x[i] -= rate * m[i] / (float32(math.Sqrt(float64(second)))/root + eps)
	}
}

var inf = float32(math.Inf(1))
