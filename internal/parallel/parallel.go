// Package parallel runs independent items on a bounded number of goroutines. What an item computes must not depend
// on which goroutine runs it; then results are the same for any number of workers.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Workers resolves a requested worker count: n if positive, else GOMAXPROCS.
func Workers(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// For calls f(i) for every i in [0,n) from at most workers goroutines, the caller's among them, and returns when all are done.
func For(workers, n int, f func(i int)) {
	ForWorker(workers, n, func(_, i int) { f(i) })
}

// ForWorker is For with the number of the goroutine, in [0,workers), for scratch memory.
func ForWorker(workers, n int, f func(worker, i int)) {
	workers = min(Workers(workers), n)
	if workers <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	l := loops.Get().(*loop)
	l.next.Store(0)
	l.n, l.f = n, f
	for len(l.work) < workers-1 {
		w := len(l.work) + 1
		l.work = append(l.work, func() { l.run(w) })
	}
	l.helpers.Start(l.work[:workers-1])
	l.run(0)
	l.helpers.Wait()
	l.f = nil
	loops.Put(l)
}

// loop is what the goroutines of one For share. It is used again, since small loops are many.
type loop struct {
	next    atomic.Int64
	n       int
	f       func(worker, i int)
	helpers Helpers
	work    []func() // one for each goroutine but the caller's
}

var loops = sync.Pool{New: func() any { return new(loop) }}

func (l *loop) run(worker int) {
	for {
		i := int(l.next.Add(1)) - 1
		if i >= l.n {
			return
		}
		l.f(worker, i)
	}
}
