package kernel

import "unsafe"

// panelJob is a convolution as a product of matrices: pixels in one line, whatever their rows, times filters. What each pixel's window sees is
// copied first, unless the input lies that way already. Pixels are cut into spans, and input channels into depths whose weights stay in the
// first cache: each tile then reads neither from further away than the second one.
type panelJob struct {
	job
	c          *Conv
	l          Layer
	copied     bool // windows are, to scratch: (steps, pixels, 16)
	offsets    []int64
	depths     [][2]int // steps
	spans      [][2]int // pixels
	tiles      [2][]placed
	runs       [2]int // pixels of the tiles, those twice computed twice
	parts      int    // of the groups of output blocks
	groups     int
	depthFirst bool // each depth goes through all groups before the next one: sums wait, the input does not
	direct     bool // out has no border: results go straight there
}

const (
	depthSteps = 16        // steps of Block channels whose weights are read at once, per block of outputs
	spanUnit   = 12        // pixels: whole tiles of 6 and of 4
	spanBytes  = 192 << 10 // of the second cache that a span may fill
	mostSpans  = 64        // that are considered
	outward    = 16        // bytes a cycle that come from beyond the second cache
	copyBlocks = 8         // of outputs that make up for copying windows
	copyShare  = 0.05      // of the time that copying windows must save, since tiles cover one line better than rows
	copyBytes  = 2 << 20   // of windows: what is left of the third cache for one
	spreadFrom = 16        // steps that make up for spreading results over rows with a border
)

// suitsPanels says whether pixels are best taken in one line.
func (c *Conv) suitsPanels(l *Layer) bool {
	steps := l.In.Blocks() * c.spec.Kernel * c.spec.Kernel
	if c.lanes != Block || l.Out.Border > 0 && steps < spreadFrom {
		return false
	}
	if c.lies(l) {
		return true
	}
	if l.Out.Blocks() < copyBlocks || 4*steps*Block*l.Out.H*l.Out.W > copyBytes {
		return false
	}
	if c.spec.Stride > 1 { // what a row of tiles reads lies apart otherwise
		return true
	}
	rows, _ := c.set.covers(l.Out.W)
	line, _ := c.set.covers(l.Out.H * l.Out.W)
	return 1-line[l.Out.H*l.Out.W]/(float64(l.Out.H)*rows[l.Out.W]) > copyShare
}

// lies says whether the input's pixels lie in one line already.
func (c *Conv) lies(l *Layer) bool {
	return c.spec.Kernel == 1 && c.spec.Stride == 1 && l.In.Border == 0 && l.Pad == [2]int{}
}

func (c *Conv) preparePanels(l Layer) Job {
	k, in, out := c.spec, &l.In, &l.Out
	j := &panelJob{c: c, l: l, copied: !c.lies(&l), direct: out.Border == 0, groups: (out.Blocks() + c.set.blocks - 1) / c.set.blocks}
	steps := in.Blocks() * k.Kernel * k.Kernel
	depths := (steps + depthSteps - 1) / depthSteps
	for i := range depths {
		j.depths = append(j.depths, [2]int{i * steps / depths, (i + 1) * steps / depths})
	}
	pixels := out.H * out.W
	span := j.choose(pixels, steps)
	for p := 0; p < pixels; p += span {
		j.spans = append(j.spans, [2]int{p, min(pixels, p+span)})
	}
	last := j.spans[len(j.spans)-1]
	for i, n := range []int{min(span, pixels), last[1] - last[0]} {
		j.tiles[i] = c.set.cover(n)
		for t := range j.tiles[i] {
			j.runs[i] += j.tiles[i][t].pixels()
		}
	}
	plane := in.plane()
	if j.copied {
		plane = pixels * Block
		j.shared = steps * plane
		j.phases = []int{steps}
	}
	for s := range steps {
		j.offsets = append(j.offsets, int64(4*s*plane))
	}
	j.phases = append(j.phases, len(j.spans)*j.parts)
	j.own = j.waiting()
	if !j.direct {
		j.own += j.c.set.blocks * span * Block
	}
	return j
}

// waiting is how much scratch holds sums.
func (j *panelJob) waiting() int {
	if len(j.depths) == 1 {
		return 0
	}
	groups := 1
	if j.depthFirst {
		groups = (j.groups + j.parts - 1) / j.parts
	}
	return groups * j.sums()
}

// sums is how many a group of output blocks has, those of overlapping tiles twice.
func (j *panelJob) sums() int { return max(j.runs[0], j.runs[1]) * j.c.set.blocks * Block }

// choose finds the span, the parts and the order that cost least, by a model of what is computed and moved.
func (j *panelJob) choose(pixels, steps int) (span int) {
	costs, _ := j.c.set.covers(pixels)
	width := j.c.set.blocks * Block
	input := float64(4 * pixels * steps * Block) // bytes; of the sums and of the weights
	sums, weights := float64(4*pixels*j.groups*width), float64(4*len(j.c.weights))
	least := 0.0
	for n := 1; n <= min(mostSpans, (pixels+spanUnit-1)/spanUnit); n++ {
		size := pixels
		if n > 1 {
			size = roundUp((pixels+n-1)/n, spanUnit)
		}
		count := (pixels + size - 1) / size
		parts := min((balanced+count-1)/count, j.groups)
		computed := costs[size]*float64(count-1) + costs[pixels-(count-1)*size]
		cost := computed*float64(j.groups*steps*Block) + (float64(count)*weights+float64(parts)*input)/outward
		fill := input / float64(count)                                                    // of the second cache, group by group
		first := float64(min(steps, depthSteps)*4*Block*size) + sums/float64(count*parts) // and depth by depth
		depthFirst := len(j.depths) > 1 && first < fill
		if depthFirst {
			cost += 2 * sums * float64(len(j.depths)) / outward * max(0, 1-spanBytes/first)
		} else {
			cost += float64(j.groups) * input / outward * max(0, 1-spanBytes/fill)
		}
		cost *= max(1, balanced/float64(count*parts))
		if least == 0 || cost < least {
			least, span, j.parts, j.depthFirst = cost, size, parts, depthFirst
		}
	}
	return span
}

func (j *panelJob) Do(v *Values, w *Worker, phase, item int) {
	if phase < len(j.phases)-1 {
		j.copyWindows(v, w, item)
		return
	}
	part, span := item%j.parts, item/j.parts
	first, end := part*j.groups/j.parts, (part+1)*j.groups/j.parts
	if !j.depthFirst {
		for g := first; g < end; g++ {
			for d := range j.depths {
				j.multiply(v, w, span, d, g, w.Scratch)
			}
		}
		return
	}
	for d := range j.depths {
		for g := first; g < end; g++ {
			j.multiply(v, w, span, d, g, w.Scratch[(g-first)*j.sums():])
		}
	}
}

// one copies values: a tap of this weight.
var one = func() (x [Block]float32) {
	for i := range x {
		x[i] = 1
	}
	return x
}()

// copyWindows lays pixels behind one another as one step sees them.
func (j *panelJob) copyWindows(v *Values, w *Worker, step int) {
	k, in, out := &j.c.spec, v.In, v.Out
	block, tap := step/(k.Kernel*k.Kernel), step%(k.Kernel*k.Kernel)
	w.offsets = append(w.offsets[:0], 0)
	w.taps = tapArgs{
		offsets: &w.offsets[0], taps: 1, weights: &one[0], pixels: out.W, bias: &noBias[0],
		stride: 4 * k.Stride * Block, lo: -unbounded, hi: unbounded,
	}
	for y := range out.H {
		w.taps.in = unsafe.Pointer(&in.Data[in.at(block, y*k.Stride-j.l.Pad[0]+tap/k.Kernel*k.Dilation, tap%k.Kernel*k.Dilation-j.l.Pad[1])])
		w.taps.out = unsafe.Pointer(&v.Scratch[(step*out.H+y)*out.W*Block])
		j.c.set.depthwise(&w.taps)
	}
}

// multiply adds what depth d contributes to a span of a group of output blocks, and after the last depth finishes it. Unfinished sums lie in
// scratch, run of tiles by run.
func (j *panelJob) multiply(v *Values, w *Worker, span, d, g int, sums []float32) {
	first, end := j.depths[d][0], j.depths[d][1]
	p0, p1 := j.spans[span][0], j.spans[span][1]
	which := 0
	if span == len(j.spans)-1 {
		which = 1
	}
	out, all := v.Out, j.depths[len(j.depths)-1][1]
	block := g * j.c.set.blocks
	blocks := min(j.c.set.blocks, out.Blocks()-block)
	a := &w.tile
	*a = tileArgs{
		steps: end - first, quads: Block / 4, weights: &j.c.weights[(block*all+first*blocks)*Block*Block], bias: &noBias[0],
		stride: 4 * Block, lo: -unbounded, hi: unbounded, pitch: 4 * Block,
	}
	if d == 0 {
		a.bias = &j.c.bias[block*Block]
	}
	finish := d == len(j.depths)-1
	if finish && j.direct && j.l.Act == NoAct {
		a.lo, a.hi = j.l.Lo, j.l.Hi
	}
	a.offsets = &j.offsets[first]
	in := v.In.Data[p0*Block:]
	if j.copied {
		in = v.Scratch[p0*Block:]
	}
	final, plane, to := out.Data, out.plane(), block*out.plane()+p0*Block
	if !j.direct {
		final, plane, to = w.Scratch[j.waiting():], (p1-p0)*Block, 0
	}
	at := 0
	for i := range j.tiles[which] {
		t := &j.tiles[which][i]
		o := to + t.x*Block
		size := t.pixels() * Block
		a.in, a.more = unsafe.Pointer(&in[t.x*Block]), t.more
		a.out0, a.residual[0], a.out1, a.residual[1] = nil, nil, nil, nil
		if d > 0 {
			a.residual[0], a.residual[1] = unsafe.Pointer(&sums[at]), unsafe.Pointer(&sums[at+(blocks-1)*size])
		} else if v.Residual != nil && j.direct {
			a.residual[0], a.residual[1] = unsafe.Pointer(&v.Residual.Data[o]), unsafe.Pointer(&v.Residual.Data[o+(blocks-1)*plane])
		}
		if finish {
			a.out0, a.out1 = unsafe.Pointer(&final[o]), unsafe.Pointer(&final[o+(blocks-1)*plane])
		} else {
			a.out0, a.out1 = unsafe.Pointer(&sums[at]), unsafe.Pointer(&sums[at+(blocks-1)*size])
		}
		at += size * blocks
		t.tile.run[blocks-1](a)
	}
	if !finish {
		return
	}
	for b := range blocks {
		if j.direct {
			j.l.Act.apply(out.Data[to+b*plane:][:(p1-p0)*Block], j.l.Lo, j.l.Hi)
		} else {
			j.spread(v, block+b, p0, final[b*plane:][:plane])
		}
	}
}

// spread writes a span's results to their rows of a block.
func (j *panelJob) spread(v *Values, block, p int, results []float32) {
	out := v.Out
	lo, hi := j.l.Lo, j.l.Hi
	if j.l.Act != NoAct {
		lo, hi = -unbounded, unbounded
	}
	last := p + len(results)/Block
	if y0, y1 := (p+out.W-1)/out.W, (last+out.W-1)/out.W; y0 < y1 { // rows that begin here
		out.clearRows(block, y0, y1)
	}
	for p < last {
		y, x := p/out.W, p%out.W
		n := min(last-p, out.W-x)
		at := out.at(block, y, x)
		row := out.Data[at:][:n*Block]
		if v.Residual != nil {
			Affine(row, results[:n*Block], v.Residual.Data[at:][:n*Block], 1, 1, 0, lo, hi)
		} else {
			Affine(row, results[:n*Block], nil, 1, 0, 0, lo, hi)
		}
		j.l.Act.apply(row, j.l.Lo, j.l.Hi)
		results = results[n*Block:]
		p += n
	}
}
