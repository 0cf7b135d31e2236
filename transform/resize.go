package transform

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/imageio"
)

// Interpolation is how a resized pixel is computed from its neighbours.
type Interpolation string

const (
	Bilinear Interpolation = "bilinear" // triangle filter, widened when shrinking (antialiased)
	Bicubic  Interpolation = "bicubic"  // Keys' cubic with a = -0.5, widened when shrinking
	Nearest  Interpolation = "nearest"
)

// kernel is a resampling filter and half its width in output pixels.
type kernel struct {
	support float64
	at      func(x float64) float64
}

var kernels = map[Interpolation]kernel{
	Bilinear: {1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }},
	Bicubic: {2, func(x float64) float64 {
		const a = -0.5
		x = math.Abs(x)
		switch {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}},
}

// taps are the input positions and weights that make up each output position along one axis.
type taps struct {
	first   []int
	weights [][]float64
}

// filterTaps follows Pillow's Resample.c, precompute_coeffs.
func filterTaps(in, out int, k kernel) taps {
	scale := float64(in) / float64(out)
	filterScale := max(scale, 1)
	support := k.support * filterScale
	t := taps{make([]int, out), make([][]float64, out)}
	for i := range out {
		center := (float64(i) + 0.5) * scale
		lo := max(0, int(center-support+0.5))
		hi := min(in, int(center+support+0.5))
		w := make([]float64, hi-lo)
		sum := 0.0
		for j := range w {
			w[j] = k.at((float64(j+lo) - center + 0.5) / filterScale)
			sum += w[j]
		}
		for j := range w {
			w[j] /= sum
		}
		t.first[i], t.weights[i] = lo, w
	}
	return t
}

// Resize scales a picture to width x height. 8-bit pictures come out as Pillow's Image.resize makes them, bit for bit; 16-bit ones as
// torchvision's antialiased resize of a tensor, rounded to 16 bits.
func Resize(p *imageio.Picture, width, height int, how Interpolation) (*imageio.Picture, error) {
	if width < 1 || height < 1 {
		return nil, fmt.Errorf("resizing a %dx%d picture to %dx%d: both sides need at least one pixel", p.Width, p.Height, width, height)
	}
	if how == Nearest {
		return nearest(p, width, height), nil
	}
	k, ok := kernels[how]
	if !ok {
		return nil, fmt.Errorf("unknown interpolation %q", how)
	}
	if width != p.Width {
		p = resample(p, filterTaps(p.Width, width, k), width, p.Height, horizontal)
	}
	if height != p.Height {
		p = resample(p, filterTaps(p.Height, height, k), p.Width, height, vertical)
	}
	return p, nil
}

// nearest adds up positions as Pillow does, rounding errors and all.
func nearest(p *imageio.Picture, width, height int) *imageio.Picture {
	out := imageio.New(width, height, p.Channels, p.Depth)
	xs, ys := nearestTaps(p.Width, width), nearestTaps(p.Height, height)
	for y, fy := range ys {
		for x, fx := range xs {
			to, from := (y*width+x)*p.Channels, (fy*p.Width+fx)*p.Channels
			if p.Depth == 8 {
				copy(out.Pix8[to:to+p.Channels], p.Pix8[from:])
			} else {
				copy(out.Pix16[to:to+p.Channels], p.Pix16[from:])
			}
		}
	}
	return out
}

func nearestTaps(in, out int) []int {
	scale := float64(in) / float64(out)
	at := scale * 0.5
	taps := make([]int, out)
	for i := range taps {
		taps[i] = min(int(at), in-1)
		at += scale
	}
	return taps
}

type axis int

const (
	horizontal axis = iota
	vertical
)

// resample applies taps along one axis. 8-bit sums are fixed-point with 22 fractional bits, as Pillow's are.
func resample(p *imageio.Picture, t taps, width, height int, along axis) *imageio.Picture {
	out := imageio.New(width, height, p.Channels, p.Depth)
	rowLength := width * p.Channels // samples in an output row
	const precision = 32 - 8 - 2
	fixed := make([][]int32, len(t.weights))
	for i, ws := range t.weights {
		fixed[i] = make([]int32, len(ws))
		for j, w := range ws {
			fixed[i][j] = int32(w*(1<<precision) + math.Copysign(0.5, w))
		}
	}
	if along == horizontal {
		for y := range height {
			for x := range width {
				from := (y*p.Width + t.first[x]) * p.Channels
				for c := range p.Channels {
					to := y*rowLength + x*p.Channels + c
					if p.Depth == 8 {
						sum := int32(1 << (precision - 1))
						src := p.Pix8[from+c:]
						for j, w := range fixed[x] {
							sum += int32(src[j*p.Channels]) * w
						}
						out.Pix8[to] = clip8(sum >> precision)
					} else {
						sum := 0.0
						for j, w := range t.weights[x] {
							sum += float64(p.Pix16[from+c+j*p.Channels]) * w
						}
						out.Pix16[to] = clip16(sum)
					}
				}
			}
		}
		return out
	}
	sums := make([]int32, rowLength)
	wide := make([]float64, rowLength)
	for y := range height {
		from := t.first[y] * rowLength
		if p.Depth == 8 {
			for i := range sums {
				sums[i] = 1 << (precision - 1)
			}
			for j, w := range fixed[y] {
				src := p.Pix8[from+j*rowLength:][:rowLength]
				for i, v := range src {
					sums[i] += int32(v) * w
				}
			}
			dst := out.Pix8[y*rowLength:][:rowLength]
			for i, s := range sums {
				dst[i] = clip8(s >> precision)
			}
			continue
		}
		clear(wide)
		for j, w := range t.weights[y] {
			for i, v := range p.Pix16[from+j*rowLength:][:rowLength] {
				wide[i] += float64(v) * w
			}
		}
		for i, s := range wide {
			out.Pix16[y*rowLength+i] = clip16(s)
		}
	}
	return out
}

func clip8(v int32) uint8 { return uint8(min(max(v, 0), math.MaxUint8)) }

func clip16(v float64) uint16 { return uint16(min(max(math.Round(v), 0), math.MaxUint16)) }
