package infer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
)

// Imported is an ONNX network as far as its taps. It runs as a fused Network where it is made of convolutions, batch norms, clamps, sums and
// maxima that Network knows, in 8-bit integers where it is quantised throughout, and operator by operator on plain arrays otherwise; all give
// the same results to rounding. It is immutable and safe for concurrent use.
type Imported struct {
	steps     []step
	values    []*array // constants, by slot; nil for what is computed
	input     int
	shape     []int // of the input as it was exported: -1 where left open
	taps      []int
	last      []int // the last step that reads each slot
	opset     int
	fused     *Network
	int8      *int8Network
	front     *front // what runs before the steps
	given     []int  // slots of values that it computes
	channels  int
	tapLabels []string
}

// step is one operator: which slots it reads and computes.
type step struct {
	node    *checkpoint.ONNXNode
	in, out []int // absent where negative
	run     operator
}

// Import compiles a network as far as the named taps: names of values, of nodes (their first output), or of modules such as layer2, as torch
// keeps them in the names of nodes (their last node's output). Without names, the network's outputs are tapped. All operators that are not
// known are listed at once.
func Import(g *checkpoint.ONNX, taps []string) (*Imported, error) {
	values, err := tapValues(g, taps)
	if err != nil {
		return nil, err
	}
	nodes, err := neededNodes(g, values)
	if err != nil {
		return nil, err
	}
	if err := known(nodes); err != nil {
		return nil, err
	}
	if len(g.Inputs) != 1 {
		return nil, &fault.UnsupportedError{What: fmt.Sprintf("an ONNX network of %d inputs", len(g.Inputs))}
	}
	in := g.Inputs[0]
	if len(in.Shape) != 0 && len(in.Shape) != 4 {
		return nil, &fault.UnsupportedError{What: fmt.Sprintf("an ONNX network whose input has shape %v", in.Shape), Hint: "want pictures (N,3,H,W)"}
	}
	n := &Imported{shape: in.Shape, opset: g.Opset, tapLabels: taps, channels: 3}
	if len(in.Shape) == 4 && in.Shape[1] >= 0 {
		n.channels = in.Shape[1]
	}
	if err := n.link(g, nodes, values); err != nil {
		return nil, err
	}
	n.implySize()
	if h, w, ok := n.InputSize(); ok && (n.channels > maxElements || h > maxElements/max(n.channels, 1)/w) {
		return nil, &fault.LimitError{What: fmt.Sprintf("an ONNX network for pictures of shape %v", n.shape), Limit: fmt.Sprint(maxElements, " values")}
	}
	n.fused = fuse(g, nodes, values, n.channels)
	if n.fused == nil {
		n.int8 = compileInt8(g, nodes, values, n.channels)
	}
	if n.fused != nil || n.int8 != nil {
		n.steps, n.values = nil, nil
		return n, nil
	}
	return n, n.lift(g, nodes, values)
}

// NodeFilter says which nodes the named taps need.
func NodeFilter(g *checkpoint.ONNX, taps []string) (func(checkpoint.ONNXNode) bool, []string, error) {
	values, err := tapValues(g, taps)
	if err != nil {
		return nil, nil, err
	}
	nodes, err := neededNodes(g, values)
	if err != nil {
		return nil, nil, err
	}
	outputs := map[string]bool{}
	for _, n := range nodes {
		outputs[n.Out[0]] = true
	}
	return func(n checkpoint.ONNXNode) bool { return len(n.Out) > 0 && outputs[n.Out[0]] }, values, nil
}

// tapValues finds the value that each name stands for.
func tapValues(g *checkpoint.ONNX, taps []string) ([]string, error) {
	if len(taps) == 0 {
		return g.Outputs, nil
	}
	var out []string
	for _, name := range taps {
		v := tapValue(g, name)
		if v == "" {
			reason := "it is the name of no value, node or module of the network, whose outputs are " + strings.Join(g.Outputs, ", ")
			if modules := upperModules(g); len(modules) > 0 {
				reason += ", and whose modules begin with " + strings.Join(modules, ", ")
			}
			return nil, &fault.ConfigError{Field: "layer", Value: name, Reason: reason}
		}
		out = append(out, v)
	}
	return out, nil
}

// mostModules bounds those that a message lists.
const mostModules = 24

// upperModules are the names of the modules of the two upper levels, in the order in which they are computed.
func upperModules(g *checkpoint.ONNX) []string {
	var names []string
	for _, n := range g.Nodes {
		for _, m := range n.Modules[:min(2, len(n.Modules))] {
			if !slices.Contains(names, m) && len(names) < mostModules {
				names = append(names, m)
			}
		}
	}
	return names
}

func tapValue(g *checkpoint.ONNX, name string) string {
	module := ""
	for _, n := range g.Nodes {
		if len(n.Out) == 0 {
			continue
		}
		if slices.Contains(n.Out, name) {
			return name
		}
		if n.Name == name {
			return n.Out[0]
		}
		if slices.Contains(n.Modules, name) {
			module = n.Out[0]
		}
	}
	return module
}

// neededNodes are those that the values are computed from, in order. They must be in an order in which they can be computed.
func neededNodes(g *checkpoint.ONNX, values []string) ([]*checkpoint.ONNXNode, error) {
	defined := map[string]bool{"": true}
	for name := range g.Constants {
		defined[name] = true
	}
	for _, in := range g.Inputs {
		defined[in.Name] = true
	}
	bad := func(format string, args ...any) error {
		return &fault.FormatError{Format: "ONNX", Reason: fmt.Sprintf(format, args...)}
	}
	for _, n := range g.Nodes {
		for _, x := range n.In {
			if !defined[x] {
				return nil, bad("node %s reads %q before it is computed", label(&n), x)
			}
		}
		if len(n.Out) == 0 || n.Out[0] == "" {
			return nil, bad("node %s computes nothing", label(&n))
		}
		for _, y := range n.Out {
			if y != "" && defined[y] {
				return nil, bad("%q is computed twice", y)
			}
			defined[y] = true
		}
	}
	if len(values) == 0 {
		return nil, bad("it has no outputs")
	}
	needed := map[string]bool{}
	for _, v := range values {
		if v == "" || !defined[v] {
			return nil, bad("output %q is computed nowhere", v)
		}
		needed[v] = true
	}
	var out []*checkpoint.ONNXNode
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := &g.Nodes[i]
		if slices.ContainsFunc(n.Out, func(y string) bool { return y != "" && needed[y] }) {
			out = append(out, n)
			for _, x := range n.In {
				needed[x] = true
			}
		}
	}
	slices.Reverse(out)
	return out, nil
}

// known lists the operators that are not.
func known(nodes []*checkpoint.ONNXNode) error {
	var names []string
	for _, n := range nodes {
		if n.Domain != "" {
			names = append(names, n.Domain+"."+n.Op)
		} else if operators[n.Op] == nil {
			names = append(names, n.Op)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	what := "ONNX operator " + names[0]
	if len(names) > 1 {
		what = "any of the ONNX operators " + strings.Join(names, ", ")
	}
	return &fault.UnsupportedError{What: what, Hint: "tap an earlier layer, or export the network in other operators"}
}

// link numbers the values, and computes at once what depends on constants alone. Some values may be given beside the picture.
func (n *Imported) link(g *checkpoint.ONNX, nodes []*checkpoint.ONNXNode, taps []string, given ...string) error {
	slots := map[string]int{"": -1}
	slot := func(name string, value *array) int {
		if s, ok := slots[name]; ok {
			return s
		}
		slots[name] = len(n.values)
		n.values = append(n.values, value)
		return slots[name]
	}
	n.input = slot(g.Inputs[0].Name, nil)
	for _, name := range given {
		n.given = append(n.given, slot(name, nil))
	}
	for _, node := range nodes {
		s := step{node: node, run: operators[node.Op]}
		constant := true
		for _, x := range node.In {
			var value *array
			if t := g.Constants[x]; t != nil {
				value = ofConstant(t)
			}
			s.in = append(s.in, slot(x, value))
			constant = constant && (x == "" || n.values[slots[x]] != nil)
		}
		if constant {
			out, err := n.call(s, n.values, 1)
			if err != nil {
				return err
			}
			for i, y := range node.Out {
				if i < len(out) {
					slot(y, out[i])
				}
			}
			continue
		}
		for _, y := range node.Out {
			s.out = append(s.out, slot(y, nil))
		}
		n.steps = append(n.steps, s)
	}
	for _, name := range taps {
		v := slot(name, nil)
		if n.values[v] != nil {
			return fmt.Errorf("layer %s does not depend on the picture", name)
		}
		n.taps = append(n.taps, v)
	}
	n.steps = fuseQuantized(n.steps, n.values, n.taps)
	n.last = make([]int, len(n.values))
	for i, s := range n.steps {
		for _, x := range s.in {
			if x >= 0 {
				n.last[x] = i
			}
		}
		for _, y := range s.out {
			if y >= 0 {
				n.last[y] = max(n.last[y], i)
			}
		}
	}
	for _, v := range n.taps {
		n.last[v] = len(n.steps)
	}
	read := make([]bool, len(n.values))
	for _, s := range n.steps {
		for _, x := range s.in {
			if x >= 0 {
				read[x] = true
			}
		}
	}
	for v, value := range n.values { // what folding used up
		if value != nil && !read[v] {
			n.values[v] = nil
		}
	}
	return nil
}

func (n *Imported) call(s step, values []*array, workers int) ([]*array, error) {
	c := call{node: s.node, opset: n.opset, workers: workers}
	for _, x := range s.in {
		var value *array
		if x >= 0 {
			value = values[x]
			if value == nil {
				return nil, errors.New("a value that was not computed is read")
			}
		}
		c.in = append(c.in, value)
	}
	return c.run(s.run)
}
