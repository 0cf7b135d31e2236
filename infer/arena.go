package infer

import (
	"context"
	"runtime"
	"sync"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// arena is what one picture is computed in: the values of a plan, and a team.
type arena struct {
	plan    *plan
	memory  []float32
	values  []kernel.Activation
	io      []kernel.Values // of each layer
	workers []kernel.Worker
	team    team
	now     []*arena  // whose items the team computes
	alone   [1]*arena // itself

	picture []float32
	results [][]float32 // where the taps go
}

// lay makes the arena one for p.
func (a *arena) lay(p *plan) {
	n := p.network
	if len(a.memory) < p.size {
		a.memory = kernel.Aligned(p.size)
	}
	a.plan, a.values = p, make([]kernel.Activation, len(p.values))
	for v, x := range p.values {
		if x.C > 0 {
			x.Data = a.memory[p.offset[v]:][:x.Size()]
			a.values[v] = x
		}
	}
	a.io = make([]kernel.Values, len(n.layers))
	for i, l := range n.layers {
		io := kernel.Values{Out: &a.values[l.out], In: &a.values[l.in]}
		if l.residual != none {
			io.Residual = &a.values[l.residual]
		}
		if shared := p.jobs[i].Shared(); shared > 0 {
			io.Scratch = a.memory[p.scratch[i]:][:shared]
		}
		a.io[i] = io
	}
	a.workers, a.alone[0] = nil, a
	a.results = make([][]float32, len(n.taps))
	a.team.phases, a.team.do = p.phases, a.do
}

// reads says which picture of a batch is computed, and where its taps go.
func (a *arena) reads(batch *tensor.Tensor, i int, out []*tensor.Tensor) {
	a.picture = item(batch, i)
	for t := range out {
		a.results[t] = item(out[t], i)
	}
}

// item is what t.Item(i) holds, without allocating.
func item(t *tensor.Tensor, i int) []float32 {
	n := len(t.Data) / t.Shape[0]
	return t.Data[i*n:][:n]
}

// run computes the pictures of some arenas, this one's among them: one by one, then from plan.together on all of them at once.
func (a *arena) run(ctx context.Context, all []*arena, workers int) error {
	for len(a.workers) < workers {
		a.workers = append(a.workers, kernel.Worker{Scratch: kernel.Aligned(a.plan.own)})
	}
	a.team.start(workers - 1)
	defer a.team.stop()
	for i := range all {
		if err := a.phases(ctx, all[i:i+1], 0, a.plan.together); err != nil {
			return err
		}
	}
	return a.phases(ctx, all, a.plan.together, len(a.plan.phases))
}

func (a *arena) phases(ctx context.Context, of []*arena, from, to int) error {
	a.now = of
	for i := from; i < to; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.team.run(i)
	}
	return nil
}

// do computes one item of a phase, of each picture whose turn it is.
func (a *arena) do(worker int, p phase, item int) {
	for _, one := range a.now {
		one.compute(&a.workers[worker], p, item)
	}
}

func (a *arena) compute(w *kernel.Worker, p phase, item int) {
	switch p.layer {
	case loads:
		a.values[0].LoadRows(a.picture, item*loadRows, min((item+1)*loadRows, a.values[0].H))
	case stores:
		n := a.plan.network
		if v := &a.values[n.taps[p.part]]; n.form(p.part).last() {
			v.StoreLast(a.results[p.part], item)
		} else {
			v.StoreBlock(a.results[p.part], item)
		}
	default:
		a.plan.jobs[p.layer].Do(&a.io[p.layer], w, p.part, item)
	}
}

// idle keeps what finished runs computed in for the next ones.
type idle struct {
	mu   sync.Mutex
	free []*arena // the last one was given back last
}

func (s *idle) take(p *plan) *arena {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.free) - 1; i >= 0; i-- {
		if a := s.free[i]; a.plan == p {
			s.free = append(s.free[:i], s.free[i+1:]...)
			return a
		}
	}
	a := new(arena)
	a.lay(p)
	return a
}

func (s *idle) give(a *arena) {
	a.picture, a.now = nil, nil
	clear(a.results)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, a)
	if most := mostTogether*runtime.GOMAXPROCS(0) + 1; len(s.free) > most { // other sizes, or more callers than there will be again
		s.free = append(s.free[:0], s.free[1:]...)
	}
}
