// Package explain shows where a network saw what made it decide: class activation maps from a layer's features and the gradients that
// reach them.
//
// All maps are (h,w), one value a position of the layer, and agree with the papers' formulas evaluated in PyTorch. They are not stretched to
// 0..1: a map that is small everywhere says that the layer saw little.
package explain

import (
	"fmt"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// Method is a way to make a map of features A and gradients G = ∂score/∂A, both (C,h,w).
type Method string

const (
	// GradCAM is ReLU(Σ_c mean(G_c)·A_c) (Selvaraju et al., ICCV 2017, equations 1 and 2).
	GradCAM Method = "grad-cam"
	// GradCAMPlusPlus weighs each position's positive gradients by α = G²/(2·G² + Σ A_c·G³) (Chattopadhay et al., WACV 2018,
	// equations 10 and 19, with the third derivatives of a network of piecewise linear layers).
	GradCAMPlusPlus Method = "grad-cam++"
	// LayerCAM is ReLU(Σ_c ReLU(G)·A), position by position (Jiang et al., IEEE TIP 2021, equations 6 and 7).
	LayerCAM Method = "layer-cam"
	// Evidence is Σ_c mean(G_c)·A_c without ReLU: what speaks against the class counts, too. Behind global average pooling and a linear
	// layer it is CAM (Zhou et al., CVPR 2016, equation 2) divided by h·w.
	Evidence Method = "evidence"
)

// Methods lists them all.
func Methods() []Method { return []Method{GradCAM, GradCAMPlusPlus, LayerCAM, Evidence} }

// Map makes a map (h,w) of one picture's features and gradients, both (C,h,w).
func Map(how Method, features, gradients *tensor.Tensor) (*tensor.Tensor, error) {
	if len(features.Shape) != 3 || tensor.Volume(features.Shape) == 0 {
		return nil, &fault.ShapeError{What: "features", Want: "(C,h,w)", Got: features.Shape}
	}
	if !tensor.SameShape(features, gradients) {
		return nil, &fault.ShapeError{What: "gradients", Want: fmt.Sprint(features.Shape), Got: gradients.Shape}
	}
	switch how {
	case GradCAM:
		return positive(CAM(features, means(gradients))), nil
	case Evidence:
		return CAM(features, means(gradients)), nil
	case GradCAMPlusPlus:
		return positive(CAM(features, plusPlus(features, gradients))), nil
	case LayerCAM:
		return positive(positionwise(features, gradients)), nil
	}
	return nil, &fault.ConfigError{Field: "map", Value: string(how), Reason: fmt.Sprintf("known are %v", Methods())}
}

// CAM is Σ_c weights[c]·A_c: the class activation map of a linear layer behind global average pooling, whose row for the class weights is
// (Zhou et al., CVPR 2016, equation 2). features are (C,h,w).
func CAM(features *tensor.Tensor, weights []float32) *tensor.Tensor {
	c, h, w := features.Shape[0], features.Shape[1], features.Shape[2]
	sums := make([]float64, h*w)
	for ch := range c {
		plane := features.Data[ch*h*w:][:h*w]
		for i, v := range plane {
			sums[i] += float64(weights[ch]) * float64(v)
		}
	}
	return narrowed(sums, h, w)
}

// means averages each channel (C,h,w).
func means(x *tensor.Tensor) []float32 {
	n := x.Shape[1] * x.Shape[2]
	out := make([]float32, x.Shape[0])
	for ch := range out {
		sum := 0.0
		for _, v := range x.Data[ch*n:][:n] {
			sum += float64(v)
		}
		out[ch] = float32(sum / float64(n))
	}
	return out
}

// plusPlus is Σ α·ReLU(G) of each channel.
func plusPlus(features, gradients *tensor.Tensor) []float32 {
	const eps = 1e-12 // α of a gradient of zero is zero
	n := features.Shape[1] * features.Shape[2]
	out := make([]float32, features.Shape[0])
	for ch := range out {
		sum := 0.0
		for _, v := range features.Data[ch*n:][:n] {
			sum += float64(v)
		}
		weight := 0.0
		for _, v := range gradients.Data[ch*n:][:n] {
			g := float64(v)
			if below := 2*g*g + sum*g*g*g; g > 0 && (below > eps*g*g || below < -eps*g*g) {
				weight += g * g / below * g
			}
		}
		out[ch] = float32(weight)
	}
	return out
}

// positionwise is Σ_c ReLU(G)·A.
func positionwise(features, gradients *tensor.Tensor) *tensor.Tensor {
	h, w := features.Shape[1], features.Shape[2]
	sums := make([]float64, h*w)
	for i, g := range gradients.Data {
		if g > 0 {
			sums[i%(h*w)] += float64(g) * float64(features.Data[i])
		}
	}
	return narrowed(sums, h, w)
}

func narrowed(values []float64, h, w int) *tensor.Tensor {
	out := tensor.New(h, w)
	for i, v := range values {
		out.Data[i] = float32(v)
	}
	return out
}

func positive(m *tensor.Tensor) *tensor.Tensor {
	for i, v := range m.Data {
		m.Data[i] = max(v, 0)
	}
	return m
}

// Upsample brings a map (h,w) to (height,width): bilinearly, then smoothed by a Gaussian of half a position of the layer, which takes the
// creases away.
func Upsample(m *tensor.Tensor, height, width int) *tensor.Tensor {
	sigma := float64(height) / float64(m.Shape[0]) / 2
	if height <= m.Shape[0] && width <= m.Shape[1] {
		return transform.ResizeMaps(m, height, width)
	}
	return transform.SmoothResize(m, height, width, sigma)
}

// Boxes finds the connected regions of a map (h,w) that lie above a share, 0 to 1, of the way from its lowest to its highest value.
// A map without contrast has none.
func Boxes(m *tensor.Tensor, share float64) []metric.Region {
	low, high := m.Data[0], m.Data[0]
	for _, v := range m.Data {
		low, high = min(low, v), max(high, v)
	}
	threshold := float64(low) + share*(float64(high)-float64(low))
	return metric.Regions(m.Data, m.Shape[1], m.Shape[0], float32(threshold))
}
