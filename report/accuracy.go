package report

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/blemish/blemish"
)

// AccuracyCurve draws a classifier's training and validation accuracy after every epoch.
func AccuracyCurve(history []blemish.Epoch) (*Chart, error) {
	if len(history) == 0 {
		return nil, errors.New("no epochs to draw")
	}
	p := newPlot()
	p.X.Label.Text, p.Y.Label.Text = "epoch", "accuracy, %"
	addGrid(p)
	var train, valid plotter.XYs
	lowest := 100.0
	for i, e := range history {
		train = append(train, plotter.XY{X: float64(i + 1), Y: 100 * e.Train})
		valid = append(valid, plotter.XY{X: float64(i + 1), Y: 100 * e.Valid})
		lowest = min(lowest, 100*e.Train, 100*e.Valid)
	}
	a := line(train, draw.LineStyle{Color: goodColor, Width: 2.6}) // so that it is seen where both agree
	b := line(valid, draw.LineStyle{Color: badColor, Width: 1.2})
	p.Add(a, b)
	if len(history) <= 12 { // few enough to be seen one by one; of one epoch there is no line
		p.Add(dots(train, goodColor, 2.6), dots(valid, badColor, 1.7))
	}
	p.Legend.Add("training", a)
	p.Legend.Add("validation", b)
	p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = false, -4, 4
	p.X.Min, p.X.Max = 1, float64(max(2, len(history)))
	below := max(5, 0.3*(100-lowest)) // place for the legend
	p.Y.Max, p.Y.Min = 100, float64(int(max(0, lowest-below))/5*5)
	p.Y.Tick.Marker = percents(p.Y.Min)
	p.X.Tick.Marker = epochs(len(history))
	last := history[len(history)-1]
	return &Chart{
		Title: "Accuracy",
		Text: fmt.Sprintf("Accuracy after each of %d epochs: training from %.2f %% to %.2f %%, validation from %.2f %% to %.2f %%.", len(history),
			100*history[0].Train, 100*last.Train, 100*history[0].Valid, 100*last.Valid),
		plot: p,
	}, nil
}

func dots(points plotter.XYs, c color.Color, radius vg.Length) *plotter.Scatter {
	return &plotter.Scatter{XYs: points, GlyphStyle: draw.GlyphStyle{Color: c, Radius: radius, Shape: draw.CircleGlyph{}}}
}

// epochs are at most eight ticks, from 1 on: round numbers where there are many.
func epochs(n int) plot.ConstantTicks {
	step := 1
	for k, factors := 0, []int{2, 5, 10}; n/step > 7; k++ {
		step = factors[k%3]
		for range k / 3 {
			step *= 10
		}
	}
	ticks := plot.ConstantTicks{{Value: 1, Label: "1"}}
	if step == 2 {
		ticks = nil // too near
	}
	for e := step; e <= n; e += step {
		if e > 1 {
			ticks = append(ticks, plot.Tick{Value: float64(e), Label: fmt.Sprint(e)})
		}
	}
	return ticks
}

// percents are at most six ticks from lowest, a multiple of 5, to 100.
func percents(lowest float64) plot.ConstantTicks {
	step := 5.0
	for _, s := range []float64{10, 20, 25} {
		if (100-lowest)/step > 5 {
			step = s
		}
	}
	var ticks plot.ConstantTicks
	for v := 100.0; v >= lowest; v -= step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprint(v)})
	}
	return ticks
}

// WriteClasses writes how often a classifier was right, and its confusion matrix, as text: a row for the truth, a column for the verdict.
func WriteClasses(w io.Writer, c blemish.ClassEvaluation) error {
	var out strings.Builder
	fmt.Fprintf(&out, "accuracy %.2f %%, balanced accuracy %.2f %%\n", 100*c.Accuracy, 100*c.BalancedAccuracy)
	width := len("truth")
	for _, name := range c.Classes {
		width = max(width, len([]rune(name)))
	}
	cell := func(s string) { fmt.Fprintf(&out, "  %*s", width, s) }
	fmt.Fprintf(&out, "%-*s", width, "truth")
	for _, name := range c.Classes {
		cell(printable(name))
	}
	out.WriteString("\n")
	for k, row := range c.Confusion {
		fmt.Fprintf(&out, "%-*s", width, printable(c.Classes[k]))
		for _, n := range row {
			cell(fmt.Sprint(n))
		}
		out.WriteString("\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}
