package infer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blemish/blemish/tensor"
)

// LayerTime is what one layer of a network takes.
type LayerTime struct {
	Layer   string // what it computes, for what shapes
	Flops   float64
	Seconds float64 // the median of the runs
}

// Profile times the layers of a network on one picture (1,C,H,W).
func (n *Network) Profile(batch *tensor.Tensor, workers, runs int) ([]LayerTime, error) {
	p, err := n.plan(size{batch.Shape[2], batch.Shape[3]})
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(n.taps))
	for i, v := range n.taps {
		out[i] = tensor.New(1, p.values[v].C, p.values[v].H, p.values[v].W)
	}
	times := make([][]float64, len(n.layers)+2)
	for range runs {
		if err := n.runOne(context.Background(), p, batch, out, 0, workers); err != nil { // and as warm as in a row of runs
			return nil, err
		}
		a := n.idle.take(p)
		a.reads(batch, 0, out)
		a.now = a.alone[:]
		a.team.start(workers - 1)
		spent := make([]float64, len(times))
		for i, ph := range p.phases {
			start := time.Now()
			a.team.run(i)
			spent[(ph.layer+len(times))%len(times)] += time.Since(start).Seconds()
		}
		a.team.stop()
		n.idle.give(a)
		for i, s := range spent {
			times[i] = append(times[i], s)
		}
	}
	var all []LayerTime
	for i, t := range times {
		slices.Sort(t)
		l := LayerTime{Seconds: t[len(t)/2]}
		switch i {
		case len(times) - 1:
			l.Layer = "picture in"
		case len(times) - 2:
			l.Layer = "taps out"
		default:
			l.Layer, l.Flops = p.describe(i)
		}
		all = append(all, l)
	}
	return all, nil
}

// Profile times the layers of what runs as a Network.
func (n *Imported) Profile(batch *tensor.Tensor, workers, runs int) ([]LayerTime, error) {
	switch {
	case n.fused != nil:
		return n.fused.Profile(batch, workers, runs)
	case n.front != nil:
		return n.front.network.Profile(batch, workers, runs)
	}
	return nil, errors.ErrUnsupported
}

// describe says what a layer computes, and with how many multiplications and additions.
func (p *plan) describe(i int) (what string, flops float64) {
	l := &p.network.layers[i]
	in, out := &p.values[l.in], &p.values[l.out]
	positions := float64(out.C * out.H * out.W)
	what = [...]string{conv: "conv", clamp: "clamp", add: "add", maxPool: "max pool",
		activation: "activation", mean: "mean", gate: "gate", layerNorm: "layer norm", attention: "attention", tokens: "tokens"}[l.kind]
	switch l.kind {
	case conv:
		c := l.node.conv
		what = fmt.Sprintf("conv %dx%d", c.Kernel, c.Kernel)
		if c.Stride > 1 {
			what += fmt.Sprintf("/%d", c.Stride)
		}
		if c.Groups > 1 {
			what = "depthwise " + what
		}
		flops = 2 * positions * float64(in.C/c.Groups*c.Kernel*c.Kernel)
	case attention:
		flops = 4 * positions * float64(in.W)
	default:
		flops = positions
	}
	return fmt.Sprintf("%s %d@%dx%d -> %d@%dx%d", what, in.C, in.H, in.W, out.C, out.H, out.W), flops
}
