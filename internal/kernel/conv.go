package kernel

import (
	"fmt"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// ConvSpec describes a convolution of every input channel with every output channel.
type ConvSpec struct {
	In, Out  int // channels
	Kernel   int // rows and columns
	Stride   int
	Dilation int
}

// Conv is a convolution with its weights packed for the active instruction set.
type Conv struct {
	spec    ConvSpec
	set     *set
	lanes   int // of the input
	weights []float32
	bias    []float32

	winograd winograd
}

// Step says how to run a layer on one picture.
type Step struct {
	Out, In  *Activation
	Pad      [2]int      // zeros above and to the left; those below and to the right follow from Out's size
	Residual *Activation // added before clamping; nil for none; of Out's shape and border
	Lo, Hi   float32     // results are clamped to this range: (0, +Inf) is ReLU
}

// NewConv packs weights (Out, In, Kernel, Kernel) and bias (Out).
func NewConv(spec ConvSpec, weight, bias []float32) *Conv {
	if len(weight) != spec.Out*spec.In*spec.Kernel*spec.Kernel || len(bias) != spec.Out {
		panic(fmt.Sprintf("kernel: %d weights and %d biases for %+v", len(weight), len(bias), spec))
	}
	c := &Conv{spec: spec, set: use(), lanes: Block}
	if spec.In <= InputLanes {
		c.lanes = InputLanes
	}
	taps := spec.Kernel * spec.Kernel
	outBlocks := roundUp(spec.Out, Block) / Block
	inBlocks := roundUp(spec.In, c.lanes) / c.lanes
	c.bias = aligned(outBlocks * Block)
	copy(c.bias, bias)
	c.weights = aligned(outBlocks * Block * inBlocks * c.lanes * taps)
	at := 0
	for b := 0; b < outBlocks; b += c.set.blocks {
		width := min(c.set.blocks, outBlocks-b) * Block
		for ib := range inBlocks {
			for t := range taps {
				for l := range c.lanes {
					ic := ib*c.lanes + l
					for j := range width {
						if oc := b*Block + j; oc < spec.Out && ic < spec.In {
							c.weights[at+j] = weight[(oc*spec.In+ic)*taps+t]
						}
					}
					at += width
				}
			}
		}
	}
	return c
}

// Lanes is how the input must lie.
func (c *Conv) Lanes() int { return c.lanes }

// cachedWeights is about what the first private cache beside the innermost keeps, in bytes: below it rows of the input are
// read once for all output channels, above it weights are read once for many rows.
const cachedWeights = 256 << 10

// Run computes s.Out. The input's border must be at least as wide as the padding on every side.
func (c *Conv) Run(workers int, s Step) {
	k, in, out := c.spec, s.In, s.Out
	if c.suitsWinograd(out) {
		c.runWinograd(workers, s)
		return
	}
	offsets := make([]int64, 0, in.Blocks()*k.Kernel*k.Kernel)
	for b := range in.Blocks() {
		for ky := range k.Kernel {
			for kx := range k.Kernel {
				offsets = append(offsets, int64(4*(b*in.plane()+ky*k.Dilation*in.pitch()+kx*k.Dilation*in.Lanes)))
			}
		}
	}
	groups := (out.Blocks() + c.set.blocks - 1) / c.set.blocks
	rows := out.H // rows a task
	if workers > 1 {
		for groups*((out.H+rows-1)/rows) < 4*workers && rows > 1 {
			rows = (rows + 1) / 2
		}
	}
	within := 1 // groups a task
	if 4*len(c.weights) <= cachedWeights {
		within = groups
		if workers > 1 {
			rows = max(1, out.H/(4*workers))
		}
	}
	chunks := (out.H + rows - 1) / rows
	for b := range out.Blocks() {
		out.clearBorder(b)
	}
	parallel.For(workers, (groups+within-1)/within*chunks, func(i int) {
		chunk, first := i%chunks, i/chunks*within
		for y := chunk * rows; y < min(out.H, (chunk+1)*rows); y++ {
			for g := first; g < min(groups, first+within); g++ {
				c.row(s, offsets, g, y)
			}
		}
	})
}

// row computes one row of one group of output blocks.
func (c *Conv) row(s Step, offsets []int64, group, y int) {
	in, out := s.In, s.Out
	block := group * c.set.blocks
	blocks := min(c.set.blocks, out.Blocks()-block)
	t := c.set.tileOf(out.W)
	a := tileArgs{
		offsets: &offsets[0], steps: len(offsets), quads: c.lanes / 4,
		weights: &c.weights[block*Block*c.lanes*len(offsets)], bias: &c.bias[block*Block],
		stride: 4 * c.spec.Stride * in.Lanes, lo: s.Lo, hi: s.Hi, pitch: 4 * Block,
	}
	for x := 0; x < out.W; x += t.pixels {
		x := min(x, out.W-t.pixels)
		a.in = unsafe.Pointer(&in.Data[in.at(0, y*c.spec.Stride-s.Pad[0], x*c.spec.Stride-s.Pad[1])])
		at := out.at(block, y, x)
		a.out0 = unsafe.Pointer(&out.Data[at])
		if blocks > 1 {
			a.out1 = unsafe.Pointer(&out.Data[at+out.plane()])
		}
		if s.Residual != nil {
			a.residual[0] = unsafe.Pointer(&s.Residual.Data[at])
			if blocks > 1 {
				a.residual[1] = unsafe.Pointer(&s.Residual.Data[at+out.plane()])
			}
		}
		t.run[blocks-1](&a)
	}
}
