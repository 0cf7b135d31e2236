package report

import (
	"fmt"
	"image/color"

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
// darker where they hold more of their row; on dark cells the text is white.
func ClassMatrix(c blemish.ClassEvaluation, show Cells) (*Chart, error) {
	if show != CellCounts && show != CellFractions && show != CellBoth {
		return nil, &fault.ConfigError{Field: "cells", Value: string(show), Reason: "known are counts, fractions and both"}
	}
	n := len(c.Classes)
	if n == 0 || len(c.Confusion) != n {
		return nil, &fault.ShapeError{What: "confusion matrix", Want: "a row for each class", Got: []int{len(c.Confusion), n}}
	}
	p := newPlot()
	size := min(14, 34/float64(n)+3)
	var across, down plot.ConstantTicks
	for k, row := range c.Confusion {
		if len(row) != n {
			return nil, &fault.ShapeError{What: "confusion matrix", Want: "a column for each class", Got: []int{n, len(row)}}
		}
		across = append(across, plot.Tick{Value: float64(k) + 0.5, Label: short(c.Classes[k])})
		down = append(down, plot.Tick{Value: float64(n-k) - 0.5, Label: short(c.Classes[k])})
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
			for _, t := range cellTexts(show, v, share(v, sum)) {
				label := cellText(x+0.5, y+t.height, t.text, size*t.scale)
				if dark(part) {
					label.TextStyle[0].Color = color.White
				} else {
					label.TextStyle[0].Color = color.NRGBA{0x1b, 0x1f, 0x25, 255} // on a light cell in every theme: not the ink that follows it
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
	p.Y.Tick.Label.Rotation = 1.5707963267948966
	p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = text.XCenter, text.YBottom
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
	return []cellLine{{fmt.Sprint(count), 0.6, 1}, {part, 0.3, 0.65}}
}

// shade goes from white to the charts' blue.
func shade(part float64) color.NRGBA {
	mix := func(to uint8) uint8 { return uint8(255 + part*(float64(to)-255) + 0.5) }
	return color.NRGBA{mix(goodColor.R), mix(goodColor.G), mix(goodColor.B), 255}
}

// dark says that white text is easier to read than black.
func dark(part float64) bool { return part > 0.5 }
