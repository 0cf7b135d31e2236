package kernel

import (
	"math"
	"unsafe"
)

// convJob is a convolution by tiles of rows. Rows are cut into spans that stay in the second cache, input channels into depths whose weights
// stay in the first one: each tile then reads neither from further away.
type convJob struct {
	job
	c       *Conv
	l       Layer
	offsets []int64
	quads   int      // groups of 4 values a step
	depths  [][2]int // steps
	spans   [][2]int // rows
	tiles   []placed
	parts   int // of the groups of output blocks
	groups  int
}

const spanFloats = 48 << 10 // of inputs that a span of rows reads

// Prepare makes the convolution ready for a layer. The input's border must be at least as wide as the padding on every side.
func (c *Conv) Prepare(l Layer) Job {
	switch {
	case c.suitsWinograd(&l.Out):
		return c.prepareWinograd(l)
	case c.suitsPanels(&l):
		return c.preparePanels(l)
	}
	k, in, out := c.spec, &l.In, &l.Out
	j := &convJob{c: c, l: l, quads: c.lanes / 4}
	columns := k.Kernel
	if k.Dilation == 1 && in.Blocks() == 1 && in.Lanes == c.lanes { // a row of a window lies in one piece
		columns, j.quads = 1, k.Kernel*c.lanes/4
	}
	for b := range in.Blocks() {
		for ky := range k.Kernel {
			for kx := range columns {
				j.offsets = append(j.offsets, int64(4*(b*in.plane()+ky*k.Dilation*in.pitch()+kx*k.Dilation*in.Lanes)))
			}
		}
	}
	depth := max(1, depthSteps*Block/(4*j.quads))
	depths := (len(j.offsets) + depth - 1) / depth
	for i := range depths {
		j.depths = append(j.depths, [2]int{i * len(j.offsets) / depths, (i + 1) * len(j.offsets) / depths})
	}
	j.groups = (out.Blocks() + c.set.blocks - 1) / c.set.blocks
	rows, perRow := out.H, out.W*k.Stride*k.Stride*in.C // and the values that a row reads
	fewest := max(1, (rows*perRow+spanFloats-1)/spanFloats)
	count, least := 0, math.Inf(1)
	for n := min(rows, fewest); n <= rows; n++ { // spans: each reads all weights, each part all inputs
		parts := min(j.groups, (balanced+n-1)/n)
		cost := float64(n)*float64(len(c.weights)) + float64(parts)*float64(rows*perRow)
		if cost *= max(1, balanced/float64(n*parts)); cost < least {
			count, least, j.parts = n, cost, parts
		}
	}
	span := (rows + count - 1) / count
	for y := 0; y < rows; y += span {
		j.spans = append(j.spans, [2]int{y, min(rows, y+span)})
	}
	j.tiles = c.set.cover(out.W)
	j.phases = []int{len(j.spans) * j.parts}
	if len(j.depths) > 1 {
		for i := range j.tiles {
			j.own += j.tiles[i].pixels() * span * c.set.blocks * Block
		}
	}
	return j
}

func (j *convJob) Do(v *Values, w *Worker, _, item int) {
	part, span := item%j.parts, j.spans[item/j.parts]
	out := v.Out
	for g := part * j.groups / j.parts; g < (part+1)*j.groups/j.parts; g++ {
		block := g * j.c.set.blocks
		blocks := min(j.c.set.blocks, out.Blocks()-block)
		for d := range j.depths {
			j.depth(v, w, span, d, block, blocks)
		}
		for b := block; b < block+blocks; b++ {
			out.clearRows(b, span[0], span[1])
			if j.l.Act != NoAct {
				for y := span[0]; y < span[1]; y++ {
					j.l.Act.apply(out.row(b, y), j.l.Lo, j.l.Hi)
				}
			}
		}
	}
}

// depth adds what depth d contributes to a span of some output blocks. Unfinished sums lie in scratch, run of tiles by run.
func (j *convJob) depth(v *Values, w *Worker, span [2]int, d, block, blocks int) {
	k, in, out := &j.c.spec, v.In, v.Out
	first, end := j.depths[d][0], j.depths[d][1]
	finish := d == len(j.depths)-1
	a := &w.tile
	*a = tileArgs{
		offsets: &j.offsets[first], steps: end - first, quads: j.quads,
		weights: &j.c.weights[(block*len(j.offsets)+first*blocks)*Block*4*j.quads], bias: &noBias[0],
		stride: 4 * k.Stride * in.Lanes, lo: -unbounded, hi: unbounded, pitch: 4 * Block,
	}
	if d == 0 {
		a.bias = &j.c.bias[block*Block]
	}
	if finish && j.l.Act == NoAct {
		a.lo, a.hi = j.l.Lo, j.l.Hi
	}
	at := 0 // in scratch
	for y := span[0]; y < span[1]; y++ {
		from, to := in.at(0, y*k.Stride-j.l.Pad[0], -j.l.Pad[1]), out.at(block, y, 0)
		for i := range j.tiles {
			t := &j.tiles[i]
			a.in, a.more = unsafe.Pointer(&in.Data[from+t.x*k.Stride*in.Lanes]), t.more
			o := to + t.x*Block
			a.out0, a.residual[0], a.out1, a.residual[1] = nil, nil, nil, nil
			size := t.pixels() * Block
			if d > 0 {
				a.residual[0], a.residual[1] = unsafe.Pointer(&w.Scratch[at]), unsafe.Pointer(&w.Scratch[at+(blocks-1)*size])
			} else if v.Residual != nil {
				a.residual[0], a.residual[1] = unsafe.Pointer(&v.Residual.Data[o]), unsafe.Pointer(&v.Residual.Data[o+(blocks-1)*out.plane()])
			}
			if finish {
				a.out0, a.out1 = unsafe.Pointer(&out.Data[o]), unsafe.Pointer(&out.Data[o+(blocks-1)*out.plane()])
			} else {
				a.out0, a.out1 = unsafe.Pointer(&w.Scratch[at]), unsafe.Pointer(&w.Scratch[at+(blocks-1)*size])
			}
			at += size * blocks
			t.tile.run[blocks-1](a)
		}
	}
}

// winogradJob is a convolution by Winograd's algorithm, a band of tiles after another: the band's inputs are transformed, then multiplied,
// matrix by matrix, which read and write little at a time, then transformed back. Where the filters stay in the second cache, whole bands are
// items, which a goroutine finds in its own cache from the first step to the last; otherwise the steps are phases of all goroutines, for
// each of which filters are read once.
type winogradJob struct {
	job
	whole               bool
	c                   *Conv
	l                   Layer
	rows, columns, band int
	offsets             [2][]int64 // of blocks in a band, and in the last one
	tiles               [2][]placed
	cuts                [2]int // of the inputs of a band, and of its results
}

func (c *Conv) prepareWinograd(l Layer) Job {
	j := &winogradJob{c: c, l: l, rows: tilesOf(l.Out.H), columns: tilesOf(l.Out.W)}
	all := j.rows * j.columns
	in, out := l.In.Blocks(), l.Out.Blocks()
	j.whole = winogradAll*in*out*Block*Block <= winogradKept
	if j.whole {
		widest := c.set.tiles[len(c.set.tiles)-1].pixels
		j.band = min(all, roundUp(max(winogradLow, (all+balanced-1)/balanced), widest))
		j.phases = []int{(all + j.band - 1) / j.band}
		j.own = winogradAll * (in + out) * j.band * Block
	} else {
		j.band = min(all, max(2*winogradLow, winogradBand/in))
		j.cuts = [2]int{max(1, balanced/in), max(1, balanced/out)}
		for first := 0; first < all; first += j.band {
			j.phases = append(j.phases, in*j.cuts[0], winogradAll, out*j.cuts[1])
		}
		j.shared = winogradAll * (in + out) * j.band * Block
	}
	for i, count := range []int{j.band, all - (all-1)/j.band*j.band} {
		j.tiles[i] = c.set.cover(count)
		for b := range in {
			j.offsets[i] = append(j.offsets[i], int64(4*b*count*Block))
		}
	}
	return j
}

// doWhole computes one band.
func (j *winogradJob) doWhole(v *Values, w *Worker, band int) {
	c, own := j.c, &w.winograd
	first := band * j.band
	count := min(j.band, j.rows*j.columns-first)
	in, out := v.In.Blocks(), v.Out.Blocks()
	for b := band; b < out; b += j.phases[0] {
		v.Out.clearBorder(b)
	}
	for block := range in {
		for i := range count {
			c.winogradInput(own, v.In, j.l.Pad, block, (first+i)/j.columns, (first+i)%j.columns, w.Scratch[(block*count+i)*Block:], in*count)
		}
	}
	sums, last := w.Scratch[winogradAll*in*count*Block:], 0
	if count < j.band {
		last = 1
	}
	for m := range winogradAll {
		c.winogradProducts(own, w.Scratch, sums, j.offsets[last], j.tiles[last], count, m)
	}
	for block := range out {
		j.results(v, own, sums, block, first, 0, count, count)
	}
}

func (j *winogradJob) Do(v *Values, w *Worker, phase, item int) {
	if j.whole {
		j.doWhole(v, w, item)
		return
	}
	c, own := j.c, &w.winograd
	first := phase / 3 * j.band
	count := min(j.band, j.rows*j.columns-first)
	in, out := v.In.Blocks(), v.Out.Blocks()
	sums := v.Scratch[winogradAll*in*count*Block:]
	switch phase % 3 {
	case 0:
		block, cut := item%in, item/in
		if phase == 0 {
			for b := item; b < out; b += in * j.cuts[0] {
				v.Out.clearBorder(b)
			}
		}
		for i := cut * count / j.cuts[0]; i < (cut+1)*count/j.cuts[0]; i++ {
			c.winogradInput(own, v.In, j.l.Pad, block, (first+i)/j.columns, (first+i)%j.columns, v.Scratch[(block*count+i)*Block:], in*count)
		}
	case 1:
		last := 0
		if count < j.band {
			last = 1
		}
		c.winogradProducts(own, v.Scratch, sums, j.offsets[last], j.tiles[last], count, item)
	case 2:
		block, cut := item%out, item/out
		j.results(v, own, sums, block, first, cut*count/j.cuts[1], (cut+1)*count/j.cuts[1], count)
	}
}

// results finishes tiles from..to of a block in a band of count tiles.
func (j *winogradJob) results(v *Values, own *winogradOwn, sums []float32, block, first, from, to, count int) {
	lo, hi := j.l.Lo, j.l.Hi
	if j.l.Act != NoAct {
		lo, hi = -unbounded, unbounded
	}
	for i := from; i < to; i++ {
		j.c.winogradOutput(own, v, lo, hi, block, (first+i)/j.columns, (first+i)%j.columns, sums[(block*count+i)*Block:], v.Out.Blocks()*count)
	}
	if j.l.Act != NoAct {
		j.activate(v.Out, block, first+from, to-from)
	}
}

// activate applies the activation to the results of n tiles of a block.
func (j *winogradJob) activate(out *Activation, block, first, n int) {
	for tile := first; tile < first+n; tile++ {
		y, x := tile/j.columns*winogradTile, tile%j.columns*winogradTile
		for yy := y; yy < min(y+winogradTile, out.H); yy++ {
			j.l.Act.apply(out.Data[out.at(block, yy, x):][:(min(x+winogradTile, out.W)-x)*Block], j.l.Lo, j.l.Hi)
		}
	}
}
