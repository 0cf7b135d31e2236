package nn

import (
	"fmt"
	"slices"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// Optimizer changes parameters against their gradients.
type Optimizer interface {
	Step()            // parameters without a gradient are left alone
	ZeroGrad()        // forgets all gradients
	Groups() []*Group // schedules set the groups' learning rates
	State() []Buffer  // what a checkpoint must hold to go on, the optimiser's own tensors
	LoadState(map[string]*tensor.Tensor) error
}

// Group is parameters that are learned at one rate.
type Group struct {
	Params []*autograd.Var
	LR     float64
}

// groups is what all optimisers share.
type groups []*Group

// Groups are the parameter groups.
func (g groups) Groups() []*Group { return g }

// ZeroGrad forgets all gradients.
func (g groups) ZeroGrad() {
	for _, group := range g {
		for _, p := range group.Params {
			p.ZeroGrad()
		}
	}
}

// OneGroup puts all of a network's parameters into one group.
func OneGroup(m Module, lr float64) []*Group { return []*Group{{Params: m.Params(), LR: lr}} }

func check(gs []*Group) error {
	for _, g := range gs {
		if !(g.LR >= 0) {
			return &fault.ConfigError{Field: "learning rate", Value: g.LR, Reason: "want 0 or more"}
		}
	}
	return nil
}

// slots are an optimiser's tensors beside each parameter, by kind: momentum and the like. They are made when they are first needed.
type slots struct {
	kinds []string
	of    map[*autograd.Var][]*tensor.Tensor
	order []*autograd.Var
}

func newSlots(gs []*Group, kinds ...string) slots {
	s := slots{kinds: kinds, of: map[*autograd.Var][]*tensor.Tensor{}}
	for _, g := range gs {
		s.order = append(s.order, g.Params...)
	}
	return s
}

// get returns a parameter's tensors, one a kind, and whether they are new; kinds named step have one value.
func (s *slots) get(p *autograd.Var) (t []*tensor.Tensor, fresh bool) {
	if t, ok := s.of[p]; ok {
		return t, false
	}
	for _, kind := range s.kinds {
		if kind == "step" {
			t = append(t, tensor.New(1))
		} else {
			t = append(t, tensor.New(p.Value.Shape...))
		}
	}
	s.of[p] = t
	return t, true
}

// State lists the tensors as kind.parameter.
func (s *slots) State() []Buffer {
	var state []Buffer
	for _, p := range s.order {
		for i, t := range s.of[p] {
			state = append(state, Buffer{s.kinds[i] + "." + p.Name, t})
		}
	}
	return state
}

// LoadState replaces the tensors by those of an earlier State. Names that fit no parameter, and shapes that differ, are errors; then nothing
// was changed.
func (s *slots) LoadState(state map[string]*tensor.Tensor) error {
	loaded := map[*autograd.Var][]*tensor.Tensor{}
	used := 0
	for _, p := range s.order {
		var own []*tensor.Tensor
		for _, kind := range s.kinds {
			name := kind + "." + p.Name
			t, ok := state[name]
			if !ok {
				continue
			}
			want := p.Value.Shape
			if kind == "step" {
				want = []int{1}
			}
			if !slices.Equal(t.Shape, want) {
				return &fault.ShapeError{What: "optimiser state " + name, Want: fmt.Sprint(want), Got: t.Shape}
			}
			own = append(own, t.Clone())
			used++
		}
		if len(own) == 0 {
			continue // it had no gradient yet
		}
		if len(own) < len(s.kinds) {
			return fmt.Errorf("optimiser state of %s is incomplete: %d of %v", p.Name, len(own), s.kinds)
		}
		loaded[p] = own
	}
	if used < len(state) {
		for name := range state {
			if !s.knows(name) {
				return fmt.Errorf("optimiser state %s belongs to no parameter of this network, or to another optimiser", name)
			}
		}
	}
	s.of = loaded
	return nil
}

func (s *slots) knows(name string) bool {
	for _, p := range s.order {
		for _, kind := range s.kinds {
			if name == kind+"."+p.Name {
				return true
			}
		}
	}
	return false
}
