package report

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ReliabilityBins is the number of bins of a reliability diagram.
const ReliabilityBins = 10

// Bin is the pictures whose predicted probability lies in one tenth of 0..1.
type Bin struct {
	Pictures  int
	Predicted float64 // mean probability of a defect
	Observed  float64 // share of them that are defective
}

// Reliability bins probabilities of a defect, with the truth about each, and returns the expected calibration error: the bins' mean
// |Observed-Predicted|, weighted by their pictures (Guo et al., ICML 2017, equation 3). A probability on a bin's edge counts to the bin above,
// 1 to the last one.
func Reliability(probabilities []float64, defective []bool) (bins [ReliabilityBins]Bin, expected float64, err error) {
	if len(probabilities) == 0 || len(probabilities) != len(defective) {
		return bins, 0, fmt.Errorf("%d probabilities for %d labels: want one for each, and at least one", len(probabilities), len(defective))
	}
	for i, p := range probabilities {
		if !(p >= 0 && p <= 1) {
			return bins, 0, fmt.Errorf("probability %d is %v: want 0 to 1", i, p)
		}
		b := &bins[min(ReliabilityBins-1, int(p*ReliabilityBins))]
		b.Pictures++
		b.Predicted += p
		if defective[i] {
			b.Observed++
		}
	}
	for i := range bins {
		if n := float64(bins[i].Pictures); n > 0 {
			bins[i].Predicted /= n
			bins[i].Observed /= n
			expected += n / float64(len(probabilities)) * math.Abs(bins[i].Observed-bins[i].Predicted)
		}
	}
	return bins, expected, nil
}

// ReliabilityDiagram draws how often pictures are defective against the probability that a classifier gave them; on the dashed line they agree.
// Larger dots stand for more pictures.
func ReliabilityDiagram(s Scores) (*Chart, error) {
	bins, expected, err := Reliability(s.Values, s.Defective)
	if err != nil {
		return nil, errors.Join(errors.New("reliability"), err)
	}
	p := newCurvePlot("predicted probability", "share defective")
	p.Add(line(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, dashed(mutedColor)))
	var curve plotter.XYs
	for _, b := range bins {
		if b.Pictures > 0 {
			curve = append(curve, plotter.XY{X: b.Predicted, Y: b.Observed})
		}
	}
	p.Add(line(curve, draw.LineStyle{Color: goodColor, Width: 1.2}))
	at := 0
	for _, b := range bins {
		if b.Pictures == 0 {
			continue
		}
		radius := 1.5 + 3*vg.Length(math.Sqrt(float64(b.Pictures)/float64(len(s.Values))))
		p.Add(&plotter.Scatter{XYs: curve[at : at+1], GlyphStyle: draw.GlyphStyle{Color: goodColor, Radius: radius, Shape: draw.CircleGlyph{}}})
		at++
	}
	return &Chart{
		Title: fmt.Sprintf("Reliability, error %.3f", expected),
		Text:  fmt.Sprintf("Reliability diagram in %d bins: the expected calibration error is %.4f.", ReliabilityBins, expected),
		plot:  p,
	}, nil
}
