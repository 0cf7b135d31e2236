package transform

import (
	"math"

	"github.com/blemish/blemish/tensor"
)

// ResizeMaps resizes every plane of feature maps (…,h,w) to (height,width) as torch.nn.functional.interpolate does with mode="bilinear",
// align_corners=False and no antialiasing. Maps that have that size already are returned themselves.
func ResizeMaps(t *tensor.Tensor, height, width int) *tensor.Tensor {
	h, w := t.Dim(-2), t.Dim(-1)
	if h == height && w == width {
		return t
	}
	shape := append([]int(nil), t.Shape...)
	shape[len(shape)-2], shape[len(shape)-1] = height, width
	out := tensor.New(shape...)
	xs, ys := resizeTaps(w, width), resizeTaps(h, height)
	line := make([]float32, w)
	for p := range len(t.Data) / (h * w) {
		in := t.Data[p*h*w:][:h*w]
		for y, ty := range ys {
			upper, lower := in[ty.lo*w:][:w], in[ty.hi*w:][:w]
			for i := range line {
				line[i] = upper[i] + (lower[i]-upper[i])*ty.w
			}
			row := out.Data[(p*height+y)*width:][:width]
			for x, tx := range xs {
				row[x] = line[tx.lo] + (line[tx.hi]-line[tx.lo])*tx.w
			}
		}
	}
	return out
}

func resizeTaps(in, out int) []lerp {
	taps := make([]lerp, out)
	f := float64(in) / float64(out)
	for i := range taps {
		taps[i] = lerpAt((float64(i)+0.5)*f-0.5, 0, in-1)
	}
	return taps
}

// SmoothResize resizes a map (h,w) bilinearly to (height,width) and blurs the result with a Gaussian of the given sigma in output pixels:
// a window of 2·int(4·sigma+0.5)+1 pixels, reflected at the border, as anomalib makes its anomaly maps. Both steps are linear and separable, so
// each axis is one banded matrix, and the cost per output pixel is about 8·sigma·h/height + 2 products an axis instead of 8·sigma.
func SmoothResize(m *tensor.Tensor, height, width int, sigma float64) *tensor.Tensor {
	h, w := m.Shape[0], m.Shape[1]
	rows, cols := smoothBands(h, height, sigma), smoothBands(w, width, sigma)
	out := tensor.New(height, width)
	line := make([]float32, w)
	for y, b := range rows {
		clear(line)
		for j, f := range b.weights {
			for x, v := range m.Data[(b.first+j)*w:][:w] {
				line[x] += f * v
			}
		}
		row := out.Data[y*width:][:width]
		for x, c := range cols {
			var sum float32
			for j, v := range line[c.first:][:len(c.weights)] {
				sum += c.weights[j] * v
			}
			row[x] = sum
		}
	}
	return out
}

// band is one row of a banded matrix.
type band struct {
	first   int
	weights []float32
}

func smoothBands(in, out int, sigma float64) []band {
	up := resizeTaps(in, out)
	window := gaussian(sigma)
	radius := len(window) / 2
	bands := make([]band, out)
	dense := make([]float64, in)
	for i := range bands {
		lo, hi := in, -1
		for t, g := range window {
			u := up[reflect(i+t-radius, out)]
			dense[u.lo] += g * float64(1-u.w)
			dense[u.hi] += g * float64(u.w)
			lo, hi = min(lo, u.lo), max(hi, u.hi)
		}
		b := band{first: lo, weights: make([]float32, hi-lo+1)}
		for j := range b.weights {
			b.weights[j] = float32(dense[lo+j])
			dense[lo+j] = 0
		}
		bands[i] = b
	}
	return bands
}

// gaussian is a normalised window; sigma 0 means no blur.
func gaussian(sigma float64) []float64 {
	if sigma <= 0 {
		return []float64{1}
	}
	radius := int(4*sigma + 0.5)
	g := make([]float64, 2*radius+1)
	sum := 0.0
	for i := range g {
		x := float64(i-radius) / sigma
		g[i] = math.Exp(-x * x / 2)
		sum += g[i]
	}
	for i := range g {
		g[i] /= sum
	}
	return g
}

// reflect mirrors an index into [0,n) without repeating the border, as often as needed.
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	i = ((i % period) + period) % period
	if i >= n {
		i = period - i
	}
	return i
}
