package outlier

import "math"

// State is the trees, one after the other: nodes as (feature, threshold, left, samples), left 0 for a leaf; oblique ones with (column, weight)
// of their terms and an offset.
func (f *IsolationForest) State() (State, error) {
	var counts, nodes, terms, offsets []float64
	for _, t := range f.trees {
		counts = append(counts, float64(len(t.nodes)))
		for i, n := range t.nodes {
			if int(n.left) == i {
				n = isolationNode{}
			}
			nodes = append(nodes, float64(n.feature), float64(n.threshold), float64(n.left), float64(t.samples[i]))
		}
		for i := range t.columns {
			terms = append(terms, float64(t.columns[i]), t.weights[i])
		}
		offsets = append(offsets, t.offsets...)
	}
	arrays := map[string]Array{
		"shape": vectorOf([]float64{float64(f.cols), float64(f.samples)}), "trees": vectorOf(counts), "threshold": numberOf(f.threshold),
		"nodes": {[]int{len(nodes) / 4, 4}, nodes},
	}
	if f.config.ExtensionLevel > 0 {
		arrays["terms"], arrays["offsets"] = Array{[]int{len(terms) / 2, 2}, terms}, vectorOf(offsets)
	}
	return saveAs(f.config, arrays)
}

func whole(v, from, to float64) bool { return v == math.Trunc(v) && v >= from && v <= to }

func openIsolationForest(s State) (Detector, error) {
	arrays := 4
	if _, oblique := s.Arrays["terms"]; oblique {
		arrays = 6
	}
	c, r, err := openSaved("isolation forest", s, IsolationForestConfig{}, arrays)
	if err != nil {
		return nil, err
	}
	if oblique := arrays == 6; oblique != (c.ExtensionLevel > 0) {
		return nil, r.damaged("extension level %d, and %d arrays", c.ExtensionLevel, arrays)
	}
	shape, counts, nodes := r.array("shape", 2).Data, r.array("trees", c.NEstimators).Data, r.matrix("nodes", -1, 4)
	f := &IsolationForest{config: c, trees: make([]isolationTree, len(counts)), threshold: r.number("threshold")}
	var terms Matrix
	var offsets []float64
	if c.ExtensionLevel > 0 {
		terms, offsets = r.matrix("terms", -1, 2), r.array("offsets", nodes.Rows).Data
	}
	if r.err != nil {
		return nil, r.err
	}
	if !whole(shape[0], 1, 1<<31-1) || !whole(shape[1], 1, 1<<31-1) {
		return nil, r.damaged("shape %v", shape)
	}
	f.cols, f.samples = int(shape[0]), int(shape[1])
	width := terms.Rows / max(nodes.Rows, 1) // terms of a node
	if c.ExtensionLevel > 0 && (width != c.ExtensionLevel+1 || terms.Rows != nodes.Rows*width) {
		return nil, r.damaged("%d terms of %d nodes, extension level %d", terms.Rows, nodes.Rows, c.ExtensionLevel)
	}
	at := 0
	for i, count := range counts {
		if !whole(count, 1, float64(nodes.Rows-at)) {
			return nil, r.damaged("tree %d has %v nodes, of %d that are left", i, count, nodes.Rows-at)
		}
		n := int(count)
		t := isolationTree{width: width}
		for j := range n {
			v := nodes.Row(at + j)
			if !whole(v[0], 0, shape[0]-1) || math.Abs(v[1]) > math.MaxFloat32 || v[2] != 0 && !whole(v[2], float64(j+1), count-2) || !whole(v[3], 0, shape[1]) {
				return nil, r.damaged("node %d of tree %d is %v", j, i, v)
			}
			t.nodes = append(t.nodes, isolationNode{float32(v[1]), int32(v[0]), int32(v[2])})
			t.samples = append(t.samples, int32(v[3]))
		}
		for j := at * width; j < (at+n)*width; j++ {
			v := terms.Row(j)
			if !whole(v[0], 0, shape[0]-1) {
				return nil, r.damaged("term %d is %v", j, v)
			}
			t.columns, t.weights = append(t.columns, int32(v[0])), append(t.weights, v[1])
		}
		if width > 0 {
			t.offsets = offsets[at : at+n]
		}
		t.finish()
		f.trees[i] = t
		at += n
	}
	if at != nodes.Rows {
		return nil, r.damaged("%d nodes belong to no tree", nodes.Rows-at)
	}
	return f, nil
}
