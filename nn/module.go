// Package nn holds layers, initialisers, optimisers and learning-rate schedules with PyTorch's names, defaults and semantics, on package
// autograd.
package nn

import (
	"fmt"
	"slices"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// Module is a layer, or a network made of layers.
type Module interface {
	// Forward computes the module's output on the tape.
	Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var
	// Params lists the parameters, frozen ones included, in the order of PyTorch's parameters().
	Params() []*autograd.Var
}

// Buffer is a tensor that belongs to a network's state and is not learned by gradient.
type Buffer struct {
	Name  string
	Value *tensor.Tensor
}

// parent is a module made of others.
type parent interface{ Children() []Module }

// Walk calls f for a module and everything it is made of.
func Walk(m Module, f func(Module)) {
	f(m)
	if p, ok := m.(parent); ok {
		for _, c := range p.Children() {
			Walk(c, f)
		}
	}
}

// SetTraining switches dropout and batch norms between training (the start) and evaluation.
func SetTraining(m Module, on bool) {
	Walk(m, func(m Module) {
		if s, ok := m.(interface{ SetTraining(bool) }); ok {
			s.SetTraining(on)
		}
	})
}

// State lists a network's parameters and buffers by name: what a checkpoint holds. The tensors are the network's own.
func State(m Module) []Buffer {
	var state []Buffer
	for _, p := range m.Params() {
		state = append(state, Buffer{p.Name, p.Value})
	}
	Walk(m, func(m Module) {
		if b, ok := m.(interface{ Buffers() []Buffer }); ok {
			state = append(state, b.Buffers()...)
		}
	})
	return state
}

// LoadState sets a network's parameters and buffers from tensors by name. Errors name the tensor, and both shapes where they differ; then
// nothing was changed.
func LoadState(m Module, weights func(name string) (*tensor.Tensor, error)) error {
	state := State(m)
	loaded := make([]*tensor.Tensor, len(state))
	for i, s := range state {
		t, err := weights(s.Name)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", s.Name, err)
		}
		if !slices.Equal(t.Shape, s.Value.Shape) {
			return &fault.ShapeError{What: "parameter " + s.Name, Want: fmt.Sprint(s.Value.Shape), Got: t.Shape}
		}
		loaded[i] = t
	}
	for i, s := range state {
		copy(s.Value.Data, loaded[i].Data)
	}
	return nil
}

// Freeze takes a module's parameters out of training, or puts them back. What is computed from frozen layers and inputs alone is not
// recorded, and costs no backward pass.
func Freeze(m Module, frozen bool) {
	for _, p := range m.Params() {
		p.SetRequiresGrad(!frozen)
	}
}

// Sequential runs modules one after the other.
type Sequential []Module

// Forward gives up what a frozen module computed as soon as the next one has read it.
func (s Sequential) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	for i, m := range s {
		y := m.Forward(t, x)
		if i > 0 && y != x {
			t.Discard(x)
		}
		x = y
	}
	return x
}

// Params lists the modules' parameters.
func (s Sequential) Params() []*autograd.Var {
	var all []*autograd.Var
	for _, m := range s {
		all = append(all, m.Params()...)
	}
	return all
}

// Children are the modules.
func (s Sequential) Children() []Module { return s }

// Func is a layer without parameters.
type Func func(t *autograd.Tape, x *autograd.Var) *autograd.Var

// Forward calls f.
func (f Func) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var { return f(t, x) }

// Params is empty.
func (f Func) Params() []*autograd.Var { return nil }

// Layers without parameters, for Sequential.
var (
	ReLU      = Func((*autograd.Tape).ReLU)
	ReLU6     = Func((*autograd.Tape).ReLU6)
	Sigmoid   = Func((*autograd.Tape).Sigmoid)
	Tanh      = Func((*autograd.Tape).Tanh)
	GELU      = Func((*autograd.Tape).GELU)
	SiLU      = Func((*autograd.Tape).SiLU)
	Hardswish = Func((*autograd.Tape).Hardswish)
	ELU       = Func((*autograd.Tape).ELU)
	Softplus  = Func((*autograd.Tape).Softplus)
	Flatten   = Func((*autograd.Tape).Flatten)
	// GlobalAvgPool averages each channel over the picture: (N, C, H, W) to (N, C).
	GlobalAvgPool = Func(func(t *autograd.Tape, x *autograd.Var) *autograd.Var { return t.Flatten(t.AdaptiveAvgPool2d(x, 1, 1)) })
)

// LeakyReLU is x for positive x, else slope·x. PyTorch's default slope is 0.01.
func LeakyReLU(slope float32) Func {
	return func(t *autograd.Tape, x *autograd.Var) *autograd.Var { return t.LeakyReLU(x, slope) }
}

// MaxPool2d takes the largest value under a window of k x k.
func MaxPool2d(k int, win autograd.Window) Func {
	return func(t *autograd.Tape, x *autograd.Var) *autograd.Var { return t.MaxPool2d(x, k, win) }
}

// AvgPool2d averages under a window of k x k.
func AvgPool2d(k int, win autograd.Window) Func {
	return func(t *autograd.Tape, x *autograd.Var) *autograd.Var { return t.AvgPool2d(x, k, win) }
}

// AdaptiveAvgPool2d averages to h x w.
func AdaptiveAvgPool2d(h, w int) Func {
	return func(t *autograd.Tape, x *autograd.Var) *autograd.Var { return t.AdaptiveAvgPool2d(x, h, w) }
}

// Upsample enlarges by a factor, repeating values.
func Upsample(factor int) Func {
	return func(t *autograd.Tape, x *autograd.Var) *autograd.Var {
		return t.UpsampleNearest(x, x.Shape()[2]*factor, x.Shape()[3]*factor)
	}
}
