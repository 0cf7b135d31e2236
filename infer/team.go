package infer

import (
	"runtime"
	"sync/atomic"

	"github.com/blemish/blemish/internal/parallel"
)

// team computes the phases of one run on several goroutines, and waits for the next phase awake: waking a sleeping thread takes longer than many
// a layer. Each goroutine has a share of every phase's items, the same part of them in each, so that it finds in its own cache what it has
// written before; who is done takes what others have left. They end with the run; nothing spins between runs.
type team struct {
	phases []phase
	do     func(worker int, p phase, item int)
	work   []func() // one for each goroutine but the caller's, made once
	shares []share  // one for each goroutine

	done    atomic.Int64 // items of the open phase
	helpers parallel.Helpers
}

// phase is a part of a layer whose items may run at once.
type phase struct{ layer, part, items int }

// share is one goroutine's part of the open phase: its number (upper half), and the next item (lower half). Each lies in a cache line of its own.
type share struct {
	next atomic.Uint64
	_    [120]byte // processors fetch lines in pairs
}

// awake is how many looks a goroutine takes before it lets others run between two of them.
const awake = 2000

// What the upper half says where it is no phase.
const (
	closed = 1<<32 - 1 - iota
	over
)

// start lets helpers join the caller. Each run needs one start and one stop.
func (t *team) start(helpers int) {
	for len(t.work) < helpers {
		w := len(t.work) + 1
		t.work = append(t.work, func() { t.help(w) })
	}
	if len(t.shares) != helpers+1 {
		t.shares = make([]share, helpers+1)
	}
	t.say(closed)
	t.helpers.Start(t.work[:helpers])
}

func (t *team) stop() {
	t.say(over)
	t.helpers.Wait()
}

func (t *team) say(what uint64) {
	for w := range t.shares {
		t.shares[w].next.Store(what << 32)
	}
}

// run computes one phase.
func (t *team) run(i int) {
	p := t.phases[i]
	if len(t.shares) == 1 || p.items == 1 {
		for item := range p.items {
			t.do(0, p, item)
		}
		return
	}
	t.done.Store(0)
	for w := range t.shares {
		t.shares[w].next.Store(uint64(i)<<32 | uint64(w*p.items/len(t.shares)))
	}
	t.take(0, i)
	for looks := 0; t.done.Load() < int64(p.items); looks++ {
		if looks > awake {
			runtime.Gosched()
		}
	}
}

// take computes items of phase i until there are none, the worker's own ones first.
func (t *team) take(worker, i int) {
	p, n, took := t.phases[i], len(t.shares), 0
	for k := range n {
		w := (worker + k) % n
		end := (w + 1) * p.items / n
		for {
			s := t.shares[w].next.Load()
			if int(s>>32) != i || int(uint32(s)) >= end {
				break
			}
			if t.shares[w].next.CompareAndSwap(s, s+1) {
				t.do(worker, p, int(uint32(s)))
				took++
			}
		}
	}
	if took > 0 {
		t.done.Add(int64(took))
	}
}

func (t *team) help(worker int) {
	last := uint64(closed)
	for looks := 0; ; looks++ {
		switch now := t.shares[worker].next.Load() >> 32; {
		case now == over:
			return
		case now != closed && now != last:
			t.take(worker, int(now))
			last, looks = now, 0
		case looks > awake:
			runtime.Gosched()
		}
	}
}
