package report

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"path"
	"slices"
	"strings"

	"github.com/blemish/blemish"
)

// pageView is what the template shows: every figure already formatted.
type pageView struct {
	Report
	Style    template.CSS
	Rows     []summary // over all sections, if there are several
	Overall  summary
	Sections []sectionView
}

type sectionView struct {
	ID, Name  string
	Images    int
	Headline  []headline
	Image     []namedFigure
	Pixel     []namedFigure
	Defects   []defectRow
	Notes     []string
	Charts    []chartView
	Samples   []sampleView
	Threshold string
	Legend    *legendView
	Galleries []galleryView
}

type headline struct{ Name, Value, Detail string }

type namedFigure struct{ Name, Value, Meaning string }

type chartView struct {
	Title, Text string
	SVG         template.HTML
	Missing     string // why there is no drawing
}

// sampleView is a cell of the grid of samples.
type sampleView struct {
	Picture          template.HTMLAttr
	Alt              string
	Width, Height    int
	Predicted, Truth string
	Class            string // right or wrong
}

type galleryView struct {
	Title, Note string
	Cards       []cardView
}

type legendView struct {
	Gradient       template.CSS
	Low, High      string
	Threshold      string
	ThresholdShare template.CSS // where the threshold lies on the bar
}

func newPageView(r Report) (*pageView, error) {
	css, err := assets.ReadFile("page.css")
	if err != nil {
		return nil, err
	}
	view := &pageView{Report: r, Style: template.CSS(css)}
	for i, s := range r.Sections {
		if s.Evaluation == nil {
			return nil, fmt.Errorf("section %q has no evaluation", s.Name)
		}
		section, err := newSectionView(fmt.Sprintf("s%d", i+1), s)
		if err != nil {
			return nil, fmt.Errorf("section %q: %w", s.Name, err)
		}
		view.Sections = append(view.Sections, section)
		view.Rows = append(view.Rows, summarise(s.Name, s.Evaluation))
	}
	if len(r.Sections) > 1 {
		view.Overall = overall(r.Sections)
	}
	return view, nil
}

func newSectionView(id string, s Section) (sectionView, error) {
	e := s.Evaluation
	v := sectionView{ID: id, Name: s.Name, Images: e.Images, Notes: e.Notes, Defects: byDefect(e), Threshold: optional(e.Threshold)}
	sum := summarise(s.Name, e)
	v.Headline = []headline{
		{"image AUROC", sum.ImageAUROC, "1 is perfect, 0.5 is guessing"},
		{"AUPRO", sum.AUPRO, "how well regions are covered"},
		{"false alarms", sum.FalseAlarms, "good pictures called anomalous"},
		{"misses", sum.Misses, "defective pictures called good"},
	}
	if e.Class != nil {
		v.Headline[1] = headline{"accuracy", fmt.Sprintf("%.2f %%", 100*e.Class.Accuracy), "pictures whose most probable class is their own"}
	}
	v.Image = []namedFigure{
		{"AUROC", ratio(e.Image.AUROC), "area under the ROC curve"},
		{"AP", ratio(e.Image.AP), "average precision"},
		{"F1-max", ratio(e.Image.F1Max), "best F1 over all thresholds"},
		{"balanced accuracy", ratio(e.Image.BalancedAccuracy), "at the threshold"},
		{"threshold", optional(e.Threshold), "raw score above which a picture is called anomalous"},
		{"time", sum.MsPerImg + " ms", "per picture"},
	}
	if e.Class != nil {
		v.Image = append(v.Image,
			namedFigure{"class accuracy", ratio(&e.Class.Accuracy), "pictures whose most probable class is their own"},
			namedFigure{"balanced", ratio(&e.Class.BalancedAccuracy), "mean of the classes' own accuracies"})
	}
	v.Pixel = []namedFigure{
		{"AUROC", ratio(e.Pixel.AUROC), "area under the ROC curve"},
		{"AP", ratio(e.Pixel.AP), "average precision"},
		{"F1-max", ratio(e.Pixel.F1Max), "best F1 over all thresholds"},
		{"AUPRO", ratio(e.Pixel.AUPRO), "per-region overlap, up to a false-positive rate of 0.3"},
		{"AUPRO@0.05", ratio(e.Pixel.AUPRO05), "the same, up to 0.05"},
	}
	var err error
	if v.Charts, err = chartViews(s); err != nil {
		return v, err
	}
	if v.Samples, err = sampleViews(s.Samples); err != nil {
		return v, err
	}
	for _, g := range s.Galleries {
		gallery := galleryView{Title: g.Title, Note: g.Note}
		for _, c := range g.Cards {
			gallery.Cards = append(gallery.Cards, newCardView(c, e.Threshold))
			if v.Legend == nil && c.heat != nil {
				v.Legend = newLegendView(c.scale)
			}
		}
		v.Galleries = append(v.Galleries, gallery)
	}
	return v, nil
}

func chartViews(s Section) ([]chartView, error) {
	plots, err := Plots(s)
	if err != nil {
		return nil, err
	}
	var views []chartView
	for _, p := range plots {
		if p.Chart == nil {
			views = append(views, chartView{Title: p.Title, Missing: p.Missing})
			continue
		}
		view, err := newChartView(p.Chart)
		if err != nil {
			return nil, fmt.Errorf("chart %q: %w", p.Title, err)
		}
		views = append(views, view)
	}
	return views, nil
}

func newChartView(c *Chart) (chartView, error) {
	svg, err := c.inline()
	// The drawing holds only what this package and the plotter wrote: numbers, words, and names of classes, which the canvas escapes.
	return chartView{Title: c.Title, Text: c.Text, SVG: template.HTML(svg)}, err
}

// defectRow is one kind of defect against all good pictures.
type defectRow struct {
	Kind   string
	Images int
	Misses string
	Image  blemish.ImageMetrics
	Pixel  blemish.PixelMetrics
}

func (defectRow) Ratio(v *float64) string { return ratio(v) }

func byDefect(e *blemish.Evaluation) []defectRow {
	var rows []defectRow
	for kind, d := range e.ByDefect {
		row := defectRow{Kind: kind, Images: d.Images, Misses: missing, Image: d.Image, Pixel: d.Pixel}
		if e.Threshold != nil {
			missed := 0
			for _, p := range e.Pictures {
				if p.Defective && p.Kind == kind && !p.Anomalous {
					missed++
				}
			}
			row.Misses = fmt.Sprintf("%d/%d", missed, d.Images)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b defectRow) int { return strings.Compare(a.Kind, b.Kind) })
	return rows
}

func newLegendView(s Scale) *legendView {
	var stops []string
	colors := inferno()
	for i := range 9 {
		c := colors[i*255/8]
		stops = append(stops, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
	}
	v := &legendView{
		Gradient: template.CSS("linear-gradient(to right," + strings.Join(stops, ",") + ")"),
		Low:      figure(s.Low), High: figure(s.High),
	}
	if s.Threshold != nil {
		v.Threshold = figure(*s.Threshold)
		v.ThresholdShare = template.CSS(fmt.Sprintf("%.1f%%", 100*s.position(float32(*s.Threshold))))
	}
	return v
}

type cardView struct {
	Class, Verdict string
	Kind, Called   string // Called is a classifier's verdict where it is not Kind
	Score, PValue  string
	Name, Path     string
	Picture, Heat  template.HTMLAttr // src attributes; "" where not drawn
	PictureAlt     string
	HeatAlt        string
	Width, Height  int
	Truth, Found   string
}

func newCardView(c *Card, threshold *float64) cardView {
	p := c.Scored
	v := cardView{
		Kind: p.Kind, Score: figure(p.Score), PValue: pValue(p.PValue),
		Name: shortName(p.Path), Path: p.Path, Width: c.w, Height: c.h, Truth: c.truth, Found: c.found,
	}
	if p.Class != p.Kind {
		v.Called = p.Class
	}
	switch {
	case threshold == nil && p.Defective:
		v.Class, v.Verdict = "open", "Defective"
	case threshold == nil:
		v.Class, v.Verdict = "open", "Good"
	case p.Defective && p.Anomalous:
		v.Class, v.Verdict = "right", "✓ Found"
	case p.Defective:
		v.Class, v.Verdict = "wrong", "✗ Missed"
	case p.Anomalous:
		v.Class, v.Verdict = "wrong", "✗ False alarm"
	default:
		v.Class, v.Verdict = "right", "✓ Passed"
	}
	if c.picture != nil {
		v.Picture = source(c.picture)
		v.PictureAlt = "Picture " + v.Name
		if c.truth != "" {
			v.PictureAlt += " with its true defect outlined"
		}
	}
	if c.heat != nil {
		v.Heat = source(c.heat)
		v.HeatAlt = "Heat map of " + v.Name
		switch {
		case c.found != "":
			v.HeatAlt += " with the regions above the threshold outlined"
		case c.hasFound:
			v.HeatAlt += "; no region is above the threshold"
		}
	}
	return v
}

// source is a whole attribute, since the template would escape each "+" of base64 in a bare URL.
func source(jpeg []byte) template.HTMLAttr {
	return template.HTMLAttr(`src="data:image/jpeg;base64,` + base64.StdEncoding.EncodeToString(jpeg) + `"`)
}

// shortName is the file's name and its folder's.
func shortName(p string) string {
	p = strings.ReplaceAll(p, `\`, "/")
	dir, file := path.Split(p)
	if dir = path.Base(dir); dir == "." || dir == "/" {
		return file
	}
	return dir + "/" + file
}

// IsOutlined reports whether a card in the section has an outline to show or hide.
func (v sectionView) IsOutlined() bool {
	return slices.ContainsFunc(v.Galleries, func(g galleryView) bool {
		return slices.ContainsFunc(g.Cards, func(c cardView) bool { return c.Truth != "" || c.Found != "" })
	})
}
