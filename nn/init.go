package nn

import (
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/tensor"
)

// Uniform draws values from -bound to bound.
func Uniform(x *tensor.Tensor, bound float64, rng *rand.Rand) {
	for i := range x.Data {
		x.Data[i] = float32((2*rng.Float64() - 1) * bound)
	}
}

// Normal draws values of mean 0 and the given standard deviation.
func Normal(x *tensor.Tensor, deviation float64, rng *rand.Rand) {
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64() * deviation)
	}
}

// TruncatedNormal draws values of mean 0 and the given standard deviation, anew where they lie beyond two of 1, as PyTorch's trunc_normal_.
func TruncatedNormal(x *tensor.Tensor, deviation float64, rng *rand.Rand) {
	for i := range x.Data {
		v := rng.NormFloat64() * deviation
		for math.Abs(v) > 2 {
			v = rng.NormFloat64() * deviation
		}
		x.Data[i] = float32(v)
	}
}

// fans are the number of inputs of each output of a weight (out, in, …), and of outputs of each input.
func fans(shape []int) (in, out int) {
	window := 1
	for _, d := range shape[2:] {
		window *= d
	}
	return shape[1] * window, shape[0] * window
}

// KaimingUniform is PyTorch's default for weights (out, in, …): kaiming_uniform_ with a = √5, which is uniform within 1/√fan_in.
func KaimingUniform(w *tensor.Tensor, rng *rand.Rand) {
	in, _ := fans(w.Shape)
	Uniform(w, 1/math.Sqrt(float64(in)), rng)
}

// KaimingNormal is kaiming_normal_ with mode fan_out for ReLU (He et al., ICCV 2015), which torchvision's residual networks start from.
func KaimingNormal(w *tensor.Tensor, rng *rand.Rand) {
	_, out := fans(w.Shape)
	Normal(w, math.Sqrt(2/float64(out)), rng)
}

// XavierUniform is xavier_uniform_ (Glorot and Bengio, AISTATS 2010).
func XavierUniform(w *tensor.Tensor, rng *rand.Rand) {
	in, out := fans(w.Shape)
	Uniform(w, math.Sqrt(6/float64(in+out)), rng)
}

func fill(x *tensor.Tensor, v float32) *tensor.Tensor {
	for i := range x.Data {
		x.Data[i] = v
	}
	return x
}
