package kernel

import (
	"math"
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// Winograd's algorithm F(4x4,3x3): a 3x3 convolution of stride 1 computes 4x4 results from 6x6 inputs by 36 products a pair of channels
// instead of 144 (Lavin and Gray, CVPR 2016, arXiv:1509.09308, 4.3):
//
//	Y = Aᵀ·[ Σ_c (G·g_c·Gᵀ) ⊙ (Bᵀ·d_c·B) ]·A
//
// It interpolates at 0, ±√½, ±√2 and ∞ instead of the paper's 0, ±1, ±2 and ∞: a third of the rounding error, for a few more products.
// Transformed inputs and filters are 36 matrices each, so that the sum is 36 products of matrices, made of the same tiles as everything else.

const (
	winogradTile = 4                                   // rows and columns of results
	winogradIn   = 6                                   // and of inputs
	winogradAll  = winogradIn * winogradIn             // matrices
	winogradBand = 1 << 20 / (winogradAll * Block * 4) // tile·blocks of inputs that are transformed at once: 1 MiB
	winogradKept = 192 << 10                           // values of transformed filters that the second cache keeps
	winogradLow  = 12                                  // tiles below which reading the larger filters costs more than is saved
	winogradRead = winogradIn * winogradIn * Block     // values of a tile of inputs
	winogradPack = winogradTile * winogradTile * Block // values of a tile of results
	winogradA    = math.Sqrt2 / 2                      // points of interpolation
	winogradB    = math.Sqrt2
)

// winogradArgs are the arguments of winogradIn and winogradOut. The assembly knows this layout.
type winogradArgs struct {
	in       unsafe.Pointer
	inPitch  int // bytes from one row of inputs, or one matrix, to the next
	out      unsafe.Pointer
	outPitch int // bytes from one matrix, or one row of results, to the next
	bias     *float32
	residual unsafe.Pointer // of out's pitch; nil for none
	lo, hi   float32
}

// winograd is a convolution's filters, transformed when a picture first wants them.
type winograd struct {
	once    sync.Once
	weights []float32 // (36, groups of output blocks, input channels, outputs of the group)
}

// suitsWinograd says whether the algorithm pays. It goes by shapes alone, so that results never depend on a timing.
func (c *Conv) suitsWinograd(out *Activation) bool {
	k := c.spec
	if k.Kernel != 3 || k.Stride != 1 || k.Dilation != 1 || c.lanes != Block || k.In < 2*Block || k.Out < 2*Block {
		return false
	}
	tiles := tilesOf(out.H) * tilesOf(out.W)
	return tiles >= winogradLow && 2*out.H*out.W >= tiles*winogradTile*winogradTile // at least half of what is computed is wanted
}

func tilesOf(n int) int { return (n + winogradTile - 1) / winogradTile }

// winogradWeights transforms the packed filters: U = G·g·Gᵀ.
func (c *Conv) winogradWeights() []float32 {
	c.winograd.once.Do(func() {
		const a, b = winogradA, winogradB
		g := [winogradIn][3]float64{{1, 0, 0}, {-2. / 3, -2. / 3 * a, -1. / 3}, {-2. / 3, 2. / 3 * a, -1. / 3}, {1. / 6, 1. / 6 * b, 1. / 3}, {1. / 6, -1. / 6 * b, 1. / 3}, {0, 0, 1}}
		channels := roundUp(c.spec.In, Block)
		outBlocks := roundUp(c.spec.Out, Block) / Block
		u := aligned(winogradAll * channels * outBlocks * Block)
		parallel.For(0, (outBlocks+c.set.blocks-1)/c.set.blocks, func(group int) {
			first := group * c.set.blocks
			width := min(c.set.blocks, outBlocks-first) * Block
			from, to := c.weights[first*Block*channels*9:], u[first*Block*channels:]
			for ic := range channels {
				for j := range width {
					var f [3][3]float64
					for t := range 9 {
						f[t/3][t%3] = float64(from[((ic/Block*9+t)*Block+ic%Block)*width+j])
					}
					var half [winogradIn][3]float64
					for y := range winogradIn {
						for x := range 3 {
							half[y][x] = g[y][0]*f[0][x] + g[y][1]*f[1][x] + g[y][2]*f[2][x]
						}
					}
					for y := range winogradIn {
						for x := range winogradIn {
							to[(y*winogradIn+x)*channels*outBlocks*Block+ic*width+j] = float32(half[y][0]*g[x][0] + half[y][1]*g[x][1] + half[y][2]*g[x][2])
						}
					}
				}
			}
		})
		c.winograd.weights = u
	})
	return c.winograd.weights
}

// winogradOwn is what a goroutine needs: a tile's inputs, results and residual where it reaches beyond the border.
type winogradOwn struct {
	edge     [winogradRead]float32
	result   [winogradPack]float32
	residual [winogradPack]float32
	args     winogradArgs
	tile     tileArgs
}

// winogradInput transforms one tile of one block of inputs into 36 rows of matrices, pitch pixels apart.
func (c *Conv) winogradInput(own *winogradOwn, in *Activation, pad [2]int, block, ty, tx int, dst []float32, pitch int) {
	y, x := ty*winogradTile-pad[0], tx*winogradTile-pad[1]
	a := &own.args
	a.out, a.outPitch = unsafe.Pointer(&dst[0]), 4*pitch*Block
	if b := in.Border; y >= -b && x >= -b && y+winogradIn <= in.H+b && x+winogradIn <= in.W+b {
		a.in, a.inPitch = unsafe.Pointer(&in.Data[in.at(block, y, x)]), 4*in.pitch()
	} else {
		clear(own.edge[:])
		x0, x1 := max(x, 0), min(x+winogradIn, in.W)
		for yy := max(y, 0); yy < min(y+winogradIn, in.H); yy++ {
			if x1 > x0 {
				copy(own.edge[((yy-y)*winogradIn+x0-x)*Block:][:(x1-x0)*Block], in.Data[in.at(block, yy, x0):])
			}
		}
		a.in, a.inPitch = unsafe.Pointer(&own.edge[0]), 4*winogradIn*Block
	}
	c.set.winogradIn(a)
}

// winogradProducts computes matrix m of sums (36, output blocks, count, 16) from inputs (36, input blocks, count, 16).
func (c *Conv) winogradProducts(own *winogradOwn, in, sums []float32, offsets []int64, tiles []placed, count, m int) {
	channels, outBlocks := len(offsets)*Block, roundUp(c.spec.Out, Block)/Block
	weights := c.winogradWeights()[m*channels*outBlocks*Block:]
	a := &own.tile
	*a = tileArgs{offsets: &offsets[0], steps: len(offsets), quads: Block / 4, bias: &noBias[0], stride: 4 * Block, lo: -unbounded, hi: unbounded, pitch: 4 * Block}
	for block := 0; block < outBlocks; block += c.set.blocks {
		blocks := min(c.set.blocks, outBlocks-block)
		a.weights = &weights[block*Block*channels]
		for i := range tiles {
			x := tiles[i].x
			a.in, a.more = unsafe.Pointer(&in[(m*len(offsets)*count+x)*Block]), tiles[i].more
			at := ((m*outBlocks+block)*count + x) * Block
			a.out0 = unsafe.Pointer(&sums[at])
			if blocks > 1 {
				a.out1 = unsafe.Pointer(&sums[at+count*Block])
			}
			tiles[i].tile.run[blocks-1](a)
		}
	}
}

// winogradOutput transforms one tile of one block back from 36 rows of matrices, pitch pixels apart.
func (c *Conv) winogradOutput(own *winogradOwn, v *Values, lo, hi float32, block, ty, tx int, sums []float32, pitch int) {
	out := v.Out
	y, x := ty*winogradTile, tx*winogradTile
	at := out.at(block, y, x)
	a := &own.args
	*a = winogradArgs{in: unsafe.Pointer(&sums[0]), inPitch: 4 * pitch * Block, bias: &c.bias[block*Block], lo: lo, hi: hi}
	if y+winogradTile <= out.H && x+winogradTile <= out.W {
		a.out, a.outPitch = unsafe.Pointer(&out.Data[at]), 4*out.pitch()
		if v.Residual != nil {
			a.residual = unsafe.Pointer(&v.Residual.Data[at])
		}
		c.set.winogradOut(a)
		return
	}
	h, w := min(winogradTile, out.H-y), min(winogradTile, out.W-x)*Block
	if v.Residual != nil {
		for r := range h {
			copy(own.residual[r*winogradTile*Block:][:w], v.Residual.Data[at+r*out.pitch():])
		}
		a.residual = unsafe.Pointer(&own.residual[0])
	}
	a.out, a.outPitch = unsafe.Pointer(&own.result[0]), 4*winogradTile*Block
	c.set.winogradOut(a)
	for r := range h {
		copy(out.Data[at+r*out.pitch():][:w], own.result[r*winogradTile*Block:])
	}
}
