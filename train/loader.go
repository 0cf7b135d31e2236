// Package train drives training: a Loader makes batches ahead of the network, Run goes through the epochs, and a checkpoint after each of
// them lets an interrupted training go on as if nothing had happened, to the bit.
package train

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// Sample is one thing to learn from.
type Sample struct {
	Input  *tensor.Tensor
	Target *tensor.Tensor // a mask, or the picture to restore; nil where there is none
	Label  int            // a class; 0 where there is none
}

// Batch is samples put together: sample i is entry i of each of its fields.
type Batch struct {
	Input  *tensor.Tensor // (N, …)
	Target *tensor.Tensor // (N, …); nil if the samples have none
	Labels []int
	Index  []int // the samples' places in their source
}

// Source is an ordered set of samples. Load decodes and augments sample i; it is called by several goroutines at once, and what it returns
// must depend on i and on rng alone.
type Source interface {
	Len() int
	Load(ctx context.Context, i int, rng *rand.Rand) (Sample, error)
}

// Loader makes batches of a source's samples. Its fields must not change while batches are read.
type Loader struct {
	Source    Source
	BatchSize int
	Shuffle   bool   // another order in every epoch, else the source's
	DropLast  bool   // leave a last batch out that is smaller than the others: batch norms dislike it
	Seed      uint64 // of the order and of the samples' random numbers
	Workers   int    // goroutines that load samples; 0 means one per core
	Ahead     int    // batches prepared while one is in use; 0 means 1
}

// Steps is the number of batches in an epoch.
func (l *Loader) Steps() int {
	if l.DropLast {
		return l.Source.Len() / l.BatchSize
	}
	return (l.Source.Len() + l.BatchSize - 1) / l.BatchSize
}

// Batches yields the batches of an epoch, counted from 0. Their order and content do not depend on the number of workers: sample i has its
// own random numbers, drawn from the seed, the epoch and i. It stops after the first error it yields, when the consumer breaks, and when ctx
// is cancelled; no goroutine outlives the iteration. Errors name the sample.
func (l *Loader) Batches(ctx context.Context, epoch int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if err := l.check(); err != nil {
			yield(Batch{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		type job struct {
			p *pending
			i int
		}
		jobs := make(chan job)
		for range parallel.Workers(l.Workers) {
			wg.Go(func() {
				for j := range jobs {
					l.load(ctx, epoch, j.p, j.i)
				}
			})
		}
		queue := make(chan *pending, max(l.Ahead, 1))
		wg.Go(func() {
			defer close(queue)
			defer close(jobs)
			order := l.order(epoch)
			for step := range l.Steps() {
				p := newPending(order[step*l.BatchSize : min((step+1)*l.BatchSize, len(order))])
				select {
				case queue <- p: // waits while enough are ahead
				case <-ctx.Done():
					return
				}
				for i := range p.index {
					select {
					case jobs <- job{p, i}:
					case <-ctx.Done():
						return
					}
				}
			}
		})
		for p := range queue {
			select {
			case <-p.done:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
			if !yield(p.batch, p.err) || p.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Batch{}, err)
		}
	}
}

func (l *Loader) check() error {
	switch {
	case l.Source.Len() == 0:
		return &fault.ConfigError{Field: "samples", Value: 0, Reason: "there is nothing to learn from"}
	case l.BatchSize < 1:
		return &fault.ConfigError{Field: "batch size", Value: l.BatchSize, Reason: "want 1 or more"}
	case l.Steps() == 0:
		return &fault.ConfigError{Field: "batch size", Value: l.BatchSize,
			Reason: fmt.Sprintf("want at most %d, the number of samples, since smaller batches are dropped", l.Source.Len())}
	}
	return nil
}

// order lists an epoch's samples.
func (l *Loader) order(epoch int) []int {
	order := generator(l.Seed, epoch, -1).Perm(l.Source.Len())
	if !l.Shuffle {
		slices.Sort(order)
	}
	return order
}

// generator returns the random numbers of a sample in an epoch; -1 stands for the order of all.
func generator(seed uint64, epoch, sample int) *rand.Rand {
	return rand.New(rand.NewPCG(mix(mix(seed)+uint64(epoch)), mix(uint64(sample))))
}

// mix is splitmix64's output function. Neighbouring seeds would make generators whose first numbers resemble each other.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// pending is a batch in the making.
type pending struct {
	index   []int
	samples []Sample
	errs    []error
	left    atomic.Int64 // samples not yet loaded
	batch   Batch
	err     error
	done    chan struct{} // closed when batch and err are there
}

func newPending(index []int) *pending {
	p := &pending{index: index, samples: make([]Sample, len(index)), errs: make([]error, len(index)), done: make(chan struct{})}
	p.left.Store(int64(len(index)))
	return p
}

// load loads entry i of a batch. Who loads the last one puts the batch together.
func (l *Loader) load(ctx context.Context, epoch int, p *pending, i int) {
	p.samples[i], p.errs[i] = l.Source.Load(ctx, p.index[i], generator(l.Seed, epoch, p.index[i]))
	if p.left.Add(-1) > 0 {
		return
	}
	defer close(p.done)
	for i, err := range p.errs { // the first in the batch's order, for any number of workers
		if err != nil {
			p.err = fmt.Errorf("sample %d: %w", p.index[i], err)
			return
		}
	}
	p.batch, p.err = collate(p.samples, p.index)
	p.samples = nil
}

// collate puts samples together.
func collate(samples []Sample, index []int) (Batch, error) {
	b := Batch{Labels: make([]int, len(samples)), Index: index}
	inputs, targets := make([]*tensor.Tensor, len(samples)), make([]*tensor.Tensor, len(samples))
	for i, s := range samples {
		inputs[i], targets[i], b.Labels[i] = s.Input, s.Target, s.Label
	}
	var err error
	if b.Input, err = stack("input", inputs, index); err == nil {
		b.Target, err = stack("target", targets, index)
	}
	return b, err
}

// stack is tensor.Stack with errors that name the sample. It returns nil if all are.
func stack(what string, items []*tensor.Tensor, index []int) (*tensor.Tensor, error) {
	first := items[0]
	for i, t := range items {
		switch {
		case (t == nil) != (first == nil):
			return nil, fmt.Errorf("one of the samples %d and %d has a tensor for its %s, the other has none", index[0], index[i], what)
		case t != nil && !tensor.SameShape(t, first):
			return nil, &fault.ShapeError{What: fmt.Sprintf("%s of sample %d", what, index[i]),
				Want: fmt.Sprintf("%v as sample %d has", first.Shape, index[0]), Got: t.Shape}
		}
	}
	if first == nil {
		return nil, nil
	}
	return tensor.Stack(items), nil
}
