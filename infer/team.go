package infer

import (
	"runtime"
	"sync/atomic"

	"github.com/blemish/blemish/internal/parallel"
)

// team computes the phases of one run on several goroutines, which take items as they come and wait for the next phase awake: waking a
// sleeping thread takes longer than many a layer. They end with the run; nothing spins between runs.
type team struct {
	phases []phase
	do     func(worker int, p phase, item int)
	work   []func() // one for each goroutine but the caller's, made once

	state   atomic.Uint64 // the open phase (upper half), and its next item (lower half)
	done    atomic.Int64  // items of the open phase
	helpers parallel.Helpers
}

// phase is a part of a layer whose items may run at once.
type phase struct{ layer, part, items int }

// awake is how many looks at the state a goroutine takes before it lets others run between two of them.
const awake = 2000

// start lets helpers join the caller. Each run needs one start and one stop.
func (t *team) start(helpers int) {
	for len(t.work) < helpers {
		w := len(t.work) + 1
		t.work = append(t.work, func() { t.help(w) })
	}
	t.state.Store(closed)
	t.helpers.Start(t.work[:helpers])
}

const (
	closed = 1<<64 - 1
	over   = closed - 1
)

func (t *team) stop() {
	t.state.Store(over)
	t.helpers.Wait()
}

// run computes one phase.
func (t *team) run(i int) {
	p := t.phases[i]
	if len(t.work) == 0 || p.items == 1 {
		for item := range p.items {
			t.do(0, p, item)
		}
		return
	}
	t.done.Store(0)
	t.state.Store(uint64(i) << 32)
	t.take(0, i)
	for looks := 0; t.done.Load() < int64(p.items); looks++ {
		if looks > awake {
			runtime.Gosched()
		}
	}
}

// take computes items of phase i until there are none.
func (t *team) take(worker, i int) {
	p := t.phases[i]
	for {
		s := t.state.Load()
		if int(s>>32) != i || int(uint32(s)) >= p.items {
			return
		}
		if t.state.CompareAndSwap(s, s+1) {
			t.do(worker, p, int(uint32(s)))
			t.done.Add(1)
		}
	}
}

func (t *team) help(worker int) {
	for looks := 0; ; looks++ {
		s := t.state.Load()
		if s == over {
			return
		}
		if i := int(s >> 32); s != closed && int(uint32(s)) < t.phases[i].items {
			t.take(worker, i)
			looks = 0
		} else if looks > awake {
			runtime.Gosched()
		}
	}
}
