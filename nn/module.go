// Package nn holds layers, initialisers, optimisers and learning-rate schedules with PyTorch's names, defaults and semantics, on package
// autograd.
package nn

import "github.com/blemish/blemish/autograd"

// Module is a layer, or a network made of layers.
type Module interface {
	// Forward computes the module's output on the tape.
	Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var
	// Params lists the parameters, frozen ones included, in the order of PyTorch's parameters().
	Params() []*autograd.Var
}
