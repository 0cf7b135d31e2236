package parallel

import (
	"context"
	"iter"
	"sync"
)

// Ordered computes f(ctx, i) for i in [0,n) on up to workers goroutines and yields the results in order of i.
// At most 2·workers results are ahead of the consumer. It stops after the first error it yields, when the consumer
// breaks, and when ctx is cancelled; no goroutine outlives the iteration.
func Ordered[T any](ctx context.Context, workers, n int, f func(ctx context.Context, i int) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		type outcome struct {
			value T
			err   error
		}
		workers := min(Workers(workers), max(n, 1))
		slots := make([]chan outcome, 2*workers) // item i reports in slot i mod len
		for i := range slots {
			slots[i] = make(chan outcome, 1)
		}
		jobs := make(chan int, len(slots)) // never more jobs than slots, so that sending does not block
		for range workers {
			wg.Go(func() {
				for i := range jobs {
					var o outcome
					if o.err = ctx.Err(); o.err == nil {
						o.value, o.err = f(ctx, i)
					}
					slots[i%len(slots)] <- o
				}
			})
		}
		defer close(jobs)
		for i := range min(n, len(slots)) {
			jobs <- i
		}
		for i := range n {
			var o outcome
			select {
			case o = <-slots[i%len(slots)]:
			case <-ctx.Done():
				o.err = ctx.Err()
			}
			if !yield(o.value, o.err) || o.err != nil {
				return
			}
			if next := i + len(slots); next < n {
				jobs <- next
			}
		}
	}
}
