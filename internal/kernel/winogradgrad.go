package kernel

import (
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// Conv3x3 is a 3x3 convolution of stride 1 over pictures as they lie in training, x (N, Ins, In) and y (N, Outs, Out), by Winograd's algorithm,
// and its gradients. With d a tile of 6x6 inputs, g a filter and δ the gradient of a tile of 4x4 results,
//
//	y  = Aᵀ·[ Σ_c (G·g·Gᵀ) ⊙ (Bᵀ·d·B) ]·A
//	dg = Gᵀ·[ Σ_tiles (A·δ·Aᵀ) ⊙ (Bᵀ·d·B) ]·G
//
// and the gradient with respect to x is the convolution of δ with the turned filters. All three are 36 products of matrices, one for each
// place in a transformed tile, with a quarter of the multiplications. Filters change at every step: they are transformed each time.
//
// Tiles are numbered row by row, picture after picture, and transformed 16 at a time.
type Conv3x3 struct {
	N, Ins, Outs int
	In, Out      Shape2D
	Top, Left    int       // zeros before the first row and column of x
	Bias         []float32 // (Outs), where sums begin; nil for zeros
}

// What transforms cost, in multiplications of the direct way: estimates, of AVX2.
const (
	winogradTileCost   = 800  // a tile of one channel, inputs or results
	winogradFilterCost = 2000 // a filter
)

// Suits says whether the algorithm pays. It goes by shapes alone, so that results never depend on a timing.
func (c *Conv3x3) Suits() bool {
	if c.Ins < 2*Block || c.Outs < 2*Block || c.Ins%Block != 0 || c.Outs%Block != 0 || c.Top > 2 || c.Left > 2 {
		return false
	}
	direct := 9 * c.N * c.Out.H * c.Out.W * c.Ins * c.Outs
	tiled := c.tiles()*(winogradAll*c.Ins*c.Outs+winogradTileCost*(c.Ins+c.Outs)) + winogradFilterCost*c.Ins*c.Outs
	return tiled < direct
}

func (c *Conv3x3) tiles() int { return c.N * tilesOf(c.Out.H) * tilesOf(c.Out.W) }

// turned is the convolution that computes x's gradient from y's.
func (c *Conv3x3) turned() *Conv3x3 {
	return &Conv3x3{N: c.N, Ins: c.Outs, Outs: c.Ins, In: c.Out, Out: c.In, Top: 2 - c.Top, Left: 2 - c.Left}
}

// winogradStep is memory for one run.
type winogradStep struct {
	filters []float32 // (36, outs, ins)
	in      []float32 // transformed inputs of a band of tiles, for gradients of filters
	grads   []float32 // and gradients of results
	sums    []float32 // gradients of transformed filters
	offsets []int64
	own     []*winogradGoroutine
}

// winogradGoroutine is what one goroutine needs.
type winogradGoroutine struct {
	in, sums []float32
	wide     winogradWide
	patch    [winogradRead]float32
	result   [winogradPack]float32
	args     winogradArgs
	tile     tileArgs
	offset   int64
	bias     [Block]float32 // of a channel
}

var winogradSteps = sync.Pool{New: func() any { return new(winogradStep) }}

func (s *winogradStep) goroutines(workers int) {
	for len(s.own) < workers {
		s.own = append(s.own, new(winogradGoroutine))
	}
}

// Run computes y from x and filters w (Outs, Ins, 3, 3), or adds to it.
func (c *Conv3x3) Run(workers int, y, x, w []float32, accumulate bool) {
	s := winogradSteps.Get().(*winogradStep)
	defer winogradSteps.Put(s)
	c.transformFilters(s, workers, func(dst lanes, row, column int) {
		for j := range dst.n {
			for t, v := range w[(row*c.Ins+column+j)*9:][:9] {
				dst.data[t*dst.pitch+j] = v
			}
		}
	})
	c.run(s, workers, y, x, accumulate)
}

// InputGrad computes dx from dy, the gradient of the loss with respect to Run's y, or adds to it.
func (c *Conv3x3) InputGrad(workers int, dx, dy, w []float32, accumulate bool) {
	s := winogradSteps.Get().(*winogradStep)
	defer winogradSteps.Put(s)
	back := c.turned()
	back.transformFilters(s, workers, func(dst lanes, row, column int) {
		for j := range dst.n {
			for t, v := range w[((column+j)*c.Ins+row)*9:][:9] {
				dst.data[(8-t)*dst.pitch+j] = v
			}
		}
	})
	back.run(s, workers, dx, dy, accumulate)
}

// transformFilters sets s.filters to G·g·Gᵀ. load puts the values of some filters of a row of the 36 matrices side by side.
func (c *Conv3x3) transformFilters(s *winogradStep, workers int, load func(dst lanes, row, column int)) {
	workers = parallel.Workers(workers)
	s.goroutines(workers)
	s.filters = grown(s.filters, winogradAll*c.Outs*c.Ins)
	parallel.ForWorker(workers, c.Outs, func(w, row int) {
		wide := &s.own[w].wide
		for column := 0; column < c.Ins; column += winogradLanes {
			n := min(winogradLanes, c.Ins-column)
			g := lanes{wide.in[:], n, n}
			load(g, row, column)
			wide.transform(lanes{s.filters[row*c.Ins+column:], c.Outs * c.Ins, n}, g, 3, winogradIn, wide.filter)
		}
	})
}

// run computes y from x and s.filters, a band of tiles after the other: transforms their inputs, and for some channels of y sums products and
// transforms them back.
func (c *Conv3x3) run(s *winogradStep, workers int, y, x []float32, accumulate bool) {
	const (
		bandBytes = 1 << 20   // of transformed inputs
		sumBytes  = 256 << 10 // of transformed results
	)
	set := use()
	width := set.blocks * Block
	panels := (c.tiles() + width - 1) / width
	workers = parallel.Workers(workers)
	s.goroutines(workers)
	together := max(4/set.blocks, bandBytes/(4*winogradAll*width*c.Ins)) // panels of a band
	together = min(together, (panels+workers-1)/workers)
	rows := min(c.Outs, max(2*maxPixels, sumBytes/(4*winogradAll*width*together)))
	parallel.ForWorker(workers, (panels+together-1)/together, func(w, i int) {
		own := s.own[w]
		own.bias = [Block]float32{}
		first := i * together
		count := min(together, panels-first)
		own.in = grown(own.in, winogradAll*together*width*c.Ins)
		own.sums = grown(own.sums, winogradAll*together*width*rows)
		for ch := range c.Ins {
			for j := range count * set.blocks {
				at := (j/set.blocks*c.Ins+ch)*width + j%set.blocks*Block
				c.transformInputs(own, set, own.in[at:], count*width*c.Ins, x, ch, first*width+j*Block)
			}
		}
		for row := 0; row < c.Outs; row += rows {
			n := min(rows, c.Outs-row)
			c.products(own, set, s.filters, row, n, count, width)
			for r := range n {
				if c.Bias != nil {
					for j := range own.bias {
						own.bias[j] = c.Bias[row+r]
					}
				}
				for j := range count * set.blocks {
					own.args = winogradArgs{
						in: unsafe.Pointer(&own.sums[(r*count*set.blocks+j)*Block]), inPitch: 4 * n * count * width,
						out: unsafe.Pointer(&own.result[0]), outPitch: 4 * winogradTile * Block,
						bias: &own.bias[0], lo: -unbounded, hi: unbounded,
					}
					set.winogradOut(&own.args)
					c.scatter(y, &own.result, row+r, first*width+j*Block, accumulate)
				}
			}
		}
	})
}

// products computes own.sums (36, n, count, width): rows of the filters' matrices times the panels of own.in (36, count, ins, width).
func (c *Conv3x3) products(own *winogradGoroutine, set *set, filters []float32, row, n, count, width int) {
	a := &own.tile
	*a = tileArgs{
		offsets: &own.offset, steps: 1, quads: c.Ins / 4, bias: &noBias[0],
		stride: 4 * c.Ins, lo: -unbounded, hi: unbounded, pitch: 4 * count * width,
	}
	for m := range winogradAll {
		for r := 0; r < n; {
			tile := set.tileFor(n - r)
			a.in = unsafe.Pointer(&filters[(m*c.Outs+row+r)*c.Ins])
			for p := range count {
				a.weights = &own.in[(m*count+p)*c.Ins*width]
				a.out0 = unsafe.Pointer(&own.sums[((m*n+r)*count+p)*width])
				a.out1 = unsafe.Add(a.out0, 4*Block)
				tile.run[set.blocks-1](a)
			}
			r += tile.pixels
		}
	}
}

// transformInputs puts Bᵀ·d·B for 16 tiles of one channel of x, from tile first on, into 36 rows of dst, pitch values apart.
func (c *Conv3x3) transformInputs(own *winogradGoroutine, set *set, dst []float32, pitch int, x []float32, channel, first int) {
	c.gather(&own.patch, x, channel, first)
	own.args = winogradArgs{
		in: unsafe.Pointer(&own.patch[0]), inPitch: 4 * winogradIn * Block,
		out: unsafe.Pointer(&dst[0]), outPitch: 4 * pitch,
	}
	set.winogradIn(&own.args)
}

// gather sets dst (6, 6, 16) to the inputs of 16 tiles.
func (c *Conv3x3) gather(dst *[winogradRead]float32, x []float32, channel, first int) {
	rows, columns, total := tilesOf(c.Out.H), tilesOf(c.Out.W), c.tiles()
	for lane := 0; lane < Block; {
		tile := first + lane
		if tile >= total {
			for i := range winogradAll {
				clear(dst[i*Block+lane : (i+1)*Block])
			}
			return
		}
		image, ty, tx := tile/(rows*columns), tile/columns%rows, tile%columns
		run := min(Block-lane, columns-tx, total-tile)
		plane := x[(image*c.Ins+channel)*c.In.H*c.In.W:][:c.In.H*c.In.W]
		for i := range winogradIn {
			to := dst[i*winogradIn*Block+lane:][:(winogradIn-1)*Block+run]
			row := ty*winogradTile - c.Top + i
			if row < 0 || row >= c.In.H {
				for k := range winogradIn {
					clear(to[k*Block:][:run])
				}
				continue
			}
			c.gatherRow(to, plane[row*c.In.W:][:c.In.W], tx*winogradTile-c.Left, run)
		}
		lane += run
	}
}

// gatherRow sets 6 rows of dst, 16 values apart, to a row of the inputs of n tiles, the first of which begins at column x.
func (c *Conv3x3) gatherRow(dst, row []float32, x, n int) {
	for j := range n {
		to := dst[j:][:(winogradIn-1)*Block+1]
		if x >= 0 && x+winogradIn <= len(row) {
			from := row[x:][:winogradIn]
			to[0], to[Block], to[2*Block] = from[0], from[1], from[2]
			to[3*Block], to[4*Block], to[5*Block] = from[3], from[4], from[5]
		} else {
			for k := range winogradIn {
				v := float32(0)
				if x+k >= 0 && x+k < len(row) {
					v = row[x+k]
				}
				to[k*Block] = v
			}
		}
		x += winogradTile
	}
}

// scatter writes the results (4, 4, 16) of 16 tiles to one channel of y, or adds them.
func (c *Conv3x3) scatter(y []float32, src *[winogradPack]float32, channel, first int, accumulate bool) {
	rows, columns := tilesOf(c.Out.H), tilesOf(c.Out.W)
	for lane := range min(Block, c.tiles()-first) {
		tile := first + lane
		image, ty, tx := tile/(rows*columns), tile/columns%rows, tile%columns
		h, w := min(winogradTile, c.Out.H-ty*winogradTile), min(winogradTile, c.Out.W-tx*winogradTile)
		to := y[((image*c.Outs+channel)*c.Out.H+ty*winogradTile)*c.Out.W+tx*winogradTile:]
		for i := range h {
			from := src[i*winogradTile*Block+lane:]
			row := to[i*c.Out.W:][:w]
			switch {
			case accumulate:
				for k := range row {
					row[k] += from[k*Block]
				}
			case w == winogradTile:
				row[0], row[1], row[2], row[3] = from[0], from[Block], from[2*Block], from[3*Block]
			default:
				for k := range row {
					row[k] = from[k*Block]
				}
			}
		}
	}
}

// WeightGrad sets dw (Outs, Ins, 3, 3) to the gradient of the loss with respect to Run's filters, or adds it. Tiles are transformed a band at
// a time; the bands' products are added in their order.
func (c *Conv3x3) WeightGrad(workers int, dw, x, dy []float32, accumulate bool) {
	const together = 8 // groups of 16 tiles in a band
	s := winogradSteps.Get().(*winogradStep)
	defer winogradSteps.Put(s)
	set := use()
	workers = parallel.Workers(workers)
	s.goroutines(workers)
	groups := (c.tiles() + Block - 1) / Block
	panels := c.Outs / Block
	s.in = grown(s.in, winogradAll*together*c.Ins*Block)
	s.grads = grown(s.grads, winogradAll*together*c.Outs*Block)
	s.sums = grown(s.sums, winogradAll*c.Ins*c.Outs)
	for first := 0; first < groups; first += together {
		count := min(together, groups-first)
		s.offsets = s.offsets[:0]
		for j := range count {
			s.offsets = append(s.offsets, int64(4*j*c.Ins*Block))
		}
		parallel.ForWorker(workers, c.Ins+panels, func(w, i int) {
			own := s.own[w]
			if i < panels {
				for j := range count {
					at := (i*winogradAll*count + j) * Block * Block
					c.transformGrads(own, s.grads[at:], count*Block*Block, dy, i, (first+j)*Block)
				}
				return
			}
			for j := range count {
				c.transformInputs(own, set, s.in[(j*c.Ins+i-panels)*Block:], count*c.Ins*Block, x, i-panels, (first+j)*Block)
			}
		})
		parallel.ForWorker(workers, panels*winogradIn, func(w, i int) {
			c.sumTiles(s, &s.own[w].tile, set, i/winogradIn, i%winogradIn, count, first > 0)
		})
	}
	parallel.ForWorker(workers, panels, func(w, panel int) { c.filterGrads(s, &s.own[w].wide, dw, panel, accumulate) })
}

// transformGrads puts A·δ·Aᵀ for 16 tiles of 16 channels of dy into 36 matrices (16 tiles, 16 channels) of dst, pitch values apart.
func (c *Conv3x3) transformGrads(own *winogradGoroutine, dst []float32, pitch int, dy []float32, panel, first int) {
	rows, columns, total := tilesOf(c.Out.H), tilesOf(c.Out.W), c.tiles()
	const n = Block * Block
	wide := &own.wide
	clear(wide.in[:winogradTile*winogradTile*n])
	plane := c.Out.H * c.Out.W
	for lane := range min(Block, total-first) {
		tile := first + lane
		image, ty, tx := tile/(rows*columns), tile/columns%rows, tile%columns
		h, w := min(winogradTile, c.Out.H-ty*winogradTile), min(winogradTile, c.Out.W-tx*winogradTile)
		at := (image*c.Outs+panel*Block)*plane + ty*winogradTile*c.Out.W + tx*winogradTile
		for ch := range Block {
			to := wide.in[lane*Block+ch:]
			for i := range h {
				for k, v := range dy[at+i*c.Out.W:][:w] {
					to[(i*winogradTile+k)*n] = v
				}
			}
			at += plane
		}
	}
	wide.transform(lanes{dst, pitch, n}, lanes{wide.in[:], n, n}, winogradTile, winogradIn, wide.results)
}

// sumTiles adds a band's share to six of the 36 products of inputs (ins, tiles) and gradients (tiles, 16 channels): sums (panels, 36, ins, 16).
func (c *Conv3x3) sumTiles(s *winogradStep, a *tileArgs, set *set, panel, sixth, count int, add bool) {
	for m := sixth * winogradIn; m < (sixth+1)*winogradIn; m++ {
		*a = tileArgs{
			offsets: &s.offsets[0], steps: count, quads: Block / 4,
			weights: &s.grads[(panel*winogradAll+m)*count*Block*Block], bias: &noBias[0],
			stride: 4 * Block, lo: -unbounded, hi: unbounded, pitch: 4 * Block,
		}
		for ch := 0; ch < c.Ins; {
			tile := set.tileFor(c.Ins - ch)
			a.in = unsafe.Pointer(&s.in[(m*count*c.Ins+ch)*Block])
			a.out0 = unsafe.Pointer(&s.sums[((panel*winogradAll+m)*c.Ins+ch)*Block])
			if add {
				a.residual[0] = a.out0
			}
			tile.run[0](a)
			ch += tile.pixels
		}
	}
}

// filterGrads brings a panel's sums back to 3x3: Gᵀ·m·G.
func (c *Conv3x3) filterGrads(s *winogradStep, wide *winogradWide, dw []float32, panel int, accumulate bool) {
	for ch := 0; ch < c.Ins; ch += Block {
		const n = Block * Block // 16 inputs, 16 outputs
		out := lanes{wide.in[:], n, n}
		wide.transform(out, lanes{s.sums[(panel*winogradAll*c.Ins+ch)*Block:], c.Ins * Block, n}, winogradIn, 3, wide.back)
		for j := range n {
			to := dw[((panel*Block+j%Block)*c.Ins+ch+j/Block)*9:][:9]
			for t := range to {
				v := out.data[t*n+j]
				if accumulate {
					v += to[t]
				}
				to[t] = v
			}
		}
	}
}

// winogradLanes is how many numbers are transformed side by side by winogradWide.
const winogradLanes = Block * Block

// winogradWide transforms many tiles or filters side by side, one operation after the other.
type winogradWide struct {
	in   [winogradTile * winogradTile * winogradLanes]float32
	half [winogradIn * winogradIn * winogradLanes]float32
	a, b [winogradLanes]float32
}

// lanes are vectors of n numbers, pitch apart.
type lanes struct {
	data     []float32
	pitch, n int
}

func (l lanes) at(i int) []float32 { return l.data[i*l.pitch:][:l.n] }

// every is each step-th vector from the first on.
func (l lanes) every(first, step int) lanes {
	return lanes{l.data[first*l.pitch:], step * l.pitch, l.n}
}

// transform computes dst = T·src·Tᵀ, of n x n to m x m, where apply multiplies T by n vectors.
func (t *winogradWide) transform(dst, src lanes, n, m int, apply func(dst, src lanes)) {
	half := lanes{t.half[:], src.n, src.n}
	for x := range n {
		apply(half.every(x, n), src.every(x, n))
	}
	for y := range m {
		apply(dst.every(y*m, 1), half.every(y*n, 1))
	}
}

// plus sets dst to s·x + t·y.
func plus(dst, x, y []float32, s, t float32) { Affine(dst, x, y, s, t, 0, -unbounded, unbounded) }

// filter is G.
func (t *winogradWide) filter(dst, g lanes) {
	e := t.a[:g.n]
	copy(dst.at(0), g.at(0))
	plus(e, g.at(0), g.at(2), -2./3, -1./3)
	plus(dst.at(1), e, g.at(1), 1, -2./3*winogradA)
	plus(dst.at(2), e, g.at(1), 1, 2./3*winogradA)
	plus(e, g.at(0), g.at(2), 1./6, 1./3)
	plus(dst.at(3), e, g.at(1), 1, 1./6*winogradB)
	plus(dst.at(4), e, g.at(1), 1, -1./6*winogradB)
	copy(dst.at(5), g.at(2))
}

// back is Gᵀ.
func (t *winogradWide) back(dst, m lanes) {
	p, q := t.a[:m.n], t.b[:m.n]
	plus(p, m.at(2), m.at(1), 1, -1)
	plus(q, m.at(3), m.at(4), 1, -1)
	plus(dst.at(1), p, q, 2./3*winogradA, 1./6*winogradB)
	plus(p, m.at(1), m.at(2), 1, 1)
	plus(q, m.at(3), m.at(4), 1, 1)
	plus(dst.at(0), p, q, -2./3, 1./6)
	plus(dst.at(0), dst.at(0), m.at(0), 1, 1)
	plus(dst.at(2), p, q, -1./3, 1./3)
	plus(dst.at(2), dst.at(2), m.at(5), 1, 1)
}

// results is A.
func (t *winogradWide) results(dst, y lanes) {
	e, f := t.a[:y.n], t.b[:y.n]
	pair := func(i int, root, square float32) {
		plus(e, y.at(0), y.at(2), 1, square)
		plus(f, y.at(1), y.at(3), root, root*square)
		plus(dst.at(i), e, f, 1, 1)
		plus(dst.at(i+1), e, f, 1, -1)
	}
	copy(dst.at(0), y.at(0))
	pair(1, winogradA, 0.5)
	pair(3, winogradB, 2)
	copy(dst.at(5), y.at(3))
}
