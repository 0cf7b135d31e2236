package nn

import (
	"math"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/internal/kernel"
)

// ClipGradNorm scales all gradients so that their common Euclidean norm is at most most, as torch.nn.utils.clip_grad_norm_, and returns the
// norm before.
func ClipGradNorm(params []*autograd.Var, most float64) float64 {
	sum := 0.0
	for _, p := range params {
		if p.Grad != nil {
			_, squares := kernel.Moments(p.Grad.Data, p.Grad.Data, 0, 0)
			sum += squares
		}
	}
	norm := math.Sqrt(sum)
	if f := most / (norm + 1e-6); f < 1 {
		for _, p := range params {
			if p.Grad != nil {
				kernel.Scale(p.Grad.Data, p.Grad.Data, float32(f))
			}
		}
	}
	return norm
}

// ClipGradValue clamps every value of the gradients to -most..most.
func ClipGradValue(params []*autograd.Var, most float64) {
	for _, p := range params {
		if p.Grad != nil {
			kernel.Affine(p.Grad.Data, p.Grad.Data, nil, 1, 0, 0, float32(-most), float32(most))
		}
	}
}
