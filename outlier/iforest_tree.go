package outlier

import (
	"math"
	"math/rand/v2"
)

// isolationNode sends a row to left where its feature is at most threshold, else to left+1. A leaf sends every row to itself: then all rows go
// down as many levels, and no branch has to be foreseen.
type isolationNode struct {
	threshold float32
	feature   int32
	left      int32 // while growing and in files, 0 for a leaf
}

// isolationTree is nodes, parents before children; its root is the first.
type isolationTree struct {
	nodes   []isolationNode
	samples []int32   // rows it grew from that came to each node
	path    []float64 // of each node: its depth, and the average path beyond it
	levels  int
	// Of oblique splits: a row goes left where the weighted sum of a node's columns is at most its offset.
	width   int     // columns of a node
	columns []int32 // (nodes, width)
	weights []float64
	offsets []float64
}

// averagePath is the mean length of an unsuccessful search in a binary search tree of n rows (Liu, Ting and Zhou, equation 1).
func averagePath(n int) float64 {
	switch {
	case n <= 1:
		return 0
	case n == 2:
		return 1
	}
	m := float64(n)
	const euler = 0.577215664901532860606512090082402431
	return 2*(math.Log(m-1)+euler) - 2*(m-1)/m
}

// finish measures paths and closes leaves.
func (t *isolationTree) finish() {
	depth := make([]int, len(t.nodes))
	t.path = make([]float64, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.left == 0 {
			*n = isolationNode{float32(math.Inf(1)), 0, int32(i)}
			t.path[i] = float64(depth[i]) + averagePath(int(t.samples[i]))
			t.levels = max(t.levels, depth[i])
			continue
		}
		depth[n.left], depth[n.left+1] = depth[i]+1, depth[i]+1
	}
}

// addPaths adds the path of each row of block (forestRows, cols). Four rows go down side by side, so that their waits for memory overlap.
func (t *isolationTree) addPaths(sums *[forestRows]float64, block []float32, cols int) {
	if t.width > 0 {
		t.addObliquePaths(sums, block, cols)
		return
	}
	nodes := t.nodes
	for r := 0; r < forestRows; r += 4 {
		x0, x1, x2, x3 := block[r*cols:][:cols], block[(r+1)*cols:][:cols], block[(r+2)*cols:][:cols], block[(r+3)*cols:][:cols]
		var i0, i1, i2, i3 int32
		for range t.levels {
			n0, n1, n2, n3 := &nodes[i0], &nodes[i1], &nodes[i2], &nodes[i3]
			i0 = n0.left + beyond(x0[n0.feature], n0.threshold)
			i1 = n1.left + beyond(x1[n1.feature], n1.threshold)
			i2 = n2.left + beyond(x2[n2.feature], n2.threshold)
			i3 = n3.left + beyond(x3[n3.feature], n3.threshold)
		}
		sums[r] += t.path[i0]
		sums[r+1] += t.path[i1]
		sums[r+2] += t.path[i2]
		sums[r+3] += t.path[i3]
	}
}

// beyond is 1 where v > threshold, without a branch.
func beyond(v, threshold float32) int32 {
	var b int32
	if v > threshold {
		b = 1
	}
	return b
}

func (t *isolationTree) addObliquePaths(sums *[forestRows]float64, block []float32, cols int) {
	for r := range sums {
		row := block[r*cols:][:cols]
		i := 0
		for int(t.nodes[i].left) != i {
			n := int(t.nodes[i].left)
			if t.project(i, row) > t.offsets[i] {
				n++
			}
			i = n
		}
		sums[r] += t.path[i]
	}
}

// project is the weighted sum of node i's columns.
func (t *isolationTree) project(i int, row []float32) float64 {
	sum := 0.0
	for k := i * t.width; k < (i+1)*t.width; k++ {
		sum += t.weights[k] * float64(row[t.columns[k]])
	}
	return sum
}

// grower grows one tree.
type grower struct {
	rng   *rand.Rand
	level int // columns of a split beyond the first
	tree  isolationTree
	x     []float32 // (rows drawn, cols)
	cols  int
	rows  []int32 // a permutation of the rows drawn: those of a node lie together
	among []int32 // columns that may split
}

// drawRows chooses count of n rows, each at most once unless with replacement.
func (g *grower) drawRows(n, count int, replace bool) []int {
	rows := make([]int, count)
	moved := map[int]int{} // of a shuffle of all rows, what it has changed
	at := func(i int) int {
		if v, ok := moved[i]; ok {
			return v
		}
		return i
	}
	for i := range rows {
		if replace {
			rows[i] = g.rng.IntN(n)
			continue
		}
		j := i + g.rng.IntN(n-i)
		rows[i], moved[j] = at(j), at(i)
	}
	return rows
}

func (g *grower) drawColumns(n, count int) []int32 {
	columns := make([]int32, n)
	for i := range columns {
		columns[i] = int32(i)
	}
	if count < n {
		g.rng.Shuffle(n, func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	}
	return columns[:count]
}

// grow splits rows until each is alone, or like its neighbours, or ⌈log2 rows⌉ levels down.
func (g *grower) grow(x Matrix, rows []int, columns []int32) isolationTree {
	g.cols, g.among = x.Cols, columns
	g.x = make([]float32, len(rows)*x.Cols)
	g.rows = make([]int32, len(rows))
	for i, row := range rows {
		g.rows[i] = int32(i)
		for j, v := range x.Row(row) {
			g.x[i*x.Cols+j] = float32(v)
		}
	}
	if g.level > 0 {
		g.tree.width = g.level + 1
	}
	g.node()
	g.split(0, 0, len(rows), int(math.Ceil(math.Log2(float64(max(len(rows), 2))))))
	g.tree.finish()
	return g.tree
}

// node adds a leaf.
func (g *grower) node() {
	t := &g.tree
	t.nodes = append(t.nodes, isolationNode{})
	t.samples = append(t.samples, 0)
	if t.width > 0 {
		t.columns = append(t.columns, make([]int32, t.width)...)
		t.weights = append(t.weights, make([]float64, t.width)...)
		t.offsets = append(t.offsets, 0)
	}
}

func (g *grower) row(i int) []float32 { return g.x[int(g.rows[i])*g.cols:][:g.cols] }

// split gives node i, which holds g.rows[from:to], children, if it can, with levels to go.
func (g *grower) split(i, from, to, levels int) {
	g.tree.samples[i] = int32(to - from)
	if to-from < 2 || levels == 0 {
		return
	}
	var left func(row []float32) bool
	if g.level > 0 {
		if !g.oblique(i, from, to) {
			return
		}
		left = func(row []float32) bool { return g.tree.project(i, row) <= g.tree.offsets[i] }
	} else {
		feature, threshold, ok := g.straight(from, to)
		if !ok {
			return
		}
		g.tree.nodes[i].feature, g.tree.nodes[i].threshold = feature, threshold
		left = func(row []float32) bool { return row[feature] <= threshold }
	}
	middle := from
	for at := from; at < to; at++ {
		if left(g.row(at)) {
			g.rows[at], g.rows[middle] = g.rows[middle], g.rows[at]
			middle++
		}
	}
	child := len(g.tree.nodes)
	g.tree.nodes[i].left = int32(child)
	g.node()
	g.node()
	g.split(child, from, middle, levels-1)
	g.split(child+1, middle, to, levels-1)
}

func (g *grower) bounds(column int32, from, to int) (low, high float32) {
	low, high = g.row(from)[column], g.row(from)[column]
	for at := from + 1; at < to; at++ {
		v := g.row(at)[column]
		low, high = min(low, v), max(high, v)
	}
	return low, high
}

// straight draws one of the columns that differ, and a threshold between its values.
func (g *grower) straight(from, to int) (feature int32, threshold float32, ok bool) {
	for tried := range g.among {
		other := tried + g.rng.IntN(len(g.among)-tried)
		g.among[tried], g.among[other] = g.among[other], g.among[tried]
		feature = g.among[tried]
		low, high := g.bounds(feature, from, to)
		if low < high {
			return feature, under(float64(low)+g.rng.Float64()*(float64(high)-float64(low)), low, high), true
		}
	}
	return 0, 0, false
}

// under is the largest single-precision value that is at most v, from low to less than high: rows are compared with it as with v.
func under(v float64, low, high float32) float32 {
	t := roundDown(v)
	if t >= high {
		t = math.Nextafter32(high, low)
	}
	return max(t, low)
}

func roundDown(v float64) float32 {
	t := float32(v)
	if float64(t) > v {
		t = math.Nextafter32(t, float32(math.Inf(-1)))
	}
	return t
}

// oblique draws a direction with normal weights in level+1 columns, and a point in the box around the rows, as Hariri et al.; one side may be
// left empty. Rows that are all the same are not split.
func (g *grower) oblique(i, from, to int) bool {
	differ := false
	for _, c := range g.among {
		low, high := g.bounds(c, from, to)
		differ = differ || low < high
	}
	if !differ {
		return false
	}
	t := &g.tree
	for k := range t.width {
		other := k + g.rng.IntN(len(g.among)-k)
		g.among[k], g.among[other] = g.among[other], g.among[k]
		low, high := g.bounds(g.among[k], from, to)
		weight, point := g.rng.NormFloat64(), float64(low)+g.rng.Float64()*(float64(high)-float64(low))
		t.columns[i*t.width+k], t.weights[i*t.width+k] = g.among[k], weight
		t.offsets[i] += weight * point
	}
	return true
}
