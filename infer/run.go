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

// Run computes the taps' feature maps (N,C,h,w) of a batch (N,C,H,W). Pictures are computed side by side as far as there are any, then
// layers; results depend neither on workers nor on the other pictures.
func (n *Network) Run(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	channels := n.graph.nodes[0].channels
	if len(batch.Shape) != 4 || batch.Shape[1] != channels || tensor.Volume(batch.Shape) == 0 {
		return nil, &fault.ShapeError{What: "batch", Want: fmt.Sprintf("(N,%d,H,W)", channels), Got: batch.Shape}
	}
	count := batch.Shape[0]
	p, err := n.plan(batch.Shape[2], batch.Shape[3])
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(n.taps))
	for i, v := range n.taps {
		a := p.values[v]
		out[i] = tensor.New(count, a.C, a.H, a.W)
	}
	workers = parallel.Workers(workers)
	within := max(1, workers/count)
	errs := make([]error, count)
	parallel.For(workers/within, count, func(i int) {
		memory := n.arenas.take(p.size)
		defer n.arenas.give(memory)
		errs[i] = n.runOne(ctx, p, memory, batch.Item(i).Data, within, func(tap int, a *kernel.Activation) {
			a.Store(out[tap].Item(i).Data)
		})
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// plan is where each value lies in an arena, for one input size.
type plan struct {
	values []kernel.Activation // Data is set for each run
	offset []int               // in the arena
	pads   [][2]int            // of each layer
	size   int                 // floats
}

func (n *Network) plan(height, width int) (*plan, error) {
	p := &plan{values: make([]kernel.Activation, len(n.graph.nodes)), offset: make([]int, len(n.graph.nodes)), pads: make([][2]int, len(n.layers))}
	first := n.layers[0]
	p.values[0] = kernel.Activation{C: n.graph.nodes[0].channels, H: height, W: width, Border: first.reach(), Lanes: first.lanes}
	var free spans
	p.offset[0] = free.take(p.values[0].Size())
	for i, l := range n.layers {
		in := p.values[l.in]
		out := kernel.Activation{C: n.graph.nodes[l.out].channels, H: in.H, W: in.W, Border: n.border, Lanes: kernel.Block}
		kernelSize, stride, dilation, pad := 1, 1, 1, Padding(0)
		switch l.kind {
		case conv:
			kernelSize, stride, dilation, pad = l.node.conv.Kernel, l.node.conv.Stride, l.node.conv.Dilation, l.node.conv.Pad
		case maxPool:
			kernelSize, stride, pad = l.node.pool.Kernel, l.node.pool.Stride, l.node.pool.Pad
		}
		out.H, p.pads[i][0] = window(in.H, kernelSize, stride, dilation, pad)
		out.W, p.pads[i][1] = window(in.W, kernelSize, stride, dilation, pad)
		if out.H < 1 || out.W < 1 {
			return nil, fmt.Errorf("a %dx%d picture is too small for layer %s", width, height, l.node.name)
		}
		if r := p.values[max(l.residual, 0)]; l.residual != none && (r.H != out.H || r.W != out.W || r.C != out.C) {
			return nil, &fault.ShapeError{What: "sum " + l.node.name, Want: fmt.Sprint([]int{out.C, out.H, out.W}), Got: []int{r.C, r.H, r.W}}
		}
		p.values[l.out] = out
		p.offset[l.out] = free.take(out.Size())
		for v, last := range n.last {
			if last == i && p.values[v].C > 0 {
				free.give(p.offset[v], p.values[v].Size())
			}
		}
	}
	p.size = free.end
	return p, nil
}

func (n *Network) runOne(ctx context.Context, p *plan, memory []float32, picture []float32, workers int, store func(tap int, a *kernel.Activation)) error {
	values := make([]kernel.Activation, len(p.values))
	for v, a := range p.values {
		if a.C > 0 {
			a.Data = memory[p.offset[v]:][:a.Size()]
			values[v] = a
		}
	}
	values[0].Load(picture)
	for i, l := range n.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := kernel.Step{Out: &values[l.out], In: &values[l.in], Pad: p.pads[i], Lo: l.lo, Hi: l.hi}
		if l.residual != none {
			s.Residual = &values[l.residual]
		}
		l.run(workers, s)
	}
	for i, v := range n.taps {
		store(i, &values[v])
	}
	return nil
}

// spans hands out ranges of an arena, first fit.
type spans struct {
	free [][2]int // begin, end; by position, never touching
	end  int
}

// line is a cache line in floats: every value begins on one.
const line = 16

func (s *spans) take(size int) int {
	size = (size + line - 1) / line * line
	for i, f := range s.free {
		if f[1]-f[0] >= size {
			s.free[i][0] += size
			return f[0]
		}
	}
	at := s.end
	s.end += size
	return at
}

func (s *spans) give(at, size int) {
	size = (size + line - 1) / line * line
	i := 0
	for i < len(s.free) && s.free[i][0] < at {
		i++
	}
	s.free = append(s.free[:i], append([][2]int{{at, at + size}}, s.free[i:]...)...)
	if i+1 < len(s.free) && s.free[i][1] == s.free[i+1][0] {
		s.free[i][1] = s.free[i+1][1]
		s.free = append(s.free[:i+1], s.free[i+2:]...)
	}
	if i > 0 && s.free[i-1][1] == s.free[i][0] {
		s.free[i-1][1] = s.free[i][1]
		s.free = append(s.free[:i], s.free[i+1:]...)
	}
}

// arenas keeps the memory of finished runs for the next ones.
type arenas struct {
	mu   sync.Mutex
	free [][]float32
}

func (a *arenas) take(size int) []float32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range a.free {
		if len(m) >= size {
			a.free = append(a.free[:i], a.free[i+1:]...)
			return m
		}
	}
	if n := len(a.free); n > 0 { // too small a one makes room
		a.free = a.free[:n-1]
	}
	return kernel.Aligned(size + size/8)
}

func (a *arenas) give(m []float32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, m)
}
