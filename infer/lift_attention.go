package infer

import (
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// headed is a step on the way from a linear layer that computes queries, keys and values to attention.
type headed struct {
	qkv        Value
	stage      stage
	which      int // 0 queries, 1 keys, 2 values
	heads, dim int
	scale      float64
	out        Value // of attention, in the last stages
}

type stage int

const (
	together   stage = iota // (N,T,3,h,d)
	apart                   // (3,N,h,T,d)
	part                    // (1,N,h,T,d)
	head                    // (N,h,T,d)
	headFlat                // (h,T,d)
	turnedFlat              // (h,d,T)
	turned                  // (N,h,d,T)
	scores                  // (N,h,T,T)
	shares                  // (N,h,T,T)
	looked                  // (N,h,T,d)
	joined                  // (N,T,h,d)
)

// shape is nil where none asks for it.
func (h headed) shape(tokens int) []int {
	switch h.stage {
	case head, looked:
		return []int{1, h.heads, tokens, h.dim}
	case turned:
		return []int{1, h.heads, h.dim, tokens}
	case joined:
		return []int{1, tokens, h.heads, h.dim}
	}
	return nil
}

func (h headed) at(s stage) (symbol, bool) {
	h.stage = s
	return symbol{form: storable, v: none, base: none, part: h}, true
}

// heads begins attention: the layer's results are reordered so that each head begins with a block of channels.
func (l *lifter) heads(x symbol, heads, dim int) (symbol, bool) {
	n := &l.graph.nodes[x.v]
	if n.kind != conv || n.conv.Groups != 1 || n.conv.Kernel != 1 || !l.exclusive(x.v) {
		return symbol{}, false
	}
	padded := kernel.Attention{Dim: dim}.Padded()
	old := n.conv.Out
	n.conv.Out, n.channels = 3*heads*padded, 3*heads*padded
	for _, p := range []string{".weight", ".bias"} {
		t := l.weights[n.conv.Name+p]
		if t == nil {
			continue
		}
		per := len(t.Data) / old
		shape := slices.Clone(t.Shape)
		shape[0] = n.conv.Out
		wide := tensor.New(shape...)
		for i := range old {
			copy(wide.Data[(i/dim*padded+i%dim)*per:][:per], t.Data[i*per:])
		}
		l.weights[n.conv.Name+p] = wide
	}
	l.padded[x.v] = dim
	return headed{qkv: x.v, heads: heads, dim: dim, scale: 1, out: none}.at(together)
}

func (l *lifter) reshapeHead(n *checkpoint.ONNXNode, h headed) (symbol, bool) {
	if n.Op == "Squeeze" {
		axes := n.Attributes["axes"].Ints
		if len(n.In) > 1 && l.arrays[n.In[1]] != nil {
			axes = l.arrays[n.In[1]].integers
		}
		if h.stage == part && slices.Equal(axes, []int64{0}) {
			return h.at(head)
		}
		return symbol{}, false
	}
	want, ok := l.wanted(n)
	if n.Op != "Reshape" || !ok {
		return symbol{}, false
	}
	switch {
	case h.stage == head && len(want) == 3 && fits(want[0], h.heads) && l.pixels(want[1], h.qkv) && want[2] == h.dim:
		return h.at(headFlat)
	case h.stage == turnedFlat && len(want) == 4 && fits(want[0], 1) && want[1] == h.heads && want[2] == h.dim && l.pixels(want[3], h.qkv):
		return h.at(turned)
	case h.stage == joined && len(want) == 3 && fits(want[0], 1) && l.pixels(want[1], h.qkv) && fits(want[2], h.heads*h.dim) && (want[1] > 0 || want[2] > 0):
		return symbol{form: sequence, v: h.out, base: none}, true
	}
	return symbol{}, false
}

func (l *lifter) turnHead(perm []int64, h headed) (symbol, bool) {
	switch {
	case h.stage == together && slices.Equal(perm, []int64{2, 0, 3, 1, 4}):
		return h.at(apart)
	case h.stage == head && slices.Equal(perm, []int64{0, 1, 3, 2}):
		return h.at(turned)
	case h.stage == headFlat && slices.Equal(perm, []int64{0, 2, 1}):
		return h.at(turnedFlat)
	case h.stage == looked && slices.Equal(perm, []int64{0, 2, 1, 3}):
		return h.at(joined)
	}
	return symbol{}, false
}

// split tells queries, keys and values apart.
func (l *lifter) split(n *checkpoint.ONNXNode, x symbol) bool {
	h, ok := x.part.(headed)
	if !ok || h.stage != apart || n.Attributes["axis"].Int != 0 || len(n.Out) != 3 {
		return false
	}
	for i, y := range n.Out { // of the first dimension of 3 there is one way to make three parts that are squeezed
		h.which = i
		l.symbols[y], _ = h.at(part)
	}
	return true
}

// pick is split for one part.
func (l *lifter) pick(n *checkpoint.ONNXNode, x symbol) (symbol, bool) {
	h, ok := x.part.(headed)
	if !ok || h.stage != apart || len(n.In) < 2 {
		return symbol{}, false
	}
	index := func(i int) (int, bool) {
		if i >= len(n.In) || l.arrays[n.In[i]] == nil || len(l.arrays[n.In[i]].integers) != 1 {
			return 0, false
		}
		return int(l.arrays[n.In[i]].integers[0]), true
	}
	i, ok := index(1)
	if !ok || i < 0 || i > 2 {
		return symbol{}, false
	}
	h.which = i
	if n.Op == "Gather" {
		if n.Attributes["axis"].Int != 0 || l.arrays[n.In[1]].rank() != 0 {
			return symbol{}, false
		}
		return h.at(head)
	}
	end, ok := index(2)
	axis, ok2 := index(3)
	step := 1
	if len(n.In) > 4 {
		step, _ = index(4)
	}
	if !ok || !ok2 || end != i+1 || axis != 0 || step != 1 {
		return symbol{}, false
	}
	return h.at(part)
}

// scaledHead is a product of queries, keys or scores with a number.
func (l *lifter) scaledHead(n *checkpoint.ONNXNode, x, y symbol, xs, ys bool) (symbol, bool) {
	value, constant := x, n.In[1]
	if !xs {
		value, constant = y, n.In[0]
	}
	h, ok := value.part.(headed)
	c, number := l.number(constant)
	if !ok || !number || xs && ys || h.stage < head || h.stage > scores || h.which == 2 {
		return symbol{}, false
	}
	switch {
	case n.Op == "Mul":
		h.scale *= c
	case n.Op == "Div" && xs:
		h.scale /= c
	default:
		return symbol{}, false
	}
	return h.at(h.stage)
}

// attend is a product of queries and keys, or of shares and values.
func (l *lifter) attend(x, y headed) (symbol, bool) {
	if x.qkv != y.qkv {
		return symbol{}, false
	}
	switch {
	case x.stage == head && x.which == 0 && y.stage == turned && y.which == 1:
		x.scale *= y.scale
		return x.at(scores)
	case x.stage == shares && y.stage == head && y.which == 2 && x.scale > 0:
		x.out = l.graph.like(x.qkv, node{kind: attention, attention: kernel.Attention{Heads: x.heads, Dim: x.dim, Scale: float32(x.scale)}})
		l.graph.nodes[x.out].channels /= 3
		l.made(storable, x.out, x.qkv)
		if kernel.Block*(x.dim/kernel.Block) != x.dim {
			l.padded[x.out] = x.dim
		}
		return x.at(looked)
	}
	return symbol{}, false
}

func (l *lifter) softmax(n *checkpoint.ONNXNode, x symbol) (symbol, bool) {
	h, ok := x.part.(headed)
	fallback := int64(-1)
	if l.opset < 13 {
		fallback = 1
	}
	axis := (&call{node: n}).integer("axis", fallback)
	if !ok || h.stage != scores || axis != -1 && axis != 3 {
		return symbol{}, false
	}
	return h.at(shares)
}
