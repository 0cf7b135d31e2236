// Package imageio reads and writes pictures: PNG, JPEG, BMP, TIFF and WebP, 8 and 16 bit, gray, palette, RGB and alpha,
// upright by their EXIF orientation. It also keeps masks and raw anomaly maps.
package imageio

import (
	"image"
	"image/color"
	"math"
)

// Picture is a decoded picture: interleaved samples, row by row, top to bottom.
type Picture struct {
	Width, Height int
	Channels      int      // 1 (gray) or 3 (RGB)
	Depth         int      // bits a sample: 8 or 16
	Pix8          []uint8  // Width·Height·Channels samples if Depth is 8, else nil
	Pix16         []uint16 // likewise if Depth is 16
}

// New returns a black picture.
func New(width, height, channels, depth int) *Picture {
	p := &Picture{Width: width, Height: height, Channels: channels, Depth: depth}
	if depth == 16 {
		p.Pix16 = make([]uint16, width*height*channels)
	} else {
		p.Pix8 = make([]uint8, width*height*channels)
	}
	return p
}

// Image returns the picture as an image.Image of the same depth, sharing no memory.
func (p *Picture) Image() image.Image {
	r := image.Rect(0, 0, p.Width, p.Height)
	switch {
	case p.Depth == 8 && p.Channels == 1:
		out := image.NewGray(r)
		copy(out.Pix, p.Pix8)
		return out
	case p.Depth == 8:
		out := image.NewNRGBA(r)
		for i, j := 0, 0; i < len(p.Pix8); i, j = i+3, j+4 {
			out.Pix[j], out.Pix[j+1], out.Pix[j+2], out.Pix[j+3] = p.Pix8[i], p.Pix8[i+1], p.Pix8[i+2], 255
		}
		return out
	case p.Channels == 1:
		out := image.NewGray16(r)
		for i, v := range p.Pix16 {
			out.Pix[2*i], out.Pix[2*i+1] = uint8(v>>8), uint8(v)
		}
		return out
	default:
		out := image.NewNRGBA64(r)
		for i, j := 0, 0; i < len(p.Pix16); i, j = i+3, j+8 {
			for c := range 3 {
				out.Pix[j+2*c], out.Pix[j+2*c+1] = uint8(p.Pix16[i+c]>>8), uint8(p.Pix16[i+c])
			}
			out.Pix[j+6], out.Pix[j+7] = 255, 255
		}
		return out
	}
}

// FromImage copies an image. Gray stays gray; 16-bit depth is kept; alpha is ignored, as Pillow's convert("RGB") ignores it:
// the colour under a transparent pixel is its stored, not pre-multiplied, colour.
func FromImage(img image.Image) *Picture {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	switch src := img.(type) {
	case *image.Gray:
		p := New(w, h, 1, 8)
		for y := range h {
			copy(p.Pix8[y*w:(y+1)*w], src.Pix[y*src.Stride:])
		}
		return p
	case *image.Gray16:
		p := New(w, h, 1, 16)
		for y := range h {
			row := src.Pix[y*src.Stride:]
			for x := range w {
				p.Pix16[y*w+x] = uint16(row[2*x])<<8 | uint16(row[2*x+1])
			}
		}
		return p
	case *image.NRGBA:
		return fromRGBA8(src.Pix, src.Stride, w, h)
	case *image.RGBA: // decoders return it for opaque pictures, where pre-multiplying changes nothing
		if src.Opaque() {
			return fromRGBA8(src.Pix, src.Stride, w, h)
		}
	case *image.YCbCr:
		p := New(w, h, 3, 8)
		for y := range h {
			for x := range w {
				yi, ci := src.YOffset(b.Min.X+x, b.Min.Y+y), src.COffset(b.Min.X+x, b.Min.Y+y)
				o := (y*w + x) * 3
				p.Pix8[o], p.Pix8[o+1], p.Pix8[o+2] = color.YCbCrToRGB(src.Y[yi], src.Cb[ci], src.Cr[ci])
			}
		}
		return p
	case *image.Paletted:
		return fromPalette(src, w, h)
	case *image.NRGBA64, *image.RGBA64:
		p := New(w, h, 3, 16)
		for y := range h {
			for x := range w {
				c := color.NRGBA64Model.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA64)
				o := (y*w + x) * 3
				p.Pix16[o], p.Pix16[o+1], p.Pix16[o+2] = c.R, c.G, c.B
			}
		}
		return p
	}
	p := New(w, h, 3, 8)
	for y := range h {
		for x := range w {
			c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			o := (y*w + x) * 3
			p.Pix8[o], p.Pix8[o+1], p.Pix8[o+2] = c.R, c.G, c.B
		}
	}
	return p
}

// studioRange converts what the WebP decoder returns for lossy pictures: it calls their samples YCbCr, which Go takes for JPEG's full range, but
// VP8's are ITU-R BT.601's studio range, luma 16 to 235. Alpha is dropped. (RFC 6386, 9.2; libwebp's VP8YUVToR and its kin)
func studioRange(img image.Image) image.Image {
	var src *image.YCbCr
	switch i := img.(type) {
	case *image.YCbCr:
		src = i
	case *image.NYCbCrA:
		src = &i.YCbCr
	default:
		return img
	}
	b := src.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			yi, ci := src.YOffset(b.Min.X+x, b.Min.Y+y), src.COffset(b.Min.X+x, b.Min.Y+y)
			luma := 1.164383 * (float64(src.Y[yi]) - 16)
			cb, cr := float64(src.Cb[ci])-128, float64(src.Cr[ci])-128
			p := out.Pix[out.PixOffset(x, y):]
			p[0] = level(luma + 1.596027*cr)
			p[1] = level(luma - 0.391762*cb - 0.812968*cr)
			p[2] = level(luma + 2.017232*cb)
			p[3] = 255
		}
	}
	return out
}

func level(v float64) uint8 { return uint8(math.Round(min(max(v, 0), math.MaxUint8))) }

func fromRGBA8(pix []uint8, stride, w, h int) *Picture {
	p := New(w, h, 3, 8)
	for y := range h {
		row := pix[y*stride:]
		out := p.Pix8[y*w*3 : (y+1)*w*3]
		for x := range w {
			out[3*x], out[3*x+1], out[3*x+2] = row[4*x], row[4*x+1], row[4*x+2]
		}
	}
	return p
}

// fromPalette keeps a palette of grays gray.
func fromPalette(src *image.Paletted, w, h int) *Picture {
	table := make([]color.NRGBA, len(src.Palette))
	gray := true
	for i, c := range src.Palette {
		table[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		gray = gray && table[i].R == table[i].G && table[i].G == table[i].B
	}
	channels := 3
	if gray {
		channels = 1
	}
	p := New(w, h, channels, 8)
	for y := range h {
		for x := range w {
			c := table[src.Pix[y*src.Stride+x]]
			o := (y*w + x) * channels
			p.Pix8[o] = c.R
			if channels == 3 {
				p.Pix8[o+1], p.Pix8[o+2] = c.G, c.B
			}
		}
	}
	return p
}
