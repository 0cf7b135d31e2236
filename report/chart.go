package report

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"path"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/blemish/blemish/fault"
)

// Chart is a drawing made by ROC, PR, Histogram or ConfusionMatrix, ready to be written in any format.
type Chart struct {
	Title string
	Text  string // what the drawing shows, in words: its alternative text

	plot *plot.Plot
}

// Size of a chart, in points, and the resolution of its PNG.
const (
	chartWidth  = 205 * vg.Length(1)
	chartHeight = 172 * vg.Length(1)
	chartDPI    = 288
)

// Colours of charts. Blue and vermilion are from the palette by M. Okabe and K. Ito ("Color universal design", 2008), which stays
// distinguishable with every common kind of colour blindness.
var (
	inkColor   = color.NRGBA{0x1b, 0x1f, 0x24, 255}
	mutedColor = color.NRGBA{0x5d, 0x66, 0x70, 255}
	gridColor  = color.NRGBA{0xe2, 0xe5, 0xe9, 255}
	goodColor  = color.NRGBA{0x00, 0x72, 0xb2, 255}
	badColor   = color.NRGBA{0xd5, 0x5e, 0x00, 255}
)

// themed names the style sheet's variables that stand for the charts' colours inside a page.
var themed = []struct {
	color    color.NRGBA
	variable string
}{
	{inkColor, "var(--ink)"}, {mutedColor, "var(--muted)"}, {gridColor, "var(--grid)"},
	{goodColor, "var(--good)"}, {badColor, "var(--bad)"},
}

func translucent(c color.NRGBA, alpha uint8) color.NRGBA {
	c.A = alpha
	return c
}

// WriteChart writes a chart in the format that name ends in: .svg, .png (opaque, 288 dpi) or .pdf. Equal charts give equal bytes.
// Any other ending is a fault.UnsupportedError; nothing is written on an error.
func WriteChart(w io.Writer, name string, c *Chart) error {
	var canvas vg.CanvasWriterTo
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".svg":
		canvas = vgsvg.New(chartWidth, chartHeight)
	case ".png":
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(chartWidth, chartHeight), vgimg.UseDPI(chartDPI))}
	case ".pdf":
		canvas = vgpdf.New(chartWidth, chartHeight)
	default:
		return &fault.UnsupportedError{What: fmt.Sprintf("chart format %q of %q", ext, name), Hint: "use .svg, .png or .pdf"}
	}
	p := *c.plot
	p.Title.Text = c.Title
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	p.Draw(draw.Crop(page, 5, -8, 5, -6))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return fmt.Errorf("chart %s: %w", name, err)
	}
	_, err := w.Write(undated(out.Bytes()))
	return err
}

var pdfDate = regexp.MustCompile(`/(CreationDate|ModDate) \(D:\d{14}\)`)

// undated replaces the dates that the PDF writer insists on by one of the same length, so that offsets in the file stay right.
func undated(data []byte) []byte {
	if !bytes.HasPrefix(data, []byte("%PDF-")) {
		return data
	}
	return pdfDate.ReplaceAll(data, []byte("/$1 (D:20000101000000)"))
}

// inline renders the chart for a page: no title, no background, no fixed size, and colours that follow the page's theme.
func (c *Chart) inline() (string, error) {
	canvas := vgsvg.New(chartWidth, chartHeight)
	p := *c.plot
	p.Draw(draw.Crop(draw.New(canvas), 0, -2, 0, -2)) // lines on the plot's edges are half outside it
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", err
	}
	body := out.String()
	open := strings.Index(body, "<svg")
	body = body[open+strings.Index(body[open:], ">")+1:]
	for _, t := range themed {
		for _, alpha := range []uint8{255, fillAlpha} {
			body = strings.ReplaceAll(body, ":"+svgColor(translucent(t.color, alpha)), ":"+t.variable)
		}
	}
	body = fontFamily.ReplaceAllString(body, "")
	return fmt.Sprintf(`<svg class="chart" viewBox="0 0 %g %g" aria-hidden="true">`, chartWidth.Points(), chartHeight.Points()) + body, nil
}

var fontFamily = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)

// svgColor is a colour as the SVG canvas prints it: with the rounding that multiplying by alpha and dividing again brings.
func svgColor(c color.Color) string {
	r, g, b, a := c.RGBA()
	part := func(v uint32) int { return int(float64(v) * (255 / float64(a))) }
	return fmt.Sprintf("#%02X%02X%02X", part(r), part(g), part(b))
}

func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	sans := func(size vg.Length) font.Font { return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size} }
	p.Title.TextStyle.Font = sans(11)
	p.Title.TextStyle.Color = inkColor
	p.Title.Padding = 6
	p.Legend.TextStyle.Font = sans(9)
	p.Legend.TextStyle.Color = inkColor
	p.Legend.Padding = 3
	p.Legend.ThumbnailWidth = 14
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font = sans(9.5)
		axis.Label.TextStyle.Color = inkColor
		axis.Label.Padding = 3
		axis.Tick.Label.Font = sans(8.5)
		axis.Tick.Label.Color = mutedColor
		axis.Tick.Color = gridColor
		axis.Tick.Length = 3
		axis.LineStyle.Color = mutedColor
		axis.LineStyle.Width = 0.6
		axis.Padding = 0
	}
	p.Y.Tick.Label.YAlign = text.YCenter
	return p
}

func addGrid(p *plot.Plot) {
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: gridColor, Width: 0.5}
	grid.Vertical = draw.LineStyle{Color: gridColor, Width: 0.5}
	p.Add(grid)
}

func line(points plotter.XYs, style draw.LineStyle) *plotter.Line {
	return &plotter.Line{XYs: points, LineStyle: style}
}

func dashed(c color.Color) draw.LineStyle {
	return draw.LineStyle{Color: c, Width: 1, Dashes: []vg.Length{3, 2.5}}
}
