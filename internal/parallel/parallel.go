// Package parallel runs independent items on a bounded number of goroutines. What an item computes must not depend
// on which goroutine runs it; then results are the same for any number of workers.
package parallel

import (
	"runtime"
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
	var next atomic.Int64
	run := func(w int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(w, i)
		}
	}
	work := make([]func(), workers-1)
	for w := range work {
		work[w] = func() { run(w + 1) }
	}
	var helpers Helpers
	helpers.Start(work)
	run(0)
	helpers.Wait()
}
