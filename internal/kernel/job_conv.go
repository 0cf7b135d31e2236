package kernel

import (
	"math"
	"unsafe"
)

// convJob is a convolution by tiles. Pixels are cut into spans that stay in the second cache, input channels into depths whose weights
// stay in the first one: each tile then reads neither from further away.
type convJob struct {
	job
	c       *Conv
	l       Layer
	offsets []int64
	depths  [][2]int // steps
	flat    bool     // rows lie behind one another without a border: spans are of pixels
	spans   [][2]int // rows, or pixels where flat
	tiles   [2][]placed
	parts   int // of the groups of output blocks
	groups  int
}

const (
	spanFloats = 48 << 10 // of inputs that a span reads
	depthSteps = 16       // steps of Block channels whose weights are read at once, per block of outputs
)

// Prepare makes the convolution ready for a layer. The input's border must be at least as wide as the padding on every side.
func (c *Conv) Prepare(l Layer) Job {
	k, in, out := c.spec, &l.In, &l.Out
	if c.suitsWinograd(out) {
		return c.prepareWinograd(l)
	}
	j := &convJob{c: c, l: l}
	for b := range in.Blocks() {
		for ky := range k.Kernel {
			for kx := range k.Kernel {
				j.offsets = append(j.offsets, int64(4*(b*in.plane()+ky*k.Dilation*in.pitch()+kx*k.Dilation*in.Lanes)))
			}
		}
	}
	depth := depthSteps * Block / c.lanes
	depths := (len(j.offsets) + depth - 1) / depth
	for i := range depths {
		j.depths = append(j.depths, [2]int{i * len(j.offsets) / depths, (i + 1) * len(j.offsets) / depths})
	}
	j.flat = k.Kernel == 1 && k.Stride == 1 && in.Border == 0 && out.Border == 0 && l.Pad == [2]int{}
	j.groups = (out.Blocks() + c.set.blocks - 1) / c.set.blocks
	rows, perRow := out.H, out.W*k.Stride*k.Stride*in.C // and the values that a row reads
	unit := 1
	if j.flat {
		rows, perRow = out.H*out.W, in.C
		unit = 12 // whole tiles of 6 and of 4
	}
	units := (rows + unit - 1) / unit
	fewest := max(1, (rows*perRow+spanFloats-1)/spanFloats)
	count, least := 0, math.Inf(1)
	for n := min(units, fewest); n <= units; n++ { // spans: each reads all weights, each part all inputs
		parts := min(j.groups, (balanced+n-1)/n)
		cost := float64(n)*float64(len(c.weights)) + float64(parts)*float64(rows*perRow)
		if cost *= max(1, balanced/float64(n*parts)); cost < least {
			count, least, j.parts = n, cost, parts
		}
	}
	span := (units + count - 1) / count * unit
	for y := 0; y < rows; y += span {
		j.spans = append(j.spans, [2]int{y, min(rows, y+span)})
	}
	if j.flat {
		end := j.spans[len(j.spans)-1]
		j.tiles = [2][]placed{c.set.cover(min(span, rows)), c.set.cover(end[1] - end[0])}
	} else {
		j.tiles[0] = c.set.cover(out.W)
	}
	j.phases = []int{len(j.spans) * j.parts}
	if len(j.depths) > 1 {
		for _, tiles := range j.tiles {
			pixels := 0
			for i := range tiles {
				pixels += tiles[i].pixels()
			}
			if !j.flat {
				pixels *= span
			}
			j.own = max(j.own, pixels*c.set.blocks*Block)
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
			if j.flat {
				j.l.Act.apply(out.Data[b*out.plane()+span[0]*Block:b*out.plane()+span[1]*Block], j.l.Lo, j.l.Hi)
				continue
			}
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
		offsets: &j.offsets[first], steps: end - first, quads: j.c.lanes / 4,
		weights: &j.c.weights[(block*len(j.offsets)+first*blocks)*Block*j.c.lanes], bias: &noBias[0],
		stride: 4 * k.Stride * in.Lanes, lo: -unbounded, hi: unbounded, pitch: 4 * Block,
	}
	if d == 0 {
		a.bias = &j.c.bias[block*Block]
	}
	if finish && j.l.Act == NoAct {
		a.lo, a.hi = j.l.Lo, j.l.Hi
	}
	tiles, y0, y1 := j.tiles[0], span[0], span[1]
	if j.flat {
		if y0 == j.spans[len(j.spans)-1][0] {
			tiles = j.tiles[1]
		}
		y1 = y0 + 1
	}
	at := 0 // in scratch
	for y := y0; y < y1; y++ {
		var from, to int
		if j.flat {
			from, to = y*in.Lanes, block*out.plane()+y*Block
		} else {
			from, to = in.at(0, y*k.Stride-j.l.Pad[0], -j.l.Pad[1]), out.at(block, y, 0)
		}
		for i := range tiles {
			t := &tiles[i]
			a.in = unsafe.Pointer(&in.Data[from+t.x*k.Stride*in.Lanes])
			o := to + t.x*Block
			a.out0, a.residual[0], a.out1, a.residual[1] = nil, nil, nil, nil
			if d == 0 && v.Residual != nil {
				a.residual[0] = unsafe.Pointer(&v.Residual.Data[o])
				if blocks > 1 {
					a.residual[1] = unsafe.Pointer(&v.Residual.Data[o+out.plane()])
				}
			}
			size := t.pixels() * Block
			if d > 0 {
				a.residual[0], a.residual[1] = unsafe.Pointer(&w.Scratch[at]), unsafe.Pointer(&w.Scratch[at+(blocks-1)*size])
			}
			if finish {
				a.out0 = unsafe.Pointer(&out.Data[o])
				if blocks > 1 {
					a.out1 = unsafe.Pointer(&out.Data[o+out.plane()])
				}
			} else {
				a.out0, a.out1 = unsafe.Pointer(&w.Scratch[at]), unsafe.Pointer(&w.Scratch[at+(blocks-1)*size])
			}
			at += size * blocks
			a.more = t.more
			t.tile.run[blocks-1](a)
		}
	}
}

// winogradJob is a convolution by Winograd's algorithm, a band of tiles after another: the band's inputs are transformed, then their products
// are summed and transformed back.
type winogradJob struct {
	job
	c                   *Conv
	l                   Layer
	rows, columns, band int
	part                int // of a band, for one item
	offsets             [2][]int64
	cuts                int              // of the inputs of a band
	tiles               map[int][]placed // by the number of pixels of an item's products
}

func (c *Conv) prepareWinograd(l Layer) Job {
	j := &winogradJob{c: c, l: l, rows: tilesOf(l.Out.H), columns: tilesOf(l.Out.W)}
	all := j.rows * j.columns
	in := l.In.Blocks()
	j.band = min(all, max(2*winogradLow, winogradBand/in))
	j.part = min(j.band, max(maxPixels, winogradPart/c.set.blocks))
	j.cuts = max(1, balanced/in)
	j.tiles = map[int][]placed{}
	groups := (l.Out.Blocks() + c.set.blocks - 1) / c.set.blocks
	for first := 0; first < all; first += j.band {
		count := min(j.band, all-first)
		j.phases = append(j.phases, in*j.cuts, groups*((count+j.part-1)/j.part))
		offsets := make([]int64, in)
		for b := range offsets {
			offsets[b] = int64(4 * b * count * Block)
		}
		for _, n := range []int{min(j.part, count), count - (count-1)/j.part*j.part} {
			j.tiles[n] = c.set.cover(n)
		}
		if count == j.band {
			j.offsets[0] = offsets
		} else {
			j.offsets[1] = offsets
		}
	}
	j.shared = winogradAll * in * j.band * Block
	j.own = winogradAll * c.set.blocks * j.part * Block
	return j
}

func (j *winogradJob) Do(v *Values, w *Worker, phase, item int) {
	c, own := j.c, &w.winograd
	first := phase / 2 * j.band
	count := min(j.band, j.rows*j.columns-first)
	in, out := v.In.Blocks(), v.Out.Blocks()
	s := Step{Out: v.Out, In: v.In, Pad: j.l.Pad, Residual: v.Residual, Lo: j.l.Lo, Hi: j.l.Hi}
	if phase%2 == 0 {
		block, cut := item%in, item/in
		if phase == 0 {
			for b := item; b < out; b += in * j.cuts {
				v.Out.clearBorder(b)
			}
		}
		for i := cut * count / j.cuts; i < (cut+1)*count/j.cuts; i++ {
			c.winogradInput(own, s, block, (first+i)/j.columns, (first+i)%j.columns, v.Scratch[(block*count+i)*Block:], in*count)
		}
		return
	}
	parts := (count + j.part - 1) / j.part
	from := item % parts * j.part
	n := min(j.part, count-from)
	group := item / parts
	blocks := min(c.set.blocks, out-group*c.set.blocks)
	offsets := j.offsets[0]
	if count < j.band {
		offsets = j.offsets[1]
	}
	own.sums = w.Scratch
	if j.l.Act != NoAct {
		s.Lo, s.Hi = -unbounded, unbounded
	}
	c.winogradProducts(own, c.winogradWeights(), v.Scratch[from*Block:], offsets, j.tiles[n], count, group, blocks, n)
	for b := range blocks {
		for i := range n {
			tile := first + from + i
			c.winogradOutput(own, s, group*c.set.blocks+b, tile/j.columns, tile%j.columns, own.sums[(b*n+i)*Block:], blocks*n)
		}
	}
	if j.l.Act != NoAct {
		j.activate(v.Out, group*c.set.blocks, blocks, first+from, n)
	}
}

// activate applies the activation to the results of n tiles.
func (j *winogradJob) activate(out *Activation, block, blocks, first, n int) {
	for b := block; b < block+blocks; b++ {
		for tile := first; tile < first+n; tile++ {
			y, x := tile/j.columns*winogradTile, tile%j.columns*winogradTile
			for yy := y; yy < min(y+winogradTile, out.H); yy++ {
				j.l.Act.apply(out.Data[out.at(b, yy, x):][:(min(x+winogradTile, out.W)-x)*Block], j.l.Lo, j.l.Hi)
			}
		}
	}
}
