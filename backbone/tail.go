package backbone

import (
	"fmt"

	"github.com/blemish/blemish/infer"
)

// Tail is the part of a network that computes the tap to from the tap from alone, with the same layer names: its input is from's feature
// map. It is what is trained when everything before is frozen. A tap that a shortcut leads around is refused: what follows it needs more
// than its feature map.
func Tail(g *infer.Graph, from, to string) (*infer.Graph, error) {
	start, err := g.Tapped(from)
	if err != nil {
		return nil, err
	}
	end, err := g.Tapped(to)
	if err != nil {
		return nil, err
	}
	order, nodes, err := g.Nodes([]string{to})
	if err != nil {
		return nil, err
	}
	if _, ok := nodes[start]; !ok {
		return nil, fmt.Errorf("layer %s does not come after %s", to, from)
	}
	needed := map[infer.Value]bool{end: true}
	for i := len(order) - 1; i >= 0; i-- {
		if v := order[i]; needed[v] && v != start {
			for _, in := range nodes[v].In {
				needed[in] = true
			}
		}
	}
	tail, input := infer.NewGraph(g.Channels(start))
	copied := map[infer.Value]infer.Value{start: input}
	for _, v := range order {
		n := nodes[v]
		if v == start || !needed[v] {
			continue
		}
		in := make([]infer.Value, len(n.In))
		for i, x := range n.In {
			in[i] = copied[x]
		}
		if v < start { // needed without the tap, beginning with the picture
			return nil, fmt.Errorf("%s cannot be computed from %s alone: choose a layer that everything passes through", to, from)
		}
		copied[v] = again(tail, n, in)
	}
	tail.Tap(to, copied[end])
	return tail, nil
}

// again adds a copy of a node that reads other values.
func again(g *infer.Graph, n infer.Node, in []infer.Value) infer.Value {
	switch n.Kind {
	case infer.KindConv:
		return g.Conv(in[0], n.Conv)
	case infer.KindBatchNorm:
		return g.BatchNorm(in[0], n.Name, n.Eps)
	case infer.KindAdd:
		return g.Add(in[0], in[1])
	case infer.KindMaxPool:
		return g.MaxPool(in[0], n.Pool)
	case infer.KindClamp:
		if n.Hi == 6 {
			return g.ReLU6(in[0])
		}
		return g.ReLU(in[0])
	}
	panic(fmt.Sprintf("backbone: no way to copy a node of kind %d", n.Kind))
}
