package parallel

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Helpers are started again and again, by several callers, with pauses in which they fall asleep and without; with more of them than CPUs.
func TestHelpersDoWhatTheyStart(t *testing.T) {
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			var h Helpers
			for round := range 300 {
				helpers := (caller+round)%5 + 1
				var left, running atomic.Int64
				left.Store(int64(3 * helpers))
				work := make([]func(), helpers)
				for i := range work {
					work[i] = func() {
						running.Add(1)
						for left.Add(-1) >= 0 {
						}
						running.Add(-1)
					}
				}
				h.Start(work)
				work[0]()
				h.Wait()
				if n := running.Load(); n != 0 {
					t.Errorf("%d helpers at work after Wait", n)
				}
				if left.Load() > 0 {
					t.Errorf("%d items left", left.Load())
				}
				if round%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	callers.Wait()
}

// A helper begins though its caller goes on working: the caller waits for it awake.
func TestHelpersBegin(t *testing.T) {
	var h Helpers
	for range 20 {
		var begun atomic.Bool
		h.Start([]func(){func() { begun.Store(true) }})
		for end := time.Now().Add(10 * time.Second); !begun.Load(); {
			if time.Now().After(end) {
				t.Fatal("the helper has not begun within 10 s")
			}
		}
		h.Wait()
	}
}

// For within For asks for more helpers than there are threads.
func TestForWithinFor(t *testing.T) {
	var sum atomic.Int64
	For(4, 8, func(i int) {
		For(4, 8, func(j int) { sum.Add(int64(i * j)) })
	})
	if sum.Load() != 28*28 {
		t.Errorf("sum %d, want %d", sum.Load(), 28*28)
	}
}
