package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	histogramBins = 30
	fillAlpha     = 90
)

// Histogram draws how many good and how many defective pictures have which score, in 30 bins of equal width over the range of all
// scores, with the threshold as a dashed line. It needs one score; lengths must agree and scores be finite.
func Histogram(s Scores) (*Chart, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	low, high := s.Values[0], s.Values[0]
	for _, v := range s.Values {
		low, high = min(low, v), max(high, v)
	}
	if low == high { // one bin's worth of room around the only value
		low, high = low-0.5, high+0.5
	}
	width := (high - low) / histogramBins
	var good, bad [histogramBins]float64
	for i, v := range s.Values {
		bin := min(int((v-low)/width), histogramBins-1)
		if s.Defective[i] {
			bad[bin]++
		} else {
			good[bin]++
		}
	}
	p := newPlot()
	p.X.Label.Text, p.Y.Label.Text = "score", "pictures"
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: gridColor, Width: 0.5}
	p.Add(grid)
	for _, side := range []struct {
		name   string
		counts [histogramBins]float64
		color  color.NRGBA
		dashes []vg.Length
	}{{"good", good, goodColor, nil}, {"defective", bad, badColor, []vg.Length{2, 1}}} {
		hills := hills(side.counts[:], low, width)
		if len(hills) == 0 {
			continue
		}
		area := &plotter.Polygon{XYs: hills, Color: translucent(side.color, fillAlpha)}
		area.LineStyle = draw.LineStyle{Color: side.color, Width: 1, Dashes: side.dashes}
		p.Add(area)
		p.Legend.Add(side.name, area)
	}
	p.Legend.Top = true
	p.X.Min, p.X.Max, p.Y.Min = low, high, 0
	p.Y.Max *= 1.25 // room for the legend
	p.Y.Tick.Marker = wholeTicks{}
	text := fmt.Sprintf("Histogram of the scores of %d good and %d defective pictures, from %s to %s", s.good(), len(s.Values)-s.good(), figure(low), figure(high))
	if s.Threshold != nil {
		t := *s.Threshold
		mark := line(plotter.XYs{{X: t, Y: 0}, {X: t, Y: p.Y.Max}}, dashed(inkColor))
		p.Add(mark)
		p.Legend.Add("threshold", mark)
		text += "; threshold " + figure(t)
	}
	return &Chart{Title: "Scores", Text: text + ".", plot: p}, nil
}

// hills outlines each run of bins that are not empty.
func hills(counts []float64, low, width float64) []plotter.XYs {
	var all []plotter.XYs
	for i := 0; i < len(counts); i++ {
		if counts[i] == 0 {
			continue
		}
		hill := plotter.XYs{{X: low + float64(i)*width}}
		for ; i < len(counts) && counts[i] > 0; i++ {
			hill = append(hill, plotter.XY{X: low + float64(i)*width, Y: counts[i]}, plotter.XY{X: low + float64(i+1)*width, Y: counts[i]})
		}
		all = append(all, append(hill, plotter.XY{X: low + float64(i)*width}))
	}
	return all
}

// wholeTicks marks counts: about five of them, all whole.
type wholeTicks struct{}

func (wholeTicks) Ticks(_, high float64) []plot.Tick {
	var ticks []plot.Tick
	gap := wholeGap(high)
	for v := 0.0; v <= high; v += gap {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// wholeGap is the least of 1, 2, 5, 10, 20, 50 … that leaves at most six ticks.
func wholeGap(high float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, k := range []float64{1, 2, 5} {
			if math.Floor(high/(k*unit)) <= 5 {
				return k * unit
			}
		}
	}
}
