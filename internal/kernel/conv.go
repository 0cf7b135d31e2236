package kernel

import "fmt"

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
