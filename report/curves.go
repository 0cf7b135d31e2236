package report

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/metric"
)

// Scores are raw scores with the truth about each.
type Scores struct {
	Values    []float64
	Defective []bool
	Threshold *float64 // verdicts are "anomalous" above it; nil where there is none
}

// ScoresOf returns the scores of an evaluation's pictures.
func ScoresOf(e *blemish.Evaluation) Scores {
	s := Scores{Threshold: e.Threshold}
	for _, p := range e.Pictures {
		s.Values = append(s.Values, p.Score)
		s.Defective = append(s.Defective, p.Defective)
	}
	return s
}

func (s Scores) check() error {
	if len(s.Values) != len(s.Defective) {
		return fmt.Errorf("%d scores for %d labels: give one label for each score", len(s.Values), len(s.Defective))
	}
	if len(s.Values) == 0 {
		return errors.New("no scores to draw")
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("score %d is %v: want finite scores", i, v)
		}
	}
	return nil
}

func (s Scores) good() int {
	n := 0
	for _, d := range s.Defective {
		if !d {
			n++
		}
	}
	return n
}

// ROC draws the share of defective pictures found against the share of false alarms, over all thresholds, with the current
// threshold as a dot. It needs good and defective pictures.
func ROC(s Scores) (*Chart, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	curve, err := metric.ROC(s.Values, s.Defective)
	if err != nil {
		return nil, err
	}
	auroc, err := metric.AUROC(s.Values, s.Defective)
	if err != nil {
		return nil, err
	}
	p := newCurvePlot("false-alarm rate", "share of defects found")
	p.Add(line(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, dashed(mutedColor)))
	addCurve(p, curve)
	text := fmt.Sprintf("ROC curve, area %.4f", auroc)
	if s.Threshold != nil {
		c := metric.Confuse(s.Values, s.Defective, *s.Threshold)
		fpr, tpr := float64(c.FP)/float64(c.FP+c.TN), float64(c.TP)/float64(c.TP+c.FN)
		addDot(p, fpr, tpr)
		text += fmt.Sprintf("; at the threshold %.1f %% of good pictures are called anomalous and %.1f %% of defective ones found", 100*fpr, 100*tpr)
	}
	return &Chart{Title: fmt.Sprintf("ROC, area %.4f", auroc), Text: text + ".", plot: p}, nil
}

// PR draws precision against recall, over all thresholds, with the current threshold as a dot and the precision of guessing as a
// dashed line. It needs good and defective pictures.
func PR(s Scores) (*Chart, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	curve, err := metric.PR(s.Values, s.Defective)
	if err != nil {
		return nil, err
	}
	ap, err := metric.AveragePrecision(s.Values, s.Defective)
	if err != nil {
		return nil, err
	}
	p := newCurvePlot("recall", "precision")
	guess := float64(len(s.Values)-s.good()) / float64(len(s.Values))
	p.Add(line(plotter.XYs{{X: 0, Y: guess}, {X: 1, Y: guess}}, dashed(mutedColor)))
	addCurve(p, curve)
	text := fmt.Sprintf("Precision-recall curve, average precision %.4f", ap)
	if s.Threshold != nil {
		c := metric.Confuse(s.Values, s.Defective, *s.Threshold)
		recall, precision := float64(c.TP)/float64(c.TP+c.FN), 1.0 // nothing called anomalous, nothing called so wrongly
		if c.TP+c.FP > 0 {
			precision = float64(c.TP) / float64(c.TP+c.FP)
		}
		addDot(p, recall, precision)
		text += fmt.Sprintf("; at the threshold recall is %.1f %% and precision %.1f %%", 100*recall, 100*precision)
	}
	return &Chart{Title: fmt.Sprintf("Precision and recall, AP %.4f", ap), Text: text + ".", plot: p}, nil
}

func newCurvePlot(x, y string) *plot.Plot {
	p := newPlot()
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	ticks := plot.ConstantTicks{}
	for i := range 6 {
		ticks = append(ticks, plot.Tick{Value: float64(i) / 5, Label: fmt.Sprintf("%.1f", float64(i)/5)})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks, ticks
	addGrid(p)
	return p
}

func addCurve(p *plot.Plot, curve []metric.Point) {
	p.Add(line(visible(curve), draw.LineStyle{Color: goodColor, Width: 1.8}))
}

// visible leaves out points that cannot be told from their neighbours at a chart's size: a curve over a hundred thousand
// pictures needs no hundred thousand points.
func visible(curve []metric.Point) plotter.XYs {
	const near = 1e-3 // of the axis: a quarter of a point on paper
	var out plotter.XYs
	for _, at := range curve {
		n := len(out)
		if n >= 2 && between(out[n-2], out[n-1], plotter.XY(at), near) {
			out = out[:n-1]
		}
		out = append(out, plotter.XY(at))
	}
	return out
}

// between reports whether b adds nothing between a and c: all on one horizontal or vertical line, or b too near to a.
func between(a, b, c plotter.XY, near float64) bool {
	if a.X == b.X && b.X == c.X || a.Y == b.Y && b.Y == c.Y {
		return true
	}
	return math.Abs(a.X-b.X) < near && math.Abs(a.Y-b.Y) < near
}

func addDot(p *plot.Plot, x, y float64) {
	for _, style := range []draw.GlyphStyle{{Color: inkColor, Radius: 3.8}, {Color: badColor, Radius: 2.8}} {
		style.Shape = draw.CircleGlyph{}
		p.Add(&plotter.Scatter{XYs: plotter.XYs{{X: x, Y: y}}, GlyphStyle: style})
	}
}
