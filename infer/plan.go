package infer

import (
	"fmt"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
)

// size is a picture's.
type size struct{ height, width int }

// plan is a network made ready for one size of picture: the shape of each value and its place in an arena, and each layer's kernel.
type plan struct {
	network *Network
	values  []kernel.Activation // Data is each arena's
	offset  []int               // in an arena
	jobs    []kernel.Job
	scratch []int // in an arena, of each layer
	own     int   // scratch of a worker
	phases  []phase
	size    int // of an arena, floats

	together int // the phase from which pictures of a batch are computed together
}

// Layers that are none: how a picture comes in and taps go out.
const (
	loads  = -1
	stores = -2
)

// loadRows are the rows of a picture that one item reads.
const loadRows = 16

// keptPlans bounds the sizes that are kept ready.
const keptPlans = 8

// plan finds the plan for a size, or makes it.
func (n *Network) plan(s size) (*plan, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.plans[s]; p != nil {
		return p, nil
	}
	p, err := n.newPlan(s)
	if err != nil {
		return nil, err
	}
	if len(n.plans) >= keptPlans {
		clear(n.plans)
	}
	if n.plans == nil {
		n.plans = map[size]*plan{}
	}
	n.plans[s] = p
	return p, nil
}

func (n *Network) newPlan(s size) (*plan, error) {
	count := len(n.graph.nodes)
	p := &plan{network: n, values: make([]kernel.Activation, count), offset: make([]int, count),
		jobs: make([]kernel.Job, len(n.layers)), scratch: make([]int, len(n.layers))}
	p.values[0] = kernel.Activation{C: n.graph.nodes[0].channels, H: s.height, W: s.width, Lanes: n.layers[0].lanes}
	pads := make([][2]int, len(n.layers))
	for i := range n.layers {
		if err := p.shape(&n.layers[i], &pads[i]); err != nil {
			return nil, err
		}
	}
	for again := true; again; { // a residual has the border of what it is added to
		again = false
		for i := range n.layers {
			if l := &n.layers[i]; l.kind == conv && l.residual != none {
				a, b := &p.values[l.residual], &p.values[l.out]
				border := max(a.Border, b.Border)
				again = again || a.Border != border || b.Border != border
				a.Border, b.Border = border, border
			}
		}
	}
	var free spans
	p.offset[0] = free.take(p.values[0].Size())
	p.phases = append(p.phases, phase{loads, 0, (s.height + loadRows - 1) / loadRows})
	for i := range n.layers {
		l := &n.layers[i]
		out := p.values[l.out]
		p.jobs[i] = l.prepare(kernel.Layer{Out: out, In: p.values[l.in], Pad: pads[i], Lo: l.lo, Hi: l.hi, Act: l.act})
		p.offset[l.out] = free.take(out.Size())
		if shared := p.jobs[i].Shared(); shared > 0 {
			p.scratch[i] = free.take(shared)
			free.give(p.scratch[i], shared)
		}
		p.own = max(p.own, p.jobs[i].Own())
		for part, items := range p.jobs[i].Phases() {
			p.phases = append(p.phases, phase{i, part, items})
		}
		for v, last := range n.last {
			if last == i && p.values[v].C > 0 {
				free.give(p.offset[v], p.values[v].Size())
			}
		}
	}
	for t, v := range n.taps {
		p.phases = append(p.phases, phase{stores, t, p.values[v].Blocks()})
	}
	p.size = free.end
	p.meet()
	return p, nil
}

// meet finds the phase from which computing pictures together pays: weights are then read once for all of them, but what a layer hands to the
// next one is read from further away.
func (p *plan) meet() {
	n := p.network
	p.together = len(p.phases)
	saved, most := 0, 0
	for k := len(p.phases) - 1; k >= 0; k-- {
		ph := p.phases[k]
		if ph.layer < 0 || ph.part > 0 {
			continue
		}
		l := &n.layers[ph.layer]
		in, out := &p.values[l.in], &p.values[l.out]
		if l.kind == conv {
			c := l.node.conv
			saved += in.C / c.Groups * out.C * c.Kernel * c.Kernel
		}
		if saved -= in.Size() + out.Size(); saved > most {
			p.together, most = k, saved
		}
	}
}

// shape finds the size of a layer's result, and widens its input's border by what its window sees.
func (p *plan) shape(l *layer, pads *[2]int) error {
	reads := &p.values[l.in]
	in := *reads
	out := kernel.Activation{C: p.network.graph.nodes[l.out].channels, H: in.H, W: in.W, Lanes: kernel.Block}
	w, pad := slider{1, 1, 1}, Padding(0)
	switch l.kind {
	case conv:
		c := l.node.conv
		w, pad = slider{c.Kernel, c.Stride, c.Dilation}, c.Pad
	case maxPool:
		w, pad = slider{l.node.pool.Kernel, l.node.pool.Stride, 1}, l.node.pool.Pad
	case mean:
		in.H, in.W = 1, 1
	case tokens:
		if in.H*in.W+l.node.first != l.node.rows {
			return fmt.Errorf("a %dx%d picture makes %d tokens, not %d: the network was exported for another size of picture",
				p.values[0].W, p.values[0].H, in.H*in.W+l.node.first, l.node.rows)
		}
		in.H, in.W = 1, l.node.rows
	}
	var after [2]int
	out.H, pads[0], after[0] = w.over(in.H, pad)
	out.W, pads[1], after[1] = w.over(in.W, pad)
	if out.H < 1 || out.W < 1 {
		return fmt.Errorf("a %dx%d picture is too small for layer %s", p.values[0].W, p.values[0].H, l.node.name)
	}
	if err := grown(l.node.name, p.values[0].H, p.values[0].W, out.H, out.W); err != nil {
		return err
	}
	if l.kind == conv { // a maximum skips what is outside
		reads.Border = max(reads.Border, pads[0], pads[1], after[0], after[1])
	}
	if l.kind == gate {
		if r := &p.values[l.residual]; r.H != 1 || r.W != 1 || r.C != out.C {
			return &fault.ShapeError{What: "factors " + l.node.name, Want: fmt.Sprint([]int{out.C, 1, 1}), Got: []int{r.C, r.H, r.W}}
		}
	} else if l.residual != none {
		if r := &p.values[l.residual]; r.H != out.H || r.W != out.W || r.C != out.C {
			return &fault.ShapeError{What: "sum " + l.node.name, Want: fmt.Sprint([]int{out.C, out.H, out.W}), Got: []int{r.C, r.H, r.W}}
		}
	}
	p.values[l.out] = out
	return nil
}

// grown bounds what padding makes of a picture, so that a hostile network cannot ask for all memory: no layer here enlarges one otherwise.
func grown(layer string, height, width, h, w int) error {
	if limit := 4 * (height + 64) * (width + 64); h > limit || w > limit || h*w > limit {
		return &fault.LimitError{What: fmt.Sprintf("the result of %dx%d positions of layer %s", w, h, layer), Limit: fmt.Sprintf("%d for a %dx%d picture", limit, width, height)}
	}
	return nil
}

// slider is a window in one direction.
type slider struct{ kernel, stride, dilation int }

// over is the number of positions over n pixels, and the zeros before the first and behind the last one.
func (s slider) over(n int, pad Padding) (positions, before, after int) {
	positions, before = window(n, s.kernel, s.stride, s.dilation, pad)
	return positions, before, (positions-1)*s.stride + (s.kernel-1)*s.dilation + 1 - n - before
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
