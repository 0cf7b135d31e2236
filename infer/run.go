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
func (n *Network) runBatch(ctx context.Context, p *plan, batch *tensor.Tensor, out []*tensor.Tensor, workers int) error {
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

// runOne computes picture i of a batch.
func (n *Network) runOne(ctx context.Context, p *plan, batch *tensor.Tensor, out []*tensor.Tensor, i, workers int) error {
	a := n.idle.take(p)
	defer n.idle.give(a)
	volume := tensor.Volume(batch.Shape[1:])
	a.picture = batch.Data[i*volume : (i+1)*volume]
	for t, v := range n.taps {
		volume := p.values[v].C * p.values[v].H * p.values[v].W
		a.results[t] = out[t].Data[i*volume : (i+1)*volume]
	}
	return a.run(ctx, min(workers, mostWorkers))
}

// mostWorkers bounds the goroutines of one picture: layers are cut into about so many pieces.
const mostWorkers = 64
