package infer

import (
	"context"
	"fmt"
	"sync"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// Run computes the taps' values of a batch (N,C,H,W). Pictures are computed side by side as far as there are any, then layers; results
// depend neither on workers nor on the other pictures, nor on the instruction set.
func (n *int8Network) Run(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	count := batch.Shape[0]
	p, err := n.plan(batch.Shape[2], batch.Shape[3])
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(n.taps))
	for i, t := range n.taps {
		l := &p.values[t.value]
		out[i] = tensor.New([]int{count, l.C, l.H, l.W}[:t.rank]...)
	}
	workers = parallel.Workers(workers)
	if count == 1 || workers == 1 {
		for i := range count {
			if err := n.runOne(ctx, p, batch, out, i, workers); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return out, n.runBatch(ctx, p, batch, out, workers)
}

// runBatch is apart from Run because what a closure captures is allocated.
func (n *int8Network) runBatch(ctx context.Context, p *int8Plan, batch *tensor.Tensor, out []*tensor.Tensor, workers int) error {
	count := batch.Shape[0]
	within := max(1, workers/count)
	errs := make([]error, count)
	parallel.For(workers/within, count, func(i int) { errs[i] = n.runOne(ctx, p, batch, out, i, within) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// int8Plan is where each value lies in an arena, and each input of a convolution in it, for one size of pictures.
type int8Plan struct {
	height, width int
	values        []kernel.Levels // Data is set for each run
	offset        []int           // in the arena, in floats
	steps         []int8Planned
	size          int // floats

	mu   sync.Mutex
	idle []*int8Arena // of runs that have ended
}

// int8Arena is what one caller computes in.
type int8Arena struct {
	values []kernel.Levels
	steps  []kernel.Step8
}

func (p *int8Plan) take(n *int8Network) *int8Arena {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		a := p.idle[last]
		p.idle = p.idle[:last]
		return a
	}
	a := &int8Arena{values: make([]kernel.Levels, len(p.values)), steps: make([]kernel.Step8, len(n.steps))}
	bytes := kernel.BytesOf(kernel.Aligned(p.size))
	for v, l := range p.values {
		if l.C > 0 {
			l.Data = bytes[4*p.offset[v]:][:l.Size()]
			a.values[v] = l
		}
	}
	for i, s := range n.steps {
		step := kernel.Step8{Out: &a.values[s.out], In: &a.values[s.in], Pad: p.steps[i].pad, Quantize: p.steps[i].quantize}
		if s.residual != absent {
			step.Residual = &a.values[s.residual]
		}
		a.steps[i] = step
	}
	return a
}

func (p *int8Plan) give(a *int8Arena) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, a)
}

type int8Planned struct {
	pad      [2]int
	offsets  kernel.Offsets8
	quantize *kernel.Quantizing
}

// int8Plans keeps the last plan: pictures of one size come one after the other.
type int8Plans struct {
	mu   sync.Mutex
	last *int8Plan
}

func (n *int8Network) plan(height, width int) (*int8Plan, error) {
	n.plans.mu.Lock()
	defer n.plans.mu.Unlock()
	if p := n.plans.last; p != nil && p.height == height && p.width == width {
		return p, nil
	}
	p, err := n.planFor(height, width)
	if err == nil {
		n.plans.last = p
	}
	return p, err
}

func (n *int8Network) planFor(height, width int) (*int8Plan, error) {
	p := &int8Plan{height: height, width: width, values: make([]kernel.Levels, len(n.values)), offset: make([]int, len(n.values)), steps: make([]int8Planned, len(n.steps))}
	var free spans
	place := func(v, h, w, border int) {
		x := n.values[v]
		p.values[v] = kernel.Levels{C: x.channels, H: h, W: w, Border: border, Lanes: x.lanes, Zero: x.zero()}
		p.offset[v] = free.take(floatsFor(p.values[v]))
	}
	place(0, height, width, n.edge)
	for i, s := range n.steps {
		in, q := p.values[s.in], &p.steps[i]
		h, w := in.H, in.W
		q.quantize = s.quantize
		switch s.kind {
		case int8Conv, int8Pool:
			h, q.pad[0] = window(in.H, s.size, s.stride, s.gap, s.pad)
			w, q.pad[1] = window(in.W, s.size, s.stride, s.gap, s.pad)
		case int8Mean:
			h, w = 1, 1
			q.quantize = n.mean(s, in.H*in.W)
		}
		if h < 1 || w < 1 {
			return nil, fmt.Errorf("a %dx%d picture is too small for layer %s", width, height, s.name)
		}
		if err := grown(s.name, height, width, h, w); err != nil {
			return nil, err
		}
		if s.residual != absent {
			if r := p.values[s.residual]; r.H != h || r.W != w {
				return nil, &fault.ShapeError{What: "sum " + s.name, Want: fmt.Sprint([]int{r.C, h, w}), Got: []int{r.C, r.H, r.W}}
			}
		}
		place(s.out, h, w, n.border)
		if s.conv != nil {
			q.offsets = s.conv.Offsets(&in)
		}
		for v, last := range n.last {
			if last == i && p.values[v].C > 0 {
				free.give(p.offset[v], floatsFor(p.values[v]))
			}
		}
	}
	p.size = free.end
	return p, nil
}

// floatsFor is the room that levels take, in floats.
func floatsFor(l kernel.Levels) int { return (l.Size() + 3) / 4 }

// mean is the quantising of a sum over pixels.
func (n *int8Network) mean(s int8Step, pixels int) *kernel.Quantizing {
	from, to := n.values[s.in], n.values[s.out]
	q := &kernel.Quantizing{Range: s.quantize.Range, Add: s.quantize.Add, Again: s.quantize.Again}
	for range to.channels {
		q.Scale = append(q.Scale, float32(float64(from.scale)/(float64(pixels)*float64(to.scale))))
	}
	q.Prepare(to.zero(), 0)
	return q
}

// runOne computes picture i of a batch.
func (n *int8Network) runOne(ctx context.Context, p *int8Plan, batch *tensor.Tensor, out []*tensor.Tensor, i, workers int) error {
	a := p.take(n)
	defer p.give(a)
	volume := len(batch.Data) / batch.Shape[0]
	a.values[0].Load(batch.Data[i*volume:][:volume], n.input.scale, n.input.limits)
	for j := range n.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, step := &n.steps[j], &a.steps[j]
		switch s.kind {
		case int8Conv:
			s.conv.Run(workers, step, p.steps[j].offsets)
		case int8Pool:
			kernel.MaxPool8(workers, kernel.TapSpec{Channels: step.In.C, Kernel: s.size, Stride: s.stride, Dilation: s.gap}, step)
		case int8Mean:
			kernel.Mean8(step)
		case int8Same:
			kernel.Requantize8(workers, step)
		}
	}
	for t, tap := range n.taps {
		volume := len(out[t].Data) / batch.Shape[0]
		a.values[tap.value].Store(out[t].Data[i*volume:][:volume], n.values[tap.value].scale)
	}
	return nil
}
