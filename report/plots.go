package report

import (
	"errors"
	"fmt"

	"github.com/blemish/blemish/metric"
)

// Plot is one of a section's charts, or why there is none.
type Plot struct {
	Name    string // of its file, without an ending
	Title   string
	Chart   *Chart // nil where Missing
	Missing string
}

// CurveName is the accuracy curve's file, as the published study names it, without an ending.
const CurveName = "plot_acc_training_validation"

// Plots draws all charts of a section, in the order of the page: those of a classifier only where there are classes, its accuracy curve only
// where there is a history.
func Plots(s Section) ([]Plot, error) {
	e := s.Evaluation
	if e == nil {
		return nil, errors.New("no evaluation to draw")
	}
	scores := ScoresOf(e)
	of := func(make func(Scores) (*Chart, error)) func() (*Chart, error) {
		return func() (*Chart, error) { return make(scores) }
	}
	type recipe struct {
		name, title string
		make        func() (*Chart, error)
	}
	recipes := []recipe{
		{"scores", "Scores", of(Histogram)}, {"roc", "ROC", of(ROC)}, {"precision_recall", "Precision and recall", of(PR)},
		{"verdicts", "Verdicts", func() (*Chart, error) { return ConfusionMatrix(e.Counts), nil }},
	}
	if e.Class != nil {
		cells := func(show Cells) func() (*Chart, error) {
			return func() (*Chart, error) { return ClassMatrix(*e.Class, show) }
		}
		recipes = append(recipes, recipe{"classes_counts", "Classes, pictures", cells(CellCounts)},
			recipe{"classes_shares", "Classes, shares", cells(CellFractions)},
			recipe{"reliability", "Reliability", of(ReliabilityDiagram)})
	}
	if len(s.History) > 0 {
		recipes = append(recipes, recipe{CurveName, "Accuracy", func() (*Chart, error) { return AccuracyCurve(s.History) }})
	}
	var plots []Plot
	for _, r := range recipes {
		p := Plot{Name: r.name, Title: r.title}
		switch {
		case r.name == "verdicts" && e.Threshold == nil:
			p.Missing = "The model has no threshold."
		case len(scores.Values) == 0:
			p.Missing = "No pictures."
		default:
			chart, err := r.make()
			if errors.Is(err, metric.ErrOneClass) {
				p.Missing = "Needs good and defective pictures."
			} else if err != nil {
				return nil, fmt.Errorf("chart %q: %w", r.title, err)
			}
			p.Chart = chart
		}
		plots = append(plots, p)
	}
	return plots, nil
}
