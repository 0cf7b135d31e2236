package infer

import (
	"math"
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
)

// quantize makes levels of what is pending, of other levels, or of the picture.
func (c *int8Compiler) quantize(n *checkpoint.ONNXNode) bool {
	q, ok := c.quantizerOf(n)
	if !ok {
		return c.quantizeConstant(n)
	}
	name := n.Out[0]
	var x int8Expression
	switch p := c.pending[n.In[0]]; {
	case n.In[0] == c.picture:
		if len(c.n.values) > 0 {
			return false
		}
		c.n.input = q
		x = c.value(int8Value{channels: c.n.channels, lanes: min(c.n.channels, kernel.Block), quantizer: q}, 4)
	case p != nil:
		if x, ok = c.once(p, q); !ok {
			return false
		}
		c.kept[x.value] = c.kept[x.value] || c.readers[n.In[0]] != 1
	default:
		from, ok := c.reals[n.In[0]]
		if !ok {
			return c.quantizeConstant(n)
		}
		p := &int8Pending{step: int8Step{kind: int8Same}, x: from, out: c.n.values[from.value].channels, rank: from.rank, lo: float32(math.Inf(-1)), hi: float32(math.Inf(1))}
		if x, ok = c.emit(p, q); !ok {
			return false
		}
	}
	x.readers = c.read(name)
	c.levels[name], c.made[name] = x, q
	return true
}

func (c *int8Compiler) value(v int8Value, rank int) int8Expression {
	c.n.values = append(c.n.values, v)
	return int8Expression{value: len(c.n.values) - 1, rank: rank, readers: 1}
}

// once emits p, which several nodes may quantise alike.
func (c *int8Compiler) once(p *int8Pending, q quantizer) (int8Expression, bool) {
	if p.quantizer == nil {
		x, ok := c.emit(p, q)
		p.quantizer, p.levels = &q, x
		return x, ok
	}
	return p.levels, *p.quantizer == q
}

// emit adds the steps that compute p's levels, as part of an earlier step where they can be.
func (c *int8Compiler) emit(p *int8Pending, q quantizer) (int8Expression, bool) {
	from := c.n.values[p.x.value]
	limit := func(v float32) float32 { return float32(math.RoundToEven(float64(v / q.scale))) }
	q = q.clamped(kernel.Range{Lo: limit(p.lo), Hi: limit(p.hi)})
	out := int8Value{channels: p.out, lanes: kernel.Block, flat: from.flat || p.step.kind == int8Mean, quantizer: q}
	if from.lanes != kernel.Block && p.step.kind != int8Conv {
		return int8Expression{}, false
	}
	s := p.step
	s.in, s.residual = p.x.value, absent
	s.quantize = &kernel.Quantizing{Range: q.limits}
	switch s.kind {
	case int8Conv:
		f := p.filter
		s.conv = kernel.NewConv8(f.spec, kernel.Input8{Lanes: from.lanes, Zero: from.zero(), Top: from.top()}, f.weight, f.bias)
		for _, w := range f.scale {
			s.quantize.Scale = append(s.quantize.Scale, from.scale*w/q.scale)
		}
	case int8Mean: // whose scale depends on the number of pixels
		s.quantize.Scale = nil
	case int8Same:
		if p.sum {
			return c.emitSum(p, s, out)
		}
		return c.emitAgain(p, s, out)
	}
	return c.push(s, out, p.rank), true
}

// pool emits a maximum: of levels, it is a level.
func (c *int8Compiler) pool(n *checkpoint.ONNXNode, p *int8Pending) bool {
	from := c.n.values[p.x.value]
	p.step.name, p.step.in, p.step.residual = label(n), p.x.value, absent
	x := c.push(p.step, from, p.rank)
	x.readers = c.readers[n.Out[0]]
	c.reals[n.Out[0]] = x
	return from.lanes == kernel.Block
}

// push adds a step and the value that it computes.
func (c *int8Compiler) push(s int8Step, out int8Value, rank int) int8Expression {
	x := c.value(out, rank)
	s.out = x.value
	c.n.steps = append(c.n.steps, s)
	return x
}

// take removes the step that computes x, for it to go on to something else; ok is false where x itself is wanted, or where the step already
// does all it can.
func (c *int8Compiler) take(x int8Expression, sum bool) (s int8Step, ok bool) {
	i := slices.IndexFunc(c.n.steps, func(s int8Step) bool { return s.out == x.value })
	if i < 0 || x.readers != 1 || c.kept[x.value] {
		return s, false
	}
	s = c.n.steps[i]
	if s.kind == int8Mean || s.quantize == nil || s.quantize.Again != nil || sum && s.quantize.Add != nil {
		return s, false
	}
	c.n.steps = slices.Delete(c.n.steps, i, i+1)
	return s, true
}

// unchanged is the step that stands for levels themselves.
func (c *int8Compiler) unchanged(s int8Step, x int8Value) int8Step {
	s.quantize = &kernel.Quantizing{Scale: slices.Repeat([]float32{1}, x.channels), Range: x.limits}
	return s
}

func (c *int8Compiler) emitSum(p *int8Pending, s int8Step, out int8Value) (int8Expression, bool) {
	a, b := p.x, p.y
	if b.value > a.value { // the later one: the other is there by then
		a, b = b, a
	}
	x, y := c.n.values[a.value], c.n.values[b.value]
	if x.channels != y.channels || x.flat != y.flat || x.lanes != y.lanes {
		return int8Expression{}, false
	}
	taken, ok := c.take(a, true)
	if ok {
		s = taken
	} else {
		s.in = a.value
		s = c.unchanged(s, x)
	}
	s.residual = b.value
	sum := func(x, y int8Value, a, b float32) float32 { // rounding keeps order: limits become limits
		own, other := a*x.scale, b*y.scale
		return float32(math.RoundToEven(float64((float32(own) + float32(other)) / out.scale)))
	}
	out.limits = clampRange(kernel.Range{Lo: sum(x, y, x.limits.Lo, y.limits.Lo), Hi: sum(x, y, x.limits.Hi, y.limits.Hi)}, out.limits)
	s.quantize.Add = &kernel.QuantizedSum{Own: x.scale, Other: y.scale, Level: out.scale, Range: out.limits}
	return c.push(s, out, p.rank), true
}

func (c *int8Compiler) emitAgain(p *int8Pending, s int8Step, out int8Value) (int8Expression, bool) {
	x := c.n.values[p.x.value]
	same := x.scale == out.scale
	if same {
		out.limits = clampRange(x.limits, out.limits)
		if out.limits == x.limits {
			c.kept[p.x.value] = c.kept[p.x.value] || p.x.readers != 1
			return p.x, true
		}
	}
	taken, ok := c.take(p.x, false)
	if ok {
		s = taken
	} else {
		s = c.unchanged(s, x)
	}
	switch {
	case same && s.quantize.Add != nil:
		s.quantize.Add.Range = clampRange(s.quantize.Add.Range, out.limits)
	case same:
		s.quantize.Range = clampRange(s.quantize.Range, out.limits)
	default:
		again := func(a float32) float32 { return float32(math.RoundToEven(float64(a * x.scale / out.scale))) }
		out.limits = clampRange(kernel.Range{Lo: again(x.limits.Lo), Hi: again(x.limits.Hi)}, out.limits)
		s.quantize.Again = &kernel.Requantizing{From: x.scale, To: out.scale, Range: out.limits}
	}
	return c.push(s, out, p.rank), true
}

// finish finds the taps, and what only the whole network tells.
func (c *int8Compiler) finish() *int8Network {
	n := c.n
	for _, name := range c.taps {
		x, ok := c.reals[name]
		if !ok || x.value == 0 {
			return nil
		}
		n.taps = append(n.taps, int8Tap{x.value, x.rank})
	}
	n.last = make([]int, len(n.values))
	for i, s := range n.steps {
		n.last[s.in] = i
		other := uint8(0)
		if s.residual != absent {
			n.last[s.residual] = i
			other = n.values[s.residual].zero()
		}
		if s.in == 0 {
			n.edge = max(n.edge, s.reach())
		} else {
			n.border = max(n.border, s.reach())
		}
		if s.quantize != nil && s.kind != int8Mean {
			s.quantize.Prepare(n.values[s.out].zero(), other)
		}
	}
	for _, t := range n.taps {
		n.last[t.value] = len(n.steps)
	}
	return n
}
