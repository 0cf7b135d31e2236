package report

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/tensor"
)

// Scale says how raw map values are displayed. It never changes a score, a map or a verdict.
type Scale struct {
	Low  float64 // shown transparent, as is everything below
	High float64 // shown brightest and most opaque, as is everything above

	Threshold *float64 // regions of values above it are outlined; nil: no outlines
}

// NewScale is the scale that reports use: transparent up to the median pixel of good pictures, and the threshold in the middle
// of the colours, so that what is called defective is shown in the brighter half.
func NewScale(medianGoodPixel, pixelThreshold float64) Scale {
	return Scale{Low: medianGoodPixel, High: medianGoodPixel + 2*(pixelThreshold-medianGoodPixel), Threshold: &pixelThreshold}
}

// position maps a raw value to the range 0 to 1 of the colours. A value that is not a number shows as the highest, since hiding
// it would be worse.
func (s Scale) position(v float32) float64 {
	switch x := float64(v); {
	case math.IsNaN(x) || x >= s.High && x > s.Low:
		return 1
	case x <= s.Low:
		return 0
	default:
		return (x - s.Low) / (s.High - s.Low)
	}
}

// maxOpacity leaves the picture's structure visible below the hottest spots.
const maxOpacity = 0.85

// opacity starts at zero, so that what is normal looks as it is.
func opacity(position float64) float64 { return maxOpacity * position }

// Overlay draws a raw anomaly map (H,W) over its picture of H x W pixels: the picture in gray, the map in the inferno colours,
// more opaque where it is higher, and a white line with a black rim around regions above the scale's threshold. Values outside
// the scale show as its ends. It panics if sizes differ: a model's maps have their pictures' size. O(H·W).
func Overlay(picture *imageio.Picture, m *tensor.Tensor, scale Scale) *image.RGBA {
	if len(m.Shape) != 2 || m.Shape[0] != picture.Height || m.Shape[1] != picture.Width {
		panic(fmt.Sprintf("report: map of shape %v over a picture of %dx%d", m.Shape, picture.Width, picture.Height))
	}
	out := toRGBA(picture)
	paintHeat(out, m.Data, scale)
	if scale.Threshold != nil {
		thickness := max(1, max(picture.Width, picture.Height)/400)
		strokeRegions(out, above(m.Data, *scale.Threshold), thickness)
	}
	return out
}

// Mask draws the pixels of a raw map (H,W) whose values are above the threshold in white, the others in black.
func Mask(m *tensor.Tensor, threshold float64) *image.Gray {
	h, w := m.Shape[0], m.Shape[1]
	out := image.NewGray(image.Rect(0, 0, w, h))
	for i, in := range above(m.Data, threshold) {
		out.Pix[i] = 255 * in
	}
	return out
}

// above marks values beyond the threshold with 1, compared as metric.Regions does.
func above(values []float32, threshold float64) []uint8 {
	out := make([]uint8, len(values))
	for i, v := range values {
		if v > float32(threshold) {
			out[i] = 1
		}
	}
	return out
}

func toRGBA(p *imageio.Picture) *image.RGBA {
	src := p.Image()
	out := image.NewRGBA(src.Bounds())
	draw.Draw(out, out.Bounds(), src, image.Point{}, draw.Src)
	return out
}

// paintHeat turns an opaque picture gray and blends the map over it.
func paintHeat(img *image.RGBA, values []float32, scale Scale) {
	colors := inferno()
	for i, v := range values {
		px := img.Pix[4*i : 4*i+4 : 4*i+4]
		gray := float64(color.GrayModel.Convert(color.RGBA{R: px[0], G: px[1], B: px[2], A: 255}).(color.Gray).Y)
		t := scale.position(v)
		a := opacity(t)
		c := colors[int(math.Round(255*t))]
		px[0] = blend(gray, c.R, a)
		px[1] = blend(gray, c.G, a)
		px[2] = blend(gray, c.B, a)
	}
}

func blend(under float64, over uint8, opacity float64) uint8 {
	return uint8(math.Round(float64((1-opacity)*under) + float64(opacity*float64(over))))
}

// strokeRegions draws a white line along the inside of the marked regions' borders and a black one along the outside.
func strokeRegions(img *image.RGBA, region []uint8, thickness int) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	sums := newIntegral(region, w, h)
	for y := range h {
		for x := range w {
			i := y*w + x
			marked, all := sums.around(x, y, thickness)
			switch {
			case region[i] == 1 && marked < all:
				copy(img.Pix[4*i:], []uint8{255, 255, 255, 255})
			case region[i] == 0 && marked > 0:
				copy(img.Pix[4*i:], []uint8{0, 0, 0, 255})
			}
		}
	}
}

// integral holds sums over the rectangles between the picture's upper left corner and each pixel.
type integral struct {
	w, h int
	sum  []int32 // (h+1) x (w+1)
}

func newIntegral(mask []uint8, w, h int) integral {
	s := integral{w: w, h: h, sum: make([]int32, (w+1)*(h+1))}
	for y := range h {
		row := int32(0)
		for x := range w {
			row += int32(mask[y*w+x])
			s.sum[(y+1)*(w+1)+x+1] = s.sum[y*(w+1)+x+1] + row
		}
	}
	return s
}

// around counts the marked pixels in the square of radius r around (x,y), and all its pixels. What lies outside the picture counts
// as unmarked, so that outlines close along the edge.
func (s integral) around(x, y, r int) (marked, all int) {
	x0, y0, x1, y1 := max(x-r, 0), max(y-r, 0), min(x+r+1, s.w), min(y+r+1, s.h)
	at := func(x, y int) int32 { return s.sum[y*(s.w+1)+x] }
	return int(at(x1, y1) - at(x0, y1) - at(x1, y0) + at(x0, y0)), (2*r + 1) * (2*r + 1)
}
