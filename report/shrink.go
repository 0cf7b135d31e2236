package report

import (
	"cmp"
	"image"
	"math"

	xdraw "golang.org/x/image/draw"
)

// displaySize returns the size at which a picture of w x h pixels is shown: the longer side at most longest, never enlarged.
func displaySize(w, h, longest int) (int, int) {
	long := max(w, h)
	if long <= longest {
		return w, h
	}
	fit := func(side int) int {
		return max(1, int(math.Round(float64(side)*float64(longest)/float64(long))))
	}
	return fit(w), fit(h)
}

func shrinkImage(src *image.RGBA, w, h int) *image.RGBA {
	if src.Rect.Dx() == w && src.Rect.Dy() == h {
		return src
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	xdraw.CatmullRom.Scale(out, out.Rect, src, src.Rect, xdraw.Src, nil)
	return out
}

// shrinkMax reduces a grid of srcW x srcH values to w x h, which must not be larger. Each value becomes the greatest of those it covers, so that no defect,
// however small, disappears.
func shrinkMax[T cmp.Ordered](src []T, srcW, srcH, w, h int) []T {
	if w == srcW && h == srcH {
		return src
	}
	out := make([]T, w*h)
	for y := range h {
		y0, y1 := y*srcH/h, (y+1)*srcH/h
		for x := range w {
			x0, x1 := x*srcW/w, (x+1)*srcW/w
			best := src[y0*srcW+x0]
			for sy := y0; sy < y1; sy++ {
				for _, v := range src[sy*srcW+x0 : sy*srcW+x1] {
					best = max(best, v)
				}
			}
			out[y*w+x] = best
		}
	}
	return out
}
