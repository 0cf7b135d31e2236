package infer

import (
	"github.com/blemish/blemish/checkpoint"
)

// InputSize is the height and width of the pictures that a network was exported for; ok is false where any will do. A vision transformer's export
// may leave them open and still hold positions for one size, which they are told by.
func InputSize(g *checkpoint.ONNX) (height, width int, ok bool) {
	if len(g.Inputs) != 1 {
		return 0, 0, false
	}
	n := &Imported{shape: g.Inputs[0].Shape, opset: g.Opset}
	if height, width, ok = n.InputSize(); ok {
		return height, width, true
	}
	values, err := tapValues(g, nil)
	if err != nil {
		return 0, 0, false
	}
	nodes, err := neededNodes(g, values)
	if err != nil || known(nodes) != nil || n.link(g, nodes, values) != nil {
		return 0, 0, false
	}
	n.implySize()
	return n.InputSize()
}

// mostExtraTokens are those beside the patches' that a transformer may have: a class token, and registers.
const mostExtraTokens = 8

// implySize finds the one size of square pictures for which a vision transformer holds positions, where its input leaves the size open: a convolution
// cuts the picture into patches, and a constant (tokens, channels) is added to them.
func (n *Imported) implySize() {
	if _, _, ok := n.InputSize(); ok || len(n.shape) != 0 && len(n.shape) != 4 {
		return
	}
	patch, channels := 0, 0
	for _, s := range n.steps {
		switch s.node.Op {
		case "Conv":
			w := n.constant(s, 1)
			if patch > 0 || w == nil || w.rank() != 4 || w.shape[2] != w.shape[3] || w.shape[2] < 2 {
				return // what follows is no transformer of patches
			}
			size, stride, dilation, pad, ok := square(s.node, w.shape[2])
			if !ok || size != stride || dilation != 1 || pad != 0 {
				return
			}
			patch, channels = size, w.shape[0]
		case "Add":
			for i := range s.in {
				a := n.constant(s, i)
				if patch == 0 || a == nil || !a.isFloat() || a.rank() < 2 || a.shape[a.rank()-1] != channels || a.shape[a.rank()-2]*channels != a.len() {
					continue
				}
				for extra := 0; extra <= mostExtraTokens; extra++ {
					if side := root(a.shape[a.rank()-2] - extra); side > 1 {
						n.shape = []int{-1, n.channels, side * patch, side * patch}
						return
					}
				}
			}
		}
	}
}

// constant is input i of a step, if that is one.
func (n *Imported) constant(s step, i int) *array {
	if i >= len(s.in) || s.in[i] < 0 {
		return nil
	}
	return n.values[s.in[i]]
}

// root is the whole square root of n; 0 where it has none.
func root(n int) int {
	for r := 1; r*r <= n; r++ {
		if r*r == n {
			return r
		}
	}
	return 0
}
