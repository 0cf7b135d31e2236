package report

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg/draw"

	"github.com/blemish/blemish"
)

// ConfusionMatrix draws the four counts at a threshold: a row for the truth, a column for the verdict, each with its share of the
// row. Right verdicts are blue, wrong ones vermilion, stronger where the share is greater.
func ConfusionMatrix(c blemish.Counts) *Chart {
	p := newPlot()
	cells := []struct {
		x, y   float64
		name   string
		count  int
		ofRow  int
		wanted bool
	}{
		{0, 1, "passed", c.TN, c.TN + c.FP, true},
		{1, 1, "false alarms", c.FP, c.TN + c.FP, false},
		{0, 0, "misses", c.FN, c.FN + c.TP, false},
		{1, 0, "found", c.TP, c.FN + c.TP, true},
	}
	for _, cell := range cells {
		const gap = 0.02
		x0, x1, y0, y1 := cell.x+gap, cell.x+1-gap, cell.y+gap, cell.y+1-gap
		area, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
		if err != nil {
			panic(err) // four finite corners
		}
		tint := goodColor
		if !cell.wanted {
			tint = badColor
		}
		area.LineStyle = draw.LineStyle{Color: tint, Width: 0.8}
		if cell.count > 0 {
			area.Color = translucent(tint, fillAlpha)
		}
		p.Add(area)
		p.Add(cellText(cell.x+0.5, cell.y+0.56, fmt.Sprint(cell.count), 17), cellText(cell.x+0.5, cell.y+0.27, cell.name+", "+share(cell.count, cell.ofRow), 7.5))
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 2, 0, 2
	p.X.Label.Text, p.Y.Label.Text = "verdict", "truth"
	p.X.Tick.Marker = plot.ConstantTicks{{Value: 0.5, Label: "good"}, {Value: 1.5, Label: "anomalous"}}
	p.Y.Tick.Marker = plot.ConstantTicks{{Value: 0.5, Label: "defective"}, {Value: 1.5, Label: "good"}}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Width, axis.Tick.LineStyle.Width = 0, 0
	}
	p.Y.Tick.Label.Rotation = 1.5707963267948966
	p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = text.XCenter, text.YBottom
	return &Chart{
		Title: "Verdicts",
		Text: fmt.Sprintf("Confusion matrix: of %d good pictures %d passed and %d were false alarms; of %d defective ones %d were found and %d missed.",
			c.TN+c.FP, c.TN, c.FP, c.TP+c.FN, c.TP, c.FN),
		plot: p,
	}
}

func share(part, whole int) string {
	if whole == 0 {
		return missing
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func cellText(x, y float64, s string, size float64) *plotter.Labels {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x, Y: y}}, Labels: []string{s}})
	if err != nil {
		panic(err) // one label, one finite point
	}
	labels.TextStyle[0].Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(size)}
	labels.TextStyle[0].Color = inkColor
	labels.TextStyle[0].XAlign, labels.TextStyle[0].YAlign = text.XCenter, text.YCenter
	return labels
}
