package parallel

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestForRunsEveryItemOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 7, 100} {
		counts := make([]atomic.Int32, 53)
		ForWorker(workers, len(counts), func(w, i int) {
			if w < 0 || w >= workers {
				t.Errorf("worker %d of %d", w, workers)
			}
			counts[i].Add(1)
		})
		for i := range counts {
			if got := counts[i].Load(); got != 1 {
				t.Errorf("%d workers: item %d ran %d times", workers, i, got)
			}
		}
	}
}

func TestOrderedKeepsOrderAndBoundsLookAhead(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		var started atomic.Int64
		want := 0
		for v, err := range Ordered(context.Background(), workers, 40, func(_ context.Context, i int) (int, error) {
			started.Add(1)
			if i%3 == 0 {
				time.Sleep(time.Millisecond)
			}
			return i * i, nil
		}) {
			if err != nil || v != want*want {
				t.Fatalf("%d workers: item %d is %d, %v", workers, want, v, err)
			}
			want++
			if ahead := int(started.Load()) - want; ahead > 2*workers {
				t.Fatalf("%d workers: %d items ahead of the consumer", workers, ahead)
			}
		}
		if want != 40 {
			t.Fatalf("%d workers: %d items of 40", workers, want)
		}
	}
}

func TestOrderedStopsAtErrorBreakAndCancel(t *testing.T) {
	before := runtime.NumGoroutine()
	bad := errors.New("bad item")
	seen := 0
	for _, err := range Ordered(context.Background(), 3, 100, func(_ context.Context, i int) (int, error) {
		if i == 5 {
			return 0, bad
		}
		return i, nil
	}) {
		seen++
		if err != nil && !errors.Is(err, bad) {
			t.Fatal(err)
		}
	}
	if seen != 6 {
		t.Errorf("saw %d items, want 5 and the error", seen)
	}
	for range Ordered(context.Background(), 3, 100, func(_ context.Context, i int) (int, error) { return i, nil }) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	var last error
	for _, err := range Ordered(ctx, 2, 1000, func(ctx context.Context, i int) (int, error) {
		if i == 3 {
			cancel()
		}
		return i, ctx.Err()
	}) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("after cancelling: %v", last)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}
