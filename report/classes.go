package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/fault"
)

// Cells says what stands in the cells of a classifier's confusion matrix.
type Cells string

const (
	CellCounts    Cells = "counts"
	CellFractions Cells = "fractions" // of the truth's pictures
	CellBoth      Cells = "both"
)

// ClassMatrix draws a classifier's confusion matrix: a row for the truth, the first class at the top, a column for the verdict. Cells are
// darker where they hold more of their row; on dark cells the text is white. Many classes, or long names, are written smaller, and across.
func ClassMatrix(c blemish.ClassEvaluation, show Cells) (*Chart, error) {
	if show != CellCounts && show != CellFractions && show != CellBoth {
		return nil, &fault.ConfigError{Field: "cells", Value: string(show), Reason: "known are counts, fractions and both"}
	}
	n := len(c.Classes)
	if n == 0 || len(c.Confusion) != n {
		return nil, &fault.ShapeError{What: "confusion matrix", Want: "a row for each class", Got: []int{len(c.Confusion), n}}
	}
	p := newPlot()
	l := layOut(p.X.Tick.Label, c.Classes)
	var across, down plot.ConstantTicks
	for k, row := range c.Confusion {
		if len(row) != n {
			return nil, &fault.ShapeError{What: "confusion matrix", Want: "a column for each class", Got: []int{n, len(row)}}
		}
		across = append(across, plot.Tick{Value: float64(k) + 0.5, Label: l.columns[k]})
		down = append(down, plot.Tick{Value: float64(n-k) - 0.5, Label: l.rows[k]})
		sum := 0
		for _, v := range row {
			sum += v
		}
		for j, v := range row {
			part := 0.0
			if sum > 0 {
				part = float64(v) / float64(sum)
			}
			x, y := float64(j), float64(n-1-k)
			cell, err := plotter.NewPolygon(plotter.XYs{{X: x, Y: y}, {X: x + 1, Y: y}, {X: x + 1, Y: y + 1}, {X: x, Y: y + 1}})
			if err != nil {
				return nil, err
			}
			cell.Color = shade(part)
			cell.LineStyle.Color, cell.LineStyle.Width = gridColor, 0.5
			p.Add(cell)
			of := share(v, sum)
			if n > 4 && sum > 0 { // no place for decimals
				of = fmt.Sprintf("%.0f %%", 100*part)
			}
			for _, t := range cellTexts(show, v, of) {
				label := cellText(x+0.5, y+t.height, t.text, float64(l.size(p.X.Tick.Label, show, t)))
				if label.TextStyle[0].Color = lightInk; dark(part) {
					label.TextStyle[0].Color = color.White
				}
				p.Add(label)
			}
		}
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, float64(n), 0, float64(n)
	p.X.Label.Text, p.Y.Label.Text = "verdict", "truth"
	p.X.Tick.Marker, p.Y.Tick.Marker = across, down
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Width, axis.Tick.LineStyle.Width = 0, 0
	}
	const upwards = math.Pi / 2
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = l.columnSize, l.rowSize
	if l.turned {
		p.X.Padding = 4 // its text is measured as if it lay
		p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = upwards, text.XRight, text.YCenter
	}
	if !l.lying {
		p.Y.Tick.Label.Rotation, p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = upwards, text.XCenter, text.YBottom
	}
	return &Chart{
		Title: map[Cells]string{CellCounts: "Classes, pictures", CellFractions: "Classes, shares", CellBoth: "Classes"}[show],
		Text:  fmt.Sprintf("Confusion matrix of %d classes: accuracy %.2f %%, balanced accuracy %.2f %%.", n, 100*c.Accuracy, 100*c.BalancedAccuracy),
		plot:  p,
	}, nil
}

type cellLine struct {
	text          string
	height, scale float64 // in the cell
}

func cellTexts(show Cells, count int, part string) []cellLine {
	switch show {
	case CellCounts:
		return []cellLine{{fmt.Sprint(count), 0.5, 1}}
	case CellFractions:
		return []cellLine{{part, 0.5, 0.8}}
	}
	return []cellLine{{fmt.Sprint(count), 0.64, 1}, {part, 0.27, 0.65}}
}

// darkest is the colour of a cell that holds all of its row: a deeper blue than the charts' other, which white text stands out from, and which
// no theme of a page replaces.
var darkest = color.NRGBA{0x00, 0x4b, 0x87, 255}

// lightInk is the text of light cells in every theme: not the ink that follows it.
var lightInk = color.NRGBA{0x1b, 0x1f, 0x25, 255}

// shade goes from white to the darkest blue.
func shade(part float64) color.NRGBA {
	mix := func(to uint8) uint8 { return uint8(255 + part*(float64(to)-255) + 0.5) }
	return color.NRGBA{mix(darkest.R), mix(darkest.G), mix(darkest.B), 255}
}

// dark says that white text stands out more than ink does, by WCAG's contrast ratio.
func dark(part float64) bool {
	l := luminance(shade(part)) + 0.05
	return 1.05/l > l/(luminance(lightInk)+0.05)
}

// luminance of a colour in sRGB, from 0 to 1, as WCAG 2.2 defines it.
func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / math.MaxUint8
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}
