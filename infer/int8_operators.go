package infer

import (
	"math"
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
)

// operator reads one of those that compute something pending from levels.
func (c *int8Compiler) operator(n *checkpoint.ONNXNode) (p *int8Pending, ok bool) {
	x, ok := c.reals[n.In[0]]
	if !ok {
		return nil, false
	}
	from := c.n.values[x.value]
	p = &int8Pending{x: x, out: from.channels, rank: x.rank}
	switch n.Op {
	case "Conv":
		return p, x.rank == 4 && c.conv(n, p, from)
	case "Gemm", "MatMul":
		return p, x.rank == 2 && c.product(n, p, from)
	case "Add":
		if len(n.In) != 2 {
			return nil, false
		}
		p.step.kind, p.sum = int8Same, true
		p.y, ok = c.reals[n.In[1]]
		return p, ok && p.y.rank == x.rank
	case "MaxPool":
		size, stride, gap, pad, ok := square(n, 0)
		p.step = int8Step{kind: int8Pool, size: size, stride: stride, gap: gap, pad: pad}
		return p, ok && x.rank == 4 && gap == 1 && 2*int(pad) <= size && n.Attributes["ceil_mode"].Int == 0 && n.Attributes["storage_order"].Int == 0
	case "GlobalAveragePool":
		p.step.kind = int8Mean
		return p, x.rank == 4
	case "ReduceMean":
		return p, x.rank == 4 && c.mean(n, p)
	}
	return nil, false
}

// mean is ReduceMean over rows and columns.
func (c *int8Compiler) mean(n *checkpoint.ONNXNode, p *int8Pending) bool {
	axes := n.Attributes["axes"].Ints
	if len(n.In) > 1 {
		if t := c.constants[n.In[1]]; t != nil {
			axes = t.Integers
		}
	}
	p.step.kind = int8Mean
	if keep, ok := n.Attributes["keepdims"]; ok && keep.Int == 0 {
		p.rank = 2
	}
	return slices.Equal(axes, []int64{2, 3}) || slices.Equal(axes, []int64{-2, -1})
}

func (c *int8Compiler) conv(n *checkpoint.ONNXNode, p *int8Pending, from int8Value) bool {
	if len(n.In) < 2 || c.filters[n.In[1]] == nil {
		return false
	}
	w := c.filters[n.In[1]]
	if len(w.shape) != 4 || w.shape[0] == 0 || w.shape[2] != w.shape[3] {
		return false
	}
	size, stride, gap, pad, ok := square(n, w.shape[2])
	if group, grouped := n.Attributes["group"]; !ok || grouped && group.Int != 1 || size != w.shape[2] || w.shape[1] != from.channels {
		return false
	}
	p.out = w.shape[0]
	p.step = int8Step{kind: int8Conv, size: size, stride: stride, gap: gap, pad: pad}
	p.filter = &int8Filter{spec: kernel.ConvSpec{In: from.channels, Out: p.out, Kernel: size, Stride: stride, Dilation: gap}}
	return c.fill(p, w, n.In[2:], from)
}

// product is a product with a matrix (in, out), or (out, in) where it is transposed: a convolution of the one pixel.
func (c *int8Compiler) product(n *checkpoint.ONNXNode, p *int8Pending, from int8Value) bool {
	attribute := func(name string) float32 {
		if a, ok := n.Attributes[name]; ok {
			return a.Float
		}
		return 1
	}
	if len(n.In) < 2 || c.filters[n.In[1]] == nil || !from.flat || n.Attributes["transA"].Int != 0 || attribute("alpha") != 1 || attribute("beta") != 1 {
		return false
	}
	w := *c.filters[n.In[1]]
	if len(w.shape) != 2 || w.levels == nil {
		return false
	}
	if n.Attributes["transB"].Int == 0 {
		rows, columns := w.shape[0], w.shape[1]
		w.shape = []int{columns, rows}
		turned := make([]int64, len(w.levels))
		gather(turned, w.levels, w.shape, []int{1, columns}, 0)
		w.levels, w.axis = turned, 1-w.axis
	}
	if w.shape[1] != from.channels || w.shape[0] == 0 {
		return false
	}
	p.out = w.shape[0]
	p.step = int8Step{kind: int8Conv, size: 1, stride: 1, gap: 1}
	p.filter = &int8Filter{spec: kernel.ConvSpec{In: from.channels, Out: p.out, Kernel: 1, Stride: 1, Dilation: 1}}
	return c.fill(p, &w, n.In[2:], from)
}

// fill reads a filter's weights and bias. The bias is rounded to units of the sums, which are some hundred times finer than the result's
// levels; quantizers write it in these units from the start.
func (c *int8Compiler) fill(p *int8Pending, w *int8Constant, rest []string, from int8Value) bool {
	f := p.filter
	f.weight, f.bias, f.scale = make([]int8, len(w.levels)), make([]int32, p.out), make([]float32, p.out)
	if w.levels == nil || len(w.levels) != p.out*f.spec.In*f.spec.Kernel*f.spec.Kernel || len(w.scales) != 1 && (w.axis != 0 || len(w.scales) != p.out) {
		return false
	}
	for i, v := range w.levels {
		if v < -128 || v > 127 {
			return false
		}
		f.weight[i] = int8(v)
	}
	for i := range f.scale {
		f.scale[i] = w.scales[i%len(w.scales)]
	}
	if len(rest) == 0 || rest[0] == "" {
		return true
	}
	b := c.constant(rest[0])
	if b == nil || len(b.values) != p.out {
		return false
	}
	for i, v := range b.values {
		units := math.RoundToEven(v / (float64(from.scale) * float64(f.scale[i])))
		if !(math.Abs(units) < 1<<31) {
			return false
		}
		f.bias[i] = int32(units)
	}
	return true
}

// constant is a constant's values, dequantised if need be.
func (c *int8Compiler) constant(name string) *int8Constant {
	if f := c.filters[name]; f != nil {
		return f
	}
	t := c.constants[name]
	if t == nil || t.Floats == nil {
		return nil
	}
	f := &int8Constant{shape: t.Shape, values: make([]float64, len(t.Floats))}
	for i, v := range t.Floats {
		f.values[i] = float64(v)
	}
	return f
}

// dequantized is DequantizeLinear of a constant.
func (c *int8Compiler) dequantized(n *checkpoint.ONNXNode, t *checkpoint.ONNXTensor) (*int8Constant, bool) {
	if len(n.In) < 2 || t.Integers == nil || n.Attributes["block_size"].Int != 0 {
		return nil, false
	}
	scale := c.constants[n.In[1]]
	if scale == nil || len(scale.Floats) == 0 {
		return nil, false
	}
	for _, s := range scale.Floats {
		if !(s > 0) || math.IsInf(float64(s), 1) {
			return nil, false
		}
	}
	zeros := make([]int64, len(scale.Floats))
	if len(n.In) > 2 && n.In[2] != "" {
		z := c.constants[n.In[2]]
		if z == nil || len(z.Integers) != len(zeros) {
			return nil, false
		}
		zeros = z.Integers
	}
	f := &int8Constant{shape: t.Shape, scales: scale.Floats}
	inner := 1
	if len(zeros) > 1 {
		a := int64(1)
		if v, ok := n.Attributes["axis"]; ok {
			a = v.Int
		}
		if a < 0 {
			a += int64(len(t.Shape))
		}
		if a < 0 || a >= int64(len(t.Shape)) || t.Shape[a] != len(zeros) {
			return nil, false
		}
		f.axis = int(a)
		for _, d := range t.Shape[a+1:] {
			inner *= d
		}
	}
	for i, v := range t.Integers {
		k := i / inner % len(zeros)
		f.levels = append(f.levels, v-zeros[k])
		f.values = append(f.values, float64(v-zeros[k])*float64(scale.Floats[k]))
	}
	return f, true
}

// quantizeConstant is QuantizeLinear of a constant of floats: torch keeps weights so.
func (c *int8Compiler) quantizeConstant(n *checkpoint.ONNXNode) bool {
	t := c.constants[n.In[0]]
	if t == nil || t.Floats == nil || len(n.In) < 3 {
		return false
	}
	var in []*array
	for _, x := range n.In {
		constant := c.constants[x]
		if constant == nil {
			return false
		}
		in = append(in, ofConstant(constant))
	}
	out, err := (&call{node: n, in: in, workers: 1}).run(opQuantizeLinear)
	if err != nil {
		return false
	}
	c.constants[n.Out[0]] = &checkpoint.ONNXTensor{DType: out[0].dtype, Shape: out[0].shape, Integers: out[0].integers}
	return true
}
