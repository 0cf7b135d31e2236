package infer

import (
	"context"
	"fmt"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// Run computes the taps' feature maps (N,C,h,w) of a batch (N,C,H,W). Pictures are computed side by side as far as there are any, then
// layers; results depend neither on workers nor on the other pictures. After the first run for a size, only the results are allocated.
func (n *Network) Run(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	channels := n.graph.nodes[0].channels
	if len(batch.Shape) != 4 || batch.Shape[1] != channels || tensor.Volume(batch.Shape) == 0 {
		return nil, &fault.ShapeError{What: "batch", Want: fmt.Sprintf("(N,%d,H,W)", channels), Got: batch.Shape}
	}
	count := batch.Shape[0]
	p, err := n.plan(size{batch.Shape[2], batch.Shape[3]})
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(n.taps))
	for i, v := range n.taps {
		a := &p.values[v]
		out[i] = tensor.New(n.form(i).shape(count, a)...)
	}
	workers = parallel.Workers(workers)
	if count == 1 {
		err = n.runOne(ctx, p, batch, out, 0, workers)
	} else {
		err = n.runBatch(ctx, p, batch, out, workers)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// mostTogether bounds the pictures that are computed together, each in an arena of its own: four read weights a quarter as often, eight would
// save another eighth.
const mostTogether = 4

// runBatch computes groups of pictures side by side: of several each, with one thread, or of one, with as many threads as there are to spare.
func (n *Network) runBatch(ctx context.Context, p *plan, batch *tensor.Tensor, out []*tensor.Tensor, workers int) error {
	count := batch.Shape[0]
	within := max(1, workers/count)
	groups := (count + mostTogether - 1) / mostTogether
	if side := min(count, workers/within); groups%side > 0 { // as many for each
		groups += side - groups%side
	}
	groups = min(groups, count)
	within = min(within, mostWorkers)
	errs := make([]error, groups)
	parallel.For(workers/within, groups, func(g int) {
		var of [mostTogether]*arena
		first, end := g*count/groups, (g+1)*count/groups
		for i := first; i < end; i++ {
			a := n.idle.take(p)
			defer n.idle.give(a)
			a.reads(batch, i, out)
			of[i-first] = a
		}
		errs[g] = of[0].run(ctx, of[:end-first], within)
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// runOne computes picture i of a batch alone.
func (n *Network) runOne(ctx context.Context, p *plan, batch *tensor.Tensor, out []*tensor.Tensor, i, workers int) error {
	a := n.idle.take(p)
	defer n.idle.give(a)
	a.reads(batch, i, out)
	return a.run(ctx, a.alone[:], min(workers, mostWorkers))
}

// mostWorkers bounds the goroutines of one picture: layers are cut into about so many pieces.
const mostWorkers = 64
