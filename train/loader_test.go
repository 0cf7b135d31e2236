package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// numbers is a source of n samples: input (i, random), target (-i), label 10·i.
type numbers struct {
	n      int
	load   func(ctx context.Context, i int) error // may be nil
	loaded *atomic.Int64
}

func (s numbers) Len() int { return s.n }

func (s numbers) Load(ctx context.Context, i int, rng *rand.Rand) (Sample, error) {
	if s.load != nil {
		if err := s.load(ctx, i); err != nil {
			return Sample{}, err
		}
	}
	if s.loaded != nil {
		s.loaded.Add(1)
	}
	return Sample{tensor.From([]float32{float32(i), rng.Float32()}, 2), tensor.From([]float32{float32(-i)}, 1), 10 * i}, nil
}

// read returns an epoch's order of samples, their random numbers, and the batches' sizes.
func read(t *testing.T, l *Loader, epoch int) (order []int, random []float32, sizes []int) {
	t.Helper()
	for b, err := range l.Batches(t.Context(), epoch) {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(b.Index))
		for i, sample := range b.Index {
			if b.Input.Data[2*i] != float32(sample) || b.Target.Data[i] != float32(-sample) || b.Labels[i] != 10*sample {
				t.Fatalf("entry %d should be sample %d: %v %v %v", i, sample, b.Input.Data, b.Target.Data, b.Labels)
			}
			order = append(order, sample)
			random = append(random, b.Input.Data[2*i+1])
		}
		if n := len(b.Index); !slices.Equal(b.Input.Shape, []int{n, 2}) || !slices.Equal(b.Target.Shape, []int{n, 1}) || len(b.Labels) != n {
			t.Fatalf("shapes %v %v, %d labels", b.Input.Shape, b.Target.Shape, len(b.Labels))
		}
	}
	return order, random, sizes
}

func TestBatchesDoNotDependOnWorkers(t *testing.T) {
	uneven := func(_ context.Context, i int) error {
		time.Sleep(time.Duration(i*7%5) * 100 * time.Microsecond)
		return nil
	}
	var want [2]string
	for _, workers := range []int{1, 2, 5} {
		for ahead := range 3 {
			l := &Loader{Source: numbers{n: 23, load: uneven}, BatchSize: 4, Shuffle: true, Seed: 3, Workers: workers, Ahead: ahead}
			for epoch := range want {
				order, random, sizes := read(t, l, epoch)
				got := fmt.Sprint(order, random, sizes)
				if want[epoch] == "" {
					want[epoch] = got
				}
				if got != want[epoch] {
					t.Errorf("%d workers, %d ahead, epoch %d:\n%s, want\n%s", workers, ahead, epoch, got, want[epoch])
				}
			}
		}
	}
}

func TestEverySampleComesOnceInAnOrderOfItsOwn(t *testing.T) {
	l := &Loader{Source: numbers{n: 23}, BatchSize: 4, Shuffle: true, Seed: 3}
	plain := make([]int, 23)
	for i := range plain {
		plain[i] = i
	}
	var orders []string
	numbersOf := map[float32]bool{}
	for _, seed := range []uint64{3, 4} {
		l.Seed = seed
		for epoch := range 3 {
			order, random, sizes := read(t, l, epoch)
			if !slices.Equal(sizes, []int{4, 4, 4, 4, 4, 3}) || l.Steps() != len(sizes) {
				t.Errorf("batches of %v, Steps is %d", sizes, l.Steps())
			}
			for _, r := range random {
				numbersOf[r] = true
			}
			name := fmt.Sprint(order)
			if slices.Contains(orders, name) || slices.Equal(order, plain) {
				t.Errorf("seed %d, epoch %d has the order of another: %v", seed, epoch, order)
			}
			orders = append(orders, name)
			slices.Sort(order)
			if !slices.Equal(order, plain) {
				t.Errorf("not every sample once: %v", order)
			}
		}
	}
	if len(numbersOf) != 2*3*23 {
		t.Errorf("%d different random numbers in 2 seeds of 3 epochs of 23 samples", len(numbersOf))
	}
	l.Shuffle = false
	if order, _, _ := read(t, l, 1); !slices.Equal(order, plain) {
		t.Errorf("not shuffled: %v", order)
	}
	l.DropLast = true
	if order, _, sizes := read(t, l, 1); !slices.Equal(order, plain[:20]) || len(sizes) != 5 || l.Steps() != 5 {
		t.Errorf("without the last batch: %v in %v, Steps is %d", order, sizes, l.Steps())
	}
}

func TestBatchesArePreparedAhead(t *testing.T) {
	for _, ahead := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			var loaded atomic.Int64
			l := &Loader{Source: numbers{n: 40, loaded: &loaded}, BatchSize: 4, Workers: 5, Ahead: ahead}
			got := int64(0)
			for _, err := range l.Batches(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				got++
				synctest.Wait() // until all that may be done is done
				if want := min(40, 4*(got+max(int64(ahead), 1))); loaded.Load() != want {
					t.Errorf("%d ahead, batch %d in use: %d samples are loaded, want %d", ahead, got, loaded.Load(), want)
				}
			}
		})
	}
}

func TestErrorsNameTheSample(t *testing.T) {
	bad := errors.New("bad picture")
	for _, workers := range []int{1, 2, 5} {
		l := &Loader{Source: numbers{n: 20, load: func(_ context.Context, i int) error {
			if i == 6 {
				time.Sleep(time.Millisecond) // so that a later one fails first
			}
			if i >= 6 {
				return bad
			}
			return nil
		}}, BatchSize: 4, Workers: workers}
		var errs []error
		for _, err := range l.Batches(t.Context(), 0) {
			errs = append(errs, err)
		}
		if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], bad) || errs[1].Error() != "sample 6: bad picture" {
			t.Errorf("%d workers: %v", workers, errs)
		}
	}
}

// fixed is a source of given samples.
type fixed []Sample

func (f fixed) Len() int                                                    { return len(f) }
func (f fixed) Load(_ context.Context, i int, _ *rand.Rand) (Sample, error) { return f[i], nil }

func TestSamplesThatCannotBeABatchAreRefused(t *testing.T) {
	x := tensor.New(3, 2, 2)
	first := func(l *Loader) (b Batch, err error) {
		for b, err = range l.Batches(t.Context(), 0) {
			break
		}
		return b, err
	}
	if b, err := first(&Loader{Source: fixed{{Input: x}, {Input: x}}, BatchSize: 2}); err != nil || b.Target != nil || b.Input.Dim(0) != 2 {
		t.Errorf("without targets: %v, %v", b, err)
	}
	for want, l := range map[string]*Loader{
		"input of sample 1 has shape [3 2 4], want [3 2 2] as sample 0 has": {Source: fixed{{Input: x}, {Input: tensor.New(3, 2, 4)}}, BatchSize: 2},
		"target of sample 2 has shape [3 2 2], want [1] as sample 0 has": {
			Source: fixed{{Input: x, Target: tensor.New(1)}, {Input: x, Target: tensor.New(1)}, {Input: x, Target: x}}, BatchSize: 3},
		"one of the samples 0 and 1 has a tensor for its target": {Source: fixed{{Input: x}, {Input: x, Target: x}}, BatchSize: 2},
		"batch size = 0":               {Source: fixed{{}}},
		"batch size = 2: want at most": {Source: fixed{{}}, BatchSize: 2, DropLast: true},
		"samples = 0":                  {Source: fixed{}, BatchSize: 2},
	} {
		_, err := first(l)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		var shape *fault.ShapeError
		var config *fault.ConfigError
		if errors.As(err, &shape) != strings.Contains(want, "shape") || errors.As(err, &config) != strings.Contains(want, "=") {
			t.Errorf("%v is a %T", err, err)
		}
	}
}

// synctest.Test fails if goroutines are left when its function returns.

func TestBreakingOffStopsLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loaded, running atomic.Int64
		l := &Loader{Source: numbers{n: 1000, loaded: &loaded, load: func(_ context.Context, i int) error {
			running.Add(1)
			defer running.Add(-1)
			time.Sleep(time.Duration(i) * time.Second)
			return nil
		}}, BatchSize: 2, Workers: 5}
		for range l.Batches(t.Context(), 0) {
			synctest.Wait() // until the next batch is being loaded
			break
		}
		if n := running.Load(); n > 0 {
			t.Errorf("%d samples are still being loaded", n)
		}
		if n := loaded.Load(); n > 4 {
			t.Errorf("%d samples were loaded for one batch and the next", n)
		}
	})
}

func TestCancellingStopsLoading(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var started atomic.Int64
			l := &Loader{Source: numbers{n: 1000, load: func(ctx context.Context, i int) error {
				started.Add(1)
				if stuck && i >= 6 {
					<-ctx.Done() // a slow decoder that heeds its context
					return ctx.Err()
				}
				return nil
			}}, BatchSize: 2, Workers: 2}
			got, before := 0, int64(0)
			var last error
			for b, err := range l.Batches(ctx, 0) {
				if last = err; err != nil {
					if b.Input != nil {
						t.Error("a batch came with the error")
					}
					continue
				}
				if got++; got == 3 {
					synctest.Wait()
					before = started.Load()
					cancel()
				}
			}
			if got != 3 || last != context.Canceled {
				t.Errorf("%d batches, then %v", got, last)
			}
			if n := started.Load() - before; n > 0 {
				t.Errorf("%d samples were begun after cancelling", n)
			}
		})
	}
}
