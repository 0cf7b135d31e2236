package kernel

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

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

// Run computes s.Out; s.Residual must be nil. The input's border must be at least as wide as the padding on every side.
func (d *Depthwise) Run(workers int, s Step) {
	offsets := tapOffsets(d.spec, s.In)
	taps := len(offsets)
	eachRow(workers, s.Out, func(block, y int) {
		d.set.depthwise(&tapArgs{
			in:      unsafe.Pointer(&s.In.Data[s.In.at(block, y*d.spec.Stride-s.Pad[0], -s.Pad[1])]),
			offsets: &offsets[0], taps: taps, weights: &d.weights[block*taps*Block],
			out: unsafe.Pointer(&s.Out.Data[s.Out.at(block, y, 0)]), pixels: s.Out.W, bias: &d.bias[block*Block],
			stride: 4 * d.spec.Stride * Block, lo: s.Lo, hi: s.Hi,
		})
	})
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

// eachRow calls f for every row of every block of out, after clearing the block's border.
func eachRow(workers int, out *Activation, f func(block, y int)) {
	parallel.For(workers, out.Blocks(), func(block int) {
		out.clearBorder(block)
		for y := range out.H {
			f(block, y)
		}
	})
}

// MaxPool takes the largest value under each window; what lies outside the input does not count, as in PyTorch.
func MaxPool(workers int, k TapSpec, s Step) {
	fn := use().maxPool
	in, out := s.In, s.Out
	lowest := aligned(Block)
	for i := range lowest {
		lowest[i] = float32(math.Inf(-1))
	}
	unused := aligned(k.Kernel * k.Kernel * Block)
	// columns whose windows lie within the input
	x0 := min(out.W, (s.Pad[1]+k.Stride-1)/k.Stride)
	x1 := max(x0, min(out.W, (in.W+s.Pad[1]-(k.Kernel-1)*k.Dilation-1)/k.Stride+1))
	eachRow(workers, out, func(block, y int) {
		top := y*k.Stride - s.Pad[0]
		run := func(x, pixels int) {
			offsets := make([]int64, 0, k.Kernel*k.Kernel)
			left := x*k.Stride - s.Pad[1]
			for ky := range k.Kernel {
				for kx := range k.Kernel {
					yy, xx := top+ky*k.Dilation, left+kx*k.Dilation
					if yy >= 0 && yy < in.H && xx >= 0 && xx+(pixels-1)*k.Stride < in.W {
						offsets = append(offsets, int64(4*(in.at(block, yy, xx)-in.at(block, 0, 0))))
					}
				}
			}
			fn(&tapArgs{
				in: unsafe.Pointer(&in.Data[in.at(block, 0, 0)]), offsets: &offsets[0], taps: len(offsets), weights: &unused[0],
				out: unsafe.Pointer(&out.Data[out.at(block, y, x)]), pixels: pixels, bias: &lowest[0],
				stride: 4 * k.Stride * Block, lo: s.Lo, hi: s.Hi,
			})
		}
		for x := range x0 {
			run(x, 1)
		}
		if x1 > x0 {
			run(x0, x1-x0)
		}
		for x := x1; x < out.W; x++ {
			run(x, 1)
		}
	})
}

// Add computes s.Out = clamp(s.In + s.Residual); all three have one shape and border.
func Add(workers int, s Step) {
	eachRow(workers, s.Out, func(block, y int) {
		at := s.Out.at(block, y, 0)
		n := s.Out.W * Block
		a, b, out := s.In.Data[at:][:n], s.Residual.Data[at:][:n], s.Out.Data[at:][:n]
		for i, v := range a {
			out[i] = min(max(v+b[i], s.Lo), s.Hi)
		}
	})
}

// Clamp computes s.Out = clamp(s.In); both have one shape and border.
func Clamp(workers int, s Step) {
	eachRow(workers, s.Out, func(block, y int) {
		at := s.Out.at(block, y, 0)
		n := s.Out.W * Block
		out := s.Out.Data[at:][:n]
		for i, v := range s.In.Data[at:][:n] {
			out[i] = min(max(v, s.Lo), s.Hi)
		}
	})
}
