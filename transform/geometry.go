package transform

import (
	"math"

	"github.com/blemish/blemish/tensor"
)

// Geometry is where a picture's pixels lie in what the network sees: the picture is scaled, then a window of it is taken.
type Geometry struct {
	pictureW, pictureH int
	scaledW, scaledH   int
	offsetX, offsetY   int // of the window in the scaled picture; negative where a letterbox pads
	netW, netH         int // size of the window
}

// place takes a centred window of the present one, rounding as torchvision's CenterCrop does.
func (g *Geometry) place(width, height int) {
	g.offsetX += centre(g.netW, width)
	g.offsetY += centre(g.netH, height)
	g.netW, g.netH = width, height
}

// centre is the offset of a window of size inner in one of size outer: round((outer-inner)/2), half to even, when cropping;
// padding puts the odd pixel at the end.
func centre(outer, inner int) int {
	if inner <= outer {
		return int(math.RoundToEven(float64(outer-inner) / 2))
	}
	return -((inner - outer) / 2)
}

// MapBack brings a map (H,W) at the network's size back to the picture's own size, bilinearly (pixel centres, no corner alignment).
// Pixels that were cropped away were never judged: they get the map's minimum.
func (g Geometry) MapBack(m *tensor.Tensor) *tensor.Tensor {
	if m.Shape[0] != g.netH || m.Shape[1] != g.netW {
		panic("transform: MapBack of a map that is not of the network's size")
	}
	if g.pictureW == g.netW && g.pictureH == g.netH && g.offsetX == 0 && g.offsetY == 0 {
		return m.Clone()
	}
	xs := backTaps(g.pictureW, g.scaledW, g.offsetX, g.netW)
	ys := backTaps(g.pictureH, g.scaledH, g.offsetY, g.netH)
	lowest := m.Data[0]
	for _, v := range m.Data {
		lowest = min(lowest, v)
	}
	out := tensor.New(g.pictureH, g.pictureW)
	line := make([]float32, g.netW)
	for y, ty := range ys {
		row := out.Data[y*g.pictureW:][:g.pictureW]
		if ty.outside {
			for x := range row {
				row[x] = lowest
			}
			continue
		}
		upper, lower := m.Data[ty.lo*g.netW:][:g.netW], m.Data[ty.hi*g.netW:][:g.netW]
		for i := range line {
			line[i] = upper[i] + (lower[i]-upper[i])*ty.w
		}
		for x, tx := range xs {
			if tx.outside {
				row[x] = lowest
				continue
			}
			row[x] = line[tx.lo] + (line[tx.hi]-line[tx.lo])*tx.w
		}
	}
	return out
}

// lerp is an interpolation between two positions: (1-w)·lo + w·hi.
type lerp struct {
	lo, hi  int
	w       float32
	outside bool // beyond the window
}

func backTaps(picture, scaled, offset, net int) []lerp {
	first, last := max(0, -offset), min(net, scaled-offset)-1 // the window's positions that show the picture
	out := make([]lerp, picture)
	f := float64(scaled) / float64(picture)
	for i := range out {
		at := (float64(i)+0.5)*f - float64(offset) // in window pixels, at the pixel's centre
		out[i] = lerpAt(at-0.5, first, last)
		out[i].outside = at < float64(first) || at > float64(last+1)
	}
	return out
}

// lerpAt interpolates at position x, clamped to [first,last].
func lerpAt(x float64, first, last int) lerp {
	x = min(max(x, float64(first)), float64(last))
	lo := int(math.Floor(x))
	return lerp{lo: lo, hi: min(lo+1, last), w: float32(x - float64(lo))}
}
