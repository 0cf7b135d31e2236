package report

import (
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// matrixLayout is how a confusion matrix' classes are named so that no name runs into another, and how much place a cell has for its text.
type matrixLayout struct {
	columns, rows         []string // names, shortened where they must be
	columnSize, rowSize   vg.Length
	turned, lying         bool // columns' names stand upright, rows' names lie
	cellWidth, cellHeight vg.Length
}

// layOut starts with columns' names that lie below them and rows' names that stand beside them.
func layOut(style text.Style, classes []string) matrixLayout {
	const (
		width, height = 174, 122 // of the cells and the names beside them
		band, most    = 11, 58   // of names along an axis, and across it
		gap           = 4
	)
	names := make([]string, len(classes))
	widest := vg.Length(0)
	for k, c := range classes {
		names[k] = printable(c)
		widest = max(widest, style.Width(names[k]))
	}
	n := vg.Length(len(classes))
	beside := func(across bool) vg.Length {
		if across {
			return min(widest, most) + gap
		}
		return band
	}
	l := matrixLayout{}
	for range 2 { // turning one axis' names narrows the other's cells
		l.cellWidth, l.cellHeight = (width-beside(l.lying))/n, (height-beside(l.turned))/n
		l.turned = l.turned || widest > l.cellWidth-gap
		l.lying = l.lying || widest > l.cellHeight-gap
	}
	l.cellWidth, l.cellHeight = (width-beside(l.lying))/n, (height-beside(l.turned))/n
	fit := func(across bool, cell vg.Length) ([]string, vg.Length) {
		if !across {
			return names, style.Font.Size
		}
		style := style
		style.Font.Size = min(style.Font.Size, 0.85*cell)
		out := make([]string, len(names))
		for k, name := range names {
			out[k] = cut(style, name, most)
		}
		return out, style.Font.Size
	}
	l.columns, l.columnSize = fit(l.turned, l.cellWidth)
	l.rows, l.rowSize = fit(l.lying, l.cellHeight)
	return l
}

// size is that of a cell's line, so that it and, where there are two, the other fit.
func (l matrixLayout) size(style text.Style, show Cells, t cellLine) vg.Length {
	lines := 1.0
	if show == CellBoth {
		lines = 1.65
	}
	style.Font.Size = 10
	widest := max(style.Width(t.text), style.Width("100 %")) / 10 // lines of different cells are alike in size
	return min(vg.Length(14*t.scale), vg.Length(0.75*t.scale/lines)*l.cellHeight, 0.84*l.cellWidth/widest)
}

// cut shortens a name to a width, and keeps its beginning.
func cut(style text.Style, name string, width vg.Length) string {
	runes := []rune(name)
	for n := len(runes); n > 1 && style.Width(name) > width; n-- {
		name = string(runes[:n-1]) + "…"
	}
	return name
}
