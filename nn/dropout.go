package nn

import "github.com/blemish/blemish/autograd"

// Dropout sets values to zero with probability P in training, and scales the others so that the mean stays; in evaluation it does nothing.
type Dropout struct {
	P          float64
	evaluating bool
}

// NewDropout drops with probability p; PyTorch's default is 0.5.
func NewDropout(p float64) *Dropout { return &Dropout{P: p} }

// Forward keeps the shape.
func (d *Dropout) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	if d.evaluating || d.P == 0 {
		return x
	}
	return t.Dropout(x, d.P)
}

// Params is empty.
func (d *Dropout) Params() []*autograd.Var { return nil }

// SetTraining switches dropping on and off.
func (d *Dropout) SetTraining(on bool) { d.evaluating = !on }
