// Package transform prepares pictures for a network as torchvision and Pillow do, and brings anomaly maps back to the pictures' own size.
package transform

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/tensor"
)

// Mode is how a picture gets the size that a network sees. A picture's shape changes only under Exact.
type Mode string

const (
	Shorter   Mode = "shorter"   // the shorter side becomes Size, the longer follows the picture's shape
	Letterbox Mode = "letterbox" // scaled to fit into Height x Width and centred; the rest is the mean colour
	Exact     Mode = "exact"     // squashed to Height x Width
	None      Mode = "none"      // left as it is
)

// Config is a preprocessing, stored in the model file and applied again to every picture.
type Config struct {
	Resize        Mode          `json:"resize"`
	Size          int           `json:"size,omitempty"`   // pixels of the shorter side, for Shorter
	Height        int           `json:"height,omitempty"` // for Letterbox and Exact
	Width         int           `json:"width,omitempty"`
	Interpolation Interpolation `json:"interpolation"`
	CropHeight    int           `json:"crop_height,omitempty"` // centre crop after resizing; 0 for none
	CropWidth     int           `json:"crop_width,omitempty"`
	Mean          [3]float32    `json:"mean"` // subtracted from samples scaled to 0..1
	Std           [3]float32    `json:"std"`  // what they are then divided by
}

// DefaultConfig resizes the shorter side to 256 and normalises by ImageNet's mean and deviation.
func DefaultConfig() Config {
	return Config{
		Resize: Shorter, Size: 256, Interpolation: Bilinear,
		Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225},
	}
}

// maxSide bounds the sides of what a network sees, so that a hostile configuration cannot ask for any amount of memory.
const maxSide = 1 << 14

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	side := func(field string, v int) error {
		if v < 1 || v > maxSide {
			return &fault.ConfigError{Field: field, Value: v, Reason: fmt.Sprintf("want 1 to %d pixels", maxSide)}
		}
		return nil
	}
	var err error
	switch c.Resize {
	case Shorter:
		err = side("size", c.Size)
	case Letterbox, Exact:
		if err = side("height", c.Height); err == nil {
			err = side("width", c.Width)
		}
	case None:
	default:
		err = &fault.ConfigError{Field: "resize", Value: string(c.Resize), Reason: "known are shorter, letterbox, exact and none"}
	}
	if err != nil {
		return err
	}
	if c.Interpolation != Bilinear && c.Interpolation != Bicubic && c.Interpolation != Nearest {
		return &fault.ConfigError{Field: "interpolation", Value: string(c.Interpolation), Reason: "known are bilinear, bicubic and nearest"}
	}
	if (c.CropHeight == 0) != (c.CropWidth == 0) || c.CropHeight < 0 || c.CropWidth < 0 {
		return &fault.ConfigError{Field: "crop", Value: [2]int{c.CropHeight, c.CropWidth}, Reason: "want both sides or neither"}
	}
	if c.CropHeight > maxSide || c.CropWidth > maxSide {
		return &fault.ConfigError{Field: "crop", Value: [2]int{c.CropHeight, c.CropWidth}, Reason: fmt.Sprintf("want at most %d pixels a side", maxSide)}
	}
	for i, s := range c.Std {
		if !(s > 0) || math.IsInf(float64(s), 0) || math.IsNaN(float64(c.Mean[i])) || math.IsInf(float64(c.Mean[i]), 0) {
			return &fault.ConfigError{Field: "mean and std", Value: [2]float32{c.Mean[i], s}, Reason: "want finite numbers and a positive std"}
		}
	}
	return nil
}

// scaled is the size after resizing. Shorter rounds the longer side down, as torchvision does.
func (c Config) scaled(width, height int) (int, int) {
	switch c.Resize {
	case Shorter:
		if width <= height {
			return c.Size, max(1, int(int64(c.Size)*int64(height)/int64(width)))
		}
		return max(1, int(int64(c.Size)*int64(width)/int64(height))), c.Size
	case Letterbox:
		f := min(float64(c.Width)/float64(width), float64(c.Height)/float64(height))
		return max(1, min(c.Width, int(math.Round(f*float64(width))))), max(1, min(c.Height, int(math.Round(f*float64(height)))))
	case Exact:
		return c.Width, c.Height
	}
	return width, height
}

// Apply returns the picture as (3,H,W), normalised, gray in all three channels, and how to find the way back. It refuses a picture
// whose longer side would exceed 16384 pixels.
func (c Config) Apply(p *imageio.Picture) (*tensor.Tensor, Geometry, error) {
	w, h := c.scaled(p.Width, p.Height)
	if w > maxSide || h > maxSide {
		return nil, Geometry{}, &fault.LimitError{
			What:  fmt.Sprintf("a %dx%d picture, resized to %dx%d,", p.Width, p.Height, w, h),
			Limit: fmt.Sprintf("%d pixels a side; use a smaller size, or letterbox", maxSide),
		}
	}
	g := Geometry{pictureW: p.Width, pictureH: p.Height, scaledW: w, scaledH: h, netW: w, netH: h}
	scaled, err := Resize(p, w, h, c.Interpolation)
	if err != nil {
		return nil, Geometry{}, err
	}
	if c.Resize == Letterbox {
		g.place(c.Width, c.Height)
	}
	if c.CropWidth > 0 {
		g.place(c.CropWidth, c.CropHeight)
	}
	return c.normalise(scaled, g), g, nil
}

// normalise copies the part of the scaled picture that the network sees; what lies outside the picture stays zero, the mean colour.
func (c Config) normalise(p *imageio.Picture, g Geometry) *tensor.Tensor {
	out := tensor.New(3, g.netH, g.netW)
	plane := g.netH * g.netW
	x0, x1 := max(0, -g.offsetX), min(g.netW, g.scaledW-g.offsetX)
	var table [3][256]float32
	if p.Depth == 8 {
		for ch := range 3 {
			for v := range 256 {
				table[ch][v] = (float32(v)/math.MaxUint8 - c.Mean[ch]) / c.Std[ch]
			}
		}
	}
	for ch := range 3 {
		from := ch % p.Channels
		for y := max(0, -g.offsetY); y < min(g.netH, g.scaledH-g.offsetY); y++ {
			at := ((y+g.offsetY)*p.Width+x0+g.offsetX)*p.Channels + from
			row := out.Data[ch*plane+y*g.netW+x0 : ch*plane+y*g.netW+x1]
			if p.Depth == 8 {
				for i := range row {
					row[i] = table[ch][p.Pix8[at]]
					at += p.Channels
				}
				continue
			}
			for i := range row {
				row[i] = (float32(p.Pix16[at])/math.MaxUint16 - c.Mean[ch]) / c.Std[ch]
				at += p.Channels
			}
		}
	}
	return out
}
