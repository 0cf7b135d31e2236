package classifier

import (
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// Augment changes training pictures at random in ways that do not change what they show.
type Augment struct {
	Mirror bool    `json:"mirror"` // left and right, and top and bottom, each with probability 1/2
	Jitter float64 `json:"jitter"` // brightness, contrast and saturation change by up to this share
	Rotate float64 `json:"rotate"` // by up to this many degrees; what lies outside is mirrored
}

// Validate names the first field that is out of range.
func (a Augment) Validate() error {
	if !(a.Jitter >= 0 && a.Jitter < 1) {
		return &fault.ConfigError{Field: "augment.jitter", Value: a.Jitter, Reason: "want at least 0 and less than 1"}
	}
	if !(a.Rotate >= 0 && a.Rotate <= 180) {
		return &fault.ConfigError{Field: "augment.rotate", Value: a.Rotate, Reason: "want 0 to 180 degrees"}
	}
	return nil
}

// Apply changes a picture (3,H,W) that was normalised by mean and std. The random numbers are drawn in a fixed order.
func (a Augment) Apply(x *tensor.Tensor, mean, std [3]float32, rng *rand.Rand) *tensor.Tensor {
	x = x.Clone()
	if a.Mirror {
		if rng.IntN(2) == 1 {
			mirror(x, horizontally)
		}
		if rng.IntN(2) == 1 {
			mirror(x, vertically)
		}
	}
	if a.Rotate > 0 {
		x = rotate(x, (2*rng.Float64()-1)*a.Rotate*math.Pi/180)
	}
	if a.Jitter > 0 {
		factor := func() float32 { return float32(1 + (2*rng.Float64()-1)*a.Jitter) }
		jitter(x, mean, std, factor(), factor(), factor())
	}
	return x
}

// Crop cuts a window of height x width at a place drawn uniformly from all where it fits, the row first. x is (3,H,W).
func Crop(x *tensor.Tensor, height, width int, rng *rand.Rand) (*tensor.Tensor, error) {
	h, w := x.Shape[1], x.Shape[2]
	if height > h || width > w {
		return nil, &fault.ShapeError{What: "picture to crop from", Want: "sides of at least the crop's; resize to a larger size", Got: []int{h, w}}
	}
	top, left := rng.IntN(h-height+1), rng.IntN(w-width+1)
	out := tensor.New(3, height, width)
	for c := range 3 {
		for y := range height {
			copy(out.Data[(c*height+y)*width:][:width], x.Data[(c*h+top+y)*w+left:])
		}
	}
	return out, nil
}

type direction int

const (
	horizontally direction = iota
	vertically
)

// Mirrors says which mirror images are judged beside a picture.
type Mirrors string

const (
	NoMirrors  Mirrors = ""
	Sideways   Mirrors = "sideways" // left and right exchanged
	AllMirrors Mirrors = "all"      // and top and bottom, and both
)

// turn is a picture's way to a mirror image, and back.
type turn []direction

// of turns a picture (…,H,W) over.
func (t turn) of(x *tensor.Tensor) *tensor.Tensor {
	x = x.Clone()
	for _, d := range t {
		mirror(x, d)
	}
	return x
}

// images are the ways to all but the picture itself.
func (m Mirrors) images() []turn {
	switch m {
	case Sideways:
		return []turn{{horizontally}}
	case AllMirrors:
		return []turn{{horizontally}, {vertically}, {horizontally, vertically}}
	}
	return nil
}

// mirror turns every plane of a picture (…,H,W) over in place.
func mirror(x *tensor.Tensor, d direction) {
	h, w := x.Shape[len(x.Shape)-2], x.Shape[len(x.Shape)-1]
	for at := 0; at < len(x.Data); at += h * w {
		plane := x.Data[at:][:h*w]
		if d == horizontally {
			for y := range h {
				row := plane[y*w:][:w]
				for i := range w / 2 {
					row[i], row[w-1-i] = row[w-1-i], row[i]
				}
			}
			continue
		}
		for y := range h / 2 {
			for i := range w {
				plane[y*w+i], plane[(h-1-y)*w+i] = plane[(h-1-y)*w+i], plane[y*w+i]
			}
		}
	}
}

// rotate turns a picture about its centre, bilinearly.
func rotate(x *tensor.Tensor, angle float64) *tensor.Tensor {
	h, w := x.Shape[1], x.Shape[2]
	out := tensor.New(x.Shape...)
	sin, cos := math.Sincos(angle)
	cy, cx := float64(h-1)/2, float64(w-1)/2
	for y := range h {
		for i := range w {
			dy, dx := float64(y)-cy, float64(i)-cx
			fy, fx := cy+cos*dy-sin*dx, cx+sin*dy+cos*dx
			y0, x0 := math.Floor(fy), math.Floor(fx)
			ty, tx := float32(fy-y0), float32(fx-x0)
			ya, yb := reflect(int(y0), h), reflect(int(y0)+1, h)
			xa, xb := reflect(int(x0), w), reflect(int(x0)+1, w)
			for c := range x.Shape[0] {
				p := x.Data[c*h*w:]
				top := p[ya*w+xa]*(1-tx) + p[ya*w+xb]*tx
				low := p[yb*w+xa]*(1-tx) + p[yb*w+xb]*tx
				out.Data[(c*h+y)*w+i] = top*(1-ty) + low*ty
			}
		}
	}
	return out
}

// reflect brings a position back into 0..n-1 by mirrors at the first and last pixel.
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	i = ((i % period) + period) % period
	return min(i, period-i)
}

// jitter multiplies brightness, then moves away from the mean gray, then from each pixel's own gray, in samples of 0..1, as torchvision's
// ColorJitter does in that order.
func jitter(x *tensor.Tensor, mean, std [3]float32, brightness, contrast, saturation float32) {
	n := x.Shape[1] * x.Shape[2]
	planes := [3][]float32{x.Data[:n], x.Data[n : 2*n], x.Data[2*n:]}
	clamp := func(v float32) float32 { return min(max(v, 0), 1) }
	gray := func(i int) float32 { return 0.299*planes[0][i] + 0.587*planes[1][i] + 0.114*planes[2][i] }
	sum := 0.0
	for i := range n {
		for c, p := range planes {
			p[i] = clamp((p[i]*std[c] + mean[c]) * brightness)
		}
		sum += float64(gray(i))
	}
	middle := float32(sum / float64(n))
	for i := range n {
		for _, p := range planes {
			p[i] = clamp(middle + contrast*(p[i]-middle))
		}
		own := gray(i)
		for c, p := range planes {
			p[i] = (clamp(own+saturation*(p[i]-own)) - mean[c]) / std[c]
		}
	}
}
