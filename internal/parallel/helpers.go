package parallel

import (
	"sync"
	"sync/atomic"
)

// Helpers work beside their caller. They wait on threads of their own between one piece of work and the next, since a new goroutine may come late:
// a thread that Linux wakes can be put on the CPU that its waker goes on using, where it waits for milliseconds until one of the two is moved. (In
// virtual machines that is common: a CPU that has halted is not taken for an idle one.) The zero value is ready for use.
type Helpers struct {
	working atomic.Int64
	parked  atomic.Bool // the caller has stopped looking, and sleeps
	wait    sync.WaitGroup
	calls   []call
}

// Start lets as many helpers begin as there are pieces of work; some may begin late, or never: work is what others can do, too. Each Start needs
// one Wait before the next.
func (h *Helpers) Start(work []func()) {
	h.parked.Store(false)
	h.working.Store(int64(len(work)))
	h.wait.Add(len(work))
	h.calls = h.calls[:0]
	wake(h, work)
	for _, f := range work[len(h.calls):] {
		go func() {
			f()
			h.done()
		}()
	}
}

// done is the last that a helper does. It says whether the caller sleeps, who then needs the thread more.
func (h *Helpers) done() (parked bool) {
	parked = h.parked.Load()
	h.working.Add(-1) // first: a caller who wakes by wait may start again at once
	h.wait.Done()
	return parked
}

// looks is how often a goroutine looks for work, or for its end, before it sleeps: some twenty microseconds, about what waking takes.
const looks = 1 << 14

// Wait calls back the helpers that have not begun, and returns when the others have done their work.
func (h *Helpers) Wait() {
	for _, c := range h.calls {
		if c.back() {
			h.done()
		}
	}
	for range looks {
		if h.working.Load() == 0 {
			return
		}
	}
	h.parked.Store(true)
	h.wait.Wait()
}
