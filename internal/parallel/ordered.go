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

// Map computes f of each value of a sequence on up to workers goroutines and yields the results in the sequence's order, with the same
// bounds as Ordered. The sequence is read by one goroutine. An error of the sequence ends the iteration in its place.
func Map[In, Out any](ctx context.Context, workers int, in iter.Seq2[In, error], f func(ctx context.Context, v In) (Out, error)) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		type outcome struct {
			value Out
			err   error
		}
		type job struct {
			value In
			done  chan outcome
		}
		workers := Workers(workers)
		jobs := make(chan job)
		results := make(chan chan outcome, 2*workers) // in order; its room bounds the look-ahead
		for range workers {
			wg.Go(func() {
				for j := range jobs {
					var o outcome
					if o.err = ctx.Err(); o.err == nil {
						o.value, o.err = f(ctx, j.value)
					}
					j.done <- o
				}
			})
		}
		wg.Go(func() {
			defer close(results)
			defer close(jobs)
			for v, err := range in {
				done := make(chan outcome, 1)
				select {
				case results <- done:
				case <-ctx.Done():
					return
				}
				if err != nil {
					done <- outcome{err: err}
					return
				}
				select {
				case jobs <- job{v, done}:
				case <-ctx.Done():
					done <- outcome{err: ctx.Err()}
					return
				}
			}
		})
		for done := range results {
			o := <-done
			if !yield(o.value, o.err) || o.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			var zero Out
			yield(zero, err)
		}
	}
}
