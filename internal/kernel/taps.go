package kernel

import "fmt"

// TapSpec describes a layer in which each channel sees only itself.
type TapSpec struct {
	Channels, Kernel, Stride, Dilation int
}

// Depthwise is a convolution of each channel with a filter of its own.
type Depthwise struct {
	spec          TapSpec
	set           *set
	weights, bias []float32
}

// NewDepthwise packs weights (Channels, Kernel, Kernel) and bias (Channels).
func NewDepthwise(spec TapSpec, weight, bias []float32) *Depthwise {
	taps := spec.Kernel * spec.Kernel
	if len(weight) != spec.Channels*taps || len(bias) != spec.Channels {
		panic(fmt.Sprintf("kernel: %d weights and %d biases for %+v", len(weight), len(bias), spec))
	}
	n := roundUp(spec.Channels, Block)
	d := &Depthwise{spec, use(), aligned(n * taps), aligned(n)}
	copy(d.bias, bias)
	for c := range spec.Channels {
		for t := range taps {
			d.weights[(c/Block*taps+t)*Block+c%Block] = weight[c*taps+t]
		}
	}
	return d
}

func tapOffsets(k TapSpec, in *Activation) []int64 {
	offsets := make([]int64, 0, k.Kernel*k.Kernel)
	for ky := range k.Kernel {
		for kx := range k.Kernel {
			offsets = append(offsets, int64(4*(ky*k.Dilation*in.pitch()+kx*k.Dilation*Block)))
		}
	}
	return offsets
}
