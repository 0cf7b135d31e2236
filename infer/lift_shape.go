package infer

import (
	"slices"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/tensor"
)

// wanted is the shape that a node reshapes to, with 0 for what it leaves to the others, and -1 for a whole dimension that is kept.
func (l *lifter) wanted(n *checkpoint.ONNXNode) ([]int, bool) {
	if len(n.In) < 2 || l.arrays[n.In[1]] == nil || l.arrays[n.In[1]].isFloat() {
		return nil, false
	}
	var out []int
	for _, v := range l.arrays[n.In[1]].integers {
		if v < -1 || v > 1<<24 {
			return nil, false
		}
		if v == 0 && n.Attributes["allowzero"].Int != 0 {
			return nil, false
		}
		out = append(out, map[bool]int{true: -1, false: int(v)}[v <= 0])
	}
	return out, true
}

// fits says whether a wanted size is the known one, or left open.
func fits(want, have int) bool { return want == -1 || want == have }

// pixels says whether a wanted size is the number of pixels of v, and ties the network to it.
func (l *lifter) pixels(want int, v Value) bool {
	if want == -1 {
		return true
	}
	z, ok := l.sizes[v]
	l.sized = true
	return ok && z.height*z.width == want
}

func (l *lifter) reshape(n *checkpoint.ONNXNode, x symbol) (symbol, bool) {
	if h, ok := x.part.(headed); ok {
		return l.reshapeHead(n, h)
	}
	if x.v == none || x.form >= storable || l.padded[x.v] > 0 {
		return symbol{}, false
	}
	channels := l.graph.Channels(x.v)
	to := func(f form) (symbol, bool) { return symbol{form: f, v: x.v, base: none}, true }
	if l.single[x.v] && (x.form == planes || x.form == vector) {
		c := call{node: n}
		if n.Op == "Flatten" && c.integer("axis", 1) == 1 {
			return to(vector)
		}
		want, ok := l.wanted(n)
		switch {
		case n.Op != "Reshape" || !ok:
		case len(want) == 2 && fits(want[0], 1) && fits(want[1], channels):
			return to(vector)
		case len(want) == 4 && fits(want[0], 1) && fits(want[1], channels) && fits(want[2], 1) && fits(want[3], 1):
			return to(planes)
		}
		return symbol{}, false
	}
	want, ok := l.wanted(n)
	if n.Op != "Reshape" || !ok || len(want) == 0 || !fits(want[0], 1) {
		return symbol{}, false
	}
	switch {
	case x.form == planes && len(want) == 3 && want[1] == channels && l.pixels(want[2], x.v):
		return to(flat)
	case x.form == sequence && len(want) == 5 && l.pixels(want[1], x.v) && want[2] == 3 && want[3] > 0 && want[4] > 0 && 3*want[3]*want[4] == channels:
		return l.heads(x, want[3], want[4])
	}
	return symbol{}, false
}

func (l *lifter) transpose(n *checkpoint.ONNXNode, x symbol) (symbol, bool) {
	perm := n.Attributes["perm"].Ints
	if h, ok := x.part.(headed); ok {
		return l.turnHead(perm, h)
	}
	if x.v == none || l.padded[x.v] > 0 {
		return symbol{}, false
	}
	for _, turn := range []struct {
		from, to form
		perm     []int64
	}{
		{planes, last, []int64{0, 2, 3, 1}}, {last, planes, []int64{0, 3, 1, 2}},
		{flat, sequence, []int64{0, 2, 1}}, {sequence, flat, []int64{0, 2, 1}},
	} {
		if x.form == turn.from && slices.Equal(perm, turn.perm) {
			return symbol{form: turn.to, v: x.v, base: none}, true
		}
	}
	return symbol{}, false
}

// prepend is a Concat of constant tokens and a sequence.
func (l *lifter) prepend(n *checkpoint.ONNXNode, name string) bool {
	count := len(n.In) - 1
	if count < 1 || n.Attributes["axis"].Int != 1 {
		return false
	}
	x, ok := l.symbols[n.In[count]]
	z, known := l.sizes[x.v]
	if !ok || !known || x.v == none || x.form != sequence || l.padded[x.v] > 0 {
		return false
	}
	channels := l.graph.Channels(x.v)
	var table []float32
	for _, in := range n.In[:count] {
		a := l.arrays[in]
		if a == nil || !a.isFloat() || a.rank() != 3 || a.shape[0] != 1 || a.shape[2] != channels {
			return false
		}
		table = append(table, a.floats...)
	}
	first := len(table) / channels
	table = append(table, make([]float32, z.height*z.width*channels)...)
	l.sized = true
	l.symbols[n.Out[0]] = l.table(x, table, first, name)
	return true
}

func (l *lifter) table(x symbol, values []float32, first int, name string) symbol {
	rows := len(values) / l.graph.Channels(x.v)
	l.weights[name+".table"] = tensor.From(values, rows, l.graph.Channels(x.v))
	v := l.graph.like(x.v, node{kind: tokens, name: name, rows: rows, first: first})
	l.sizes[v] = size{1, rows}
	return symbol{form: sequence, v: v, base: none}
}

// positions is the sum of a sequence and a constant for each of its tokens.
func (l *lifter) positions(n *checkpoint.ONNXNode, x symbol, constant, name string) (symbol, bool) {
	a := l.arrays[constant]
	if n.Op != "Add" || a == nil || !a.isFloat() || x.form != sequence || x.v == none || l.padded[x.v] > 0 || a.rank() < 2 ||
		a.len() != a.shape[a.rank()-1]*a.shape[a.rank()-2] || a.shape[a.rank()-1] != l.graph.Channels(x.v) || a.shape[a.rank()-2] < 2 {
		return symbol{}, false
	}
	l.sized = true
	if m := &l.graph.nodes[x.v]; m.kind == tokens && m.rows*m.channels == a.len() && l.exclusive(x.v) {
		t := l.weights[m.name+".table"]
		for i, v := range a.floats {
			t.Data[i] += v
		}
		return x, true
	}
	return l.table(x, slices.Clone(a.floats), 0, name), true
}
