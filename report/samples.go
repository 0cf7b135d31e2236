package report

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math"
	"path"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// A grid of samples has this shape.
const (
	GridRows    = 3
	GridColumns = 5
)

// Sample is a picture with a classifier's verdict and the truth.
type Sample struct {
	Picture          image.Image
	Predicted, Truth string
}

// Unnormalised is what the network saw, a picture (3,H,W), in the colours of the picture file.
func Unnormalised(x *tensor.Tensor, p transform.Config) image.Image {
	h, w := x.Shape[1], x.Shape[2]
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range h * w {
		var c [3]uint8
		for ch := range c {
			v := float64(x.Data[ch*h*w+i]*p.Std[ch]+p.Mean[ch]) * math.MaxUint8
			c[ch] = uint8(math.Round(min(max(v, 0), math.MaxUint8)))
		}
		out.SetRGBA(i%w, i/w, color.RGBA{c[0], c[1], c[2], math.MaxUint8})
	}
	return out
}

// WriteSamples writes up to fifteen samples in a grid of 3 x 5, each below a title "P: prediction" over "T: truth": blue where they agree,
// vermilion where they do not. The format is that of name: .svg, .png or .pdf. Equal samples give equal bytes.
func WriteSamples(w io.Writer, name string, samples []Sample) error {
	if len(samples) == 0 || len(samples) > GridRows*GridColumns {
		return fmt.Errorf("%d samples: a grid has place for 1 to %d", len(samples), GridRows*GridColumns)
	}
	const side, title, gap = 90, 24, 8 // points
	width := vg.Length(GridColumns*(side+gap) + gap)
	height := vg.Length(GridRows*(side+title+gap) + gap)
	var canvas vg.CanvasWriterTo
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".svg":
		canvas = vgsvg.New(width, height)
	case ".png":
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(144))}
	case ".pdf":
		canvas = vgpdf.New(width, height)
	default:
		return &fault.UnsupportedError{What: fmt.Sprintf("chart format %q of %q", ext, name), Hint: "use .svg, .png or .pdf"}
	}
	page := vgdraw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	style := text.Style{
		Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: 8.5}, XAlign: text.XCenter, YAlign: text.YTop, Handler: plot.DefaultTextHandler,
	}
	for i, s := range samples {
		b := s.Picture.Bounds()
		if b.Empty() {
			return errors.New("a sample's picture has no pixels")
		}
		x := vg.Length(gap + i%GridColumns*(side+gap))
		y := height - vg.Length(gap+i/GridColumns*(side+title+gap)) // of the upper edge
		style.Color = goodColor
		if s.Predicted != s.Truth {
			style.Color = badColor
		}
		page.FillText(style, vg.Point{X: x + side/2, Y: y}, "P: "+short(s.Predicted)+"\nT: "+short(s.Truth))
		scale := side / vg.Length(max(b.Dx(), b.Dy())) // the longer side fills the cell
		across, down := scale*vg.Length(b.Dx()), scale*vg.Length(b.Dy())
		middle := vg.Point{X: x + side/2, Y: y - title - side/2}
		page.DrawImage(vg.Rectangle{
			Min: vg.Point{X: middle.X - across/2, Y: middle.Y - down/2}, Max: vg.Point{X: middle.X + across/2, Y: middle.Y + down/2},
		}, s.Picture)
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return fmt.Errorf("samples %s: %w", name, err)
	}
	_, err := w.Write(undated(out.Bytes()))
	return err
}

// sampleViews are the page's grid of samples.
func sampleViews(samples []Sample) ([]sampleView, error) {
	if len(samples) > GridRows*GridColumns {
		return nil, fmt.Errorf("%d samples: a grid has place for up to %d", len(samples), GridRows*GridColumns)
	}
	var views []sampleView
	for _, s := range samples {
		b := s.Picture.Bounds()
		if b.Empty() {
			return nil, errors.New("a sample's picture has no pixels")
		}
		plain := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
		draw.Draw(plain, plain.Rect, s.Picture, b.Min, draw.Src)
		w, h := displaySize(b.Dx(), b.Dy(), sampleSide)
		jpeg, err := encodeJPEG(shrinkImage(plain, w, h))
		if err != nil {
			return nil, err
		}
		v := sampleView{
			Picture: source(jpeg), Width: w, Height: h, Predicted: s.Predicted, Truth: s.Truth, Class: "right",
			Alt: fmt.Sprintf("Sample: predicted %s, truly %s", s.Predicted, s.Truth),
		}
		if s.Predicted != s.Truth {
			v.Class = "wrong"
		}
		views = append(views, v)
	}
	return views, nil
}

// sampleSide is the most pixels of a sample on the page: enough for a sharp screen.
const sampleSide = 220

// short fits a class name above a picture.
func short(name string) string { return elide(printable(name), 18) }
