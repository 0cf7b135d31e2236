package transform

import (
	"fmt"
	"math/rand/v2"

	"github.com/blemish/blemish/imageio"
)

// Crop cuts a width x height window out of a picture, its upper left corner at (x,y). A window that leaves the picture is refused:
// torchvision would pad it with black, which no part ever looks like.
func Crop(p *imageio.Picture, x, y, width, height int) (*imageio.Picture, error) {
	if x < 0 || y < 0 || width < 1 || height < 1 || width > p.Width-x || height > p.Height-y {
		return nil, fmt.Errorf("cropping %dx%d at (%d,%d) from a %dx%d picture: the window does not lie inside; resize to a larger size first",
			width, height, x, y, p.Width, p.Height)
	}
	out := imageio.New(width, height, p.Channels, p.Depth)
	row := width * p.Channels
	for i := range height {
		from := ((y+i)*p.Width + x) * p.Channels
		if p.Depth == 8 {
			copy(out.Pix8[i*row:(i+1)*row], p.Pix8[from:])
		} else {
			copy(out.Pix16[i*row:(i+1)*row], p.Pix16[from:])
		}
	}
	return out, nil
}

// CenterCrop cuts the middle out, rounding as torchvision's CenterCrop does: half to even.
func CenterCrop(p *imageio.Picture, width, height int) (*imageio.Picture, error) {
	return Crop(p, centre(p.Width, width), centre(p.Height, height), width, height)
}

// RandomCrop cuts a window out at a place drawn uniformly from all where it fits.
func RandomCrop(p *imageio.Picture, width, height int, rng *rand.Rand) (*imageio.Picture, error) {
	if width > p.Width || height > p.Height {
		return Crop(p, 0, 0, width, height) // the error
	}
	return Crop(p, rng.IntN(p.Width-width+1), rng.IntN(p.Height-height+1), width, height)
}

// FlipHorizontal swaps left and right.
func FlipHorizontal(p *imageio.Picture) *imageio.Picture {
	return permute(p, func(x, y int) (int, int) { return p.Width - 1 - x, y })
}

// FlipVertical swaps top and bottom.
func FlipVertical(p *imageio.Picture) *imageio.Picture {
	return permute(p, func(x, y int) (int, int) { return x, p.Height - 1 - y })
}

// permute makes a picture of the same size whose pixel (x,y) is the one at from(x,y).
func permute(p *imageio.Picture, from func(x, y int) (int, int)) *imageio.Picture {
	out := imageio.New(p.Width, p.Height, p.Channels, p.Depth)
	for y := range p.Height {
		for x := range p.Width {
			fx, fy := from(x, y)
			to, at := (y*p.Width+x)*p.Channels, (fy*p.Width+fx)*p.Channels
			if p.Depth == 8 {
				copy(out.Pix8[to:to+p.Channels], p.Pix8[at:])
			} else {
				copy(out.Pix16[to:to+p.Channels], p.Pix16[at:])
			}
		}
	}
	return out
}
