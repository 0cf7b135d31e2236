package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/blemish/blemish/internal/cpu"
	"golang.org/x/sys/unix"
)

// thread is one of the operating system's that sleeps until it is called.
type thread struct {
	id    int           // as Linux counts
	bell  int           // an event counter: reading it sleeps until somebody writes
	state atomic.Uint64 // awake, asleep or the number of a call that it has not yet heard
	calls uint64        // so far, each with a number of its own

	work   func()
	of     *Helpers
	placed bool        // on one CPU, until it is up
	home   unix.CPUSet // where it may run otherwise
	there  unix.CPUSet
	rings  [8]byte // that the bell counted
}

const (
	awake  = iota
	asleep // or about to be: who calls must ring
	first  // number of a call
)

// call is what a thread was called with.
type call struct {
	thread *thread
	number uint64
}

// sleepers are the threads that nobody has called.
var sleepers struct {
	sync.Mutex
	idle []*thread
	all  int // threads, idle or not
}

// one is what a bell counts of one ring, whatever the order of bytes.
var one = []byte{0, 0, 0, 1, 0, 0, 0, 0}

// wake calls threads for the first pieces of work, as many as there are, each to a CPU of its own that the caller is not on.
func wake(h *Helpers, work []func()) {
	here := cpu.Running()
	at := here
	for _, f := range work {
		t := take()
		if t == nil {
			return
		}
		if t.placed = false; t.state.Load() == asleep && here >= 0 {
			at = t.place(at, here)
		}
		t.work, t.of = f, h
		t.calls++
		h.calls = append(h.calls, call{t, first + t.calls})
		if t.state.Swap(first+t.calls) == asleep {
			unix.Write(t.bell, one)
		}
	}
}

// place lets a sleeping thread wake on the next CPU after one, which it returns. Where that is not allowed, Linux chooses.
func (t *thread) place(at, here int) int {
	if unix.SchedGetaffinity(0, &t.home) != nil {
		return at
	}
	if at = after(&t.home, at); at == here { // more helpers than CPUs
		at = after(&t.home, at)
	}
	t.there.Zero()
	t.there.Set(at)
	t.placed = unix.SchedSetaffinity(t.id, &t.there) == nil
	return at
}

// after is the next CPU of a set; the first one follows the last.
func after(set *unix.CPUSet, n int) int {
	size := len(set) * 64
	for i := 1; i <= size; i++ {
		if set.IsSet((n + i) % size) {
			return (n + i) % size
		}
	}
	return n
}

// take returns an idle thread or a new one, or nil where there are as many as can run at once beside the caller.
func take() *thread {
	sleepers.Lock()
	defer sleepers.Unlock()
	if n := len(sleepers.idle); n > 0 {
		t := sleepers.idle[n-1]
		sleepers.idle = sleepers.idle[:n-1]
		return t
	}
	if sleepers.all >= max(1, runtime.GOMAXPROCS(0)-1) {
		return nil
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil
	}
	sleepers.all++
	t := &thread{bell: bell}
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		t.id = unix.Gettid()
		close(started)
		t.serve()
	}()
	<-started
	return t
}

func (t *thread) giveBack() {
	t.work, t.of = nil, nil
	sleepers.Lock()
	sleepers.idle = append(sleepers.idle, t)
	sleepers.Unlock()
}

// back takes a call back, unless it was heard.
func (c call) back() bool {
	if !c.thread.state.CompareAndSwap(c.number, asleep) {
		return false
	}
	c.thread.giveBack()
	return true
}

// serve works for ever: threads are as many as CPUs, and cost nothing asleep.
func (t *thread) serve() {
	patience := looks
	for {
		t.sleep(patience)
		if t.placed {
			unix.SchedSetaffinity(0, &t.home) // it may be moved now
		}
		work, h := t.work, t.of
		work()
		t.giveBack()
		patience = looks
		if h.done() {
			patience = 0
		}
	}
}

// sleep returns when the thread is called. First it looks for that so many times.
func (t *thread) sleep(patience int) {
	for range patience {
		if t.hears() {
			return
		}
	}
	t.state.CompareAndSwap(awake, asleep)
	for !t.hears() {
		unix.Read(t.bell, t.rings[:]) // interrupted or rung for a call taken back: it looks again
	}
}

func (t *thread) hears() bool {
	s := t.state.Load()
	return s >= first && t.state.CompareAndSwap(s, awake)
}
