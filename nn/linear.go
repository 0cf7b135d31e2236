package nn

import (
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/tensor"
)

// Linear is x·Weightᵀ + Bias on the last dimension, as torch.nn.Linear.
type Linear struct {
	Name   string
	Weight *autograd.Var // (out, in)
	Bias   *autograd.Var // (out), or nil
}

// NewLinear starts from PyTorch's default distribution: weight and bias uniform within 1/√in.
func NewLinear(name string, in, out int, rng *rand.Rand) *Linear {
	l := &Linear{name, autograd.NewParam(name+".weight", tensor.New(out, in)), autograd.NewParam(name+".bias", tensor.New(out))}
	KaimingUniform(l.Weight.Value, rng)
	Uniform(l.Bias.Value, 1/math.Sqrt(float64(in)), rng)
	return l
}

// Forward maps (…, in) to (…, out).
func (l *Linear) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	t.Layer(l.Name)
	return t.Linear(x, l.Weight, l.Bias)
}

// Params are weight and bias.
func (l *Linear) Params() []*autograd.Var { return some(l.Weight, l.Bias) }

func some(params ...*autograd.Var) []*autograd.Var {
	var out []*autograd.Var
	for _, p := range params {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}
