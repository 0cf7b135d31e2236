package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

func svgOf(t *testing.T, c *Chart) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteChart(&out, "x.svg", c); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestClassMatrixShowsCountsFractionsOrBoth(t *testing.T) {
	c := blemish.ClassEvaluation{Classes: []string{"good", `<b>"crack"</b>`}, Confusion: [][]int{{17, 3}, {1, 4}}, Accuracy: 0.84, BalancedAccuracy: 0.825}
	for show, want := range map[Cells][]string{
		CellCounts: {">17<", ">3<", ">1<", ">4<"}, CellFractions: {">85.0 %<", ">15.0 %<", ">20.0 %<", ">80.0 %<"}, CellBoth: {">17<", ">85.0 %<"},
	} {
		chart, err := ClassMatrix(c, show)
		if err != nil {
			t.Fatal(err)
		}
		svg := svgOf(t, chart)
		for _, w := range append(want, "good", "verdict", "truth") {
			if !strings.Contains(svg, w) {
				t.Errorf("%s: no %s", show, w)
			}
		}
		if strings.Contains(svg, "<b>") {
			t.Errorf("%s: a class's name is markup", show)
		}
		if show == CellCounts && strings.Contains(svg, "85.0") || show == CellFractions && strings.Contains(svg, ">17<") {
			t.Errorf("%s shows the other, too", show)
		}
		// two dark cells, of 85 and 80 %, and two light ones
		if n := strings.Count(svg, "fill:#FFFFFF"); show == CellCounts && n != 3 { // the background and two texts
			t.Errorf("%d white things", n)
		}
		if !strings.Contains(chart.Text, "84.00 %") {
			t.Error(chart.Text)
		}
	}
	if _, err := ClassMatrix(c, "percent"); err == nil {
		t.Error("unknown cells are accepted")
	}
	c.Confusion = c.Confusion[:1]
	if _, err := ClassMatrix(c, CellBoth); err == nil {
		t.Error("a matrix without a row for each class is accepted")
	}
}

// Names stay within the places that are kept for them, however many and long they are.
func TestNamesOfClassesDoNotRunIntoEachOther(t *testing.T) {
	style := newPlot().X.Tick.Label
	many := make([]string, 40)
	for k := range many {
		many[k] = fmt.Sprint("kind of defect, number ", k)
	}
	for _, c := range []struct {
		names         []string
		turned, lying bool
	}{
		{[]string{"good", "crack"}, false, false},
		{[]string{"good", "a rather long name"}, true, true},
		{[]string{"good", "broken_large", "contamination"}, true, true},
		{[]string{"good", "scratch", "stain", "dent"}, false, true},
		{many, true, true},
	} {
		l := layOut(style, c.names)
		if l.turned != c.turned || l.lying != c.lying {
			t.Errorf("%d classes: columns' names turned %v, rows' lying %v", len(c.names), l.turned, l.lying)
		}
		for k := range c.names {
			columns, rows := style, style
			columns.Font.Size, rows.Font.Size = l.columnSize, l.rowSize
			w, h := columns.Width(l.columns[k]), rows.Width(l.rows[k])
			if !l.turned && w > l.cellWidth || l.turned && (w > 58 || l.columnSize > l.cellWidth) {
				t.Errorf("column %d of %d, %q: %v wide at %v points, a cell is %v", k, len(c.names), l.columns[k], w, l.columnSize, l.cellWidth)
			}
			if !l.lying && h > l.cellHeight || l.lying && (h > 58 || l.rowSize > l.cellHeight) {
				t.Errorf("row %d of %d, %q: %v long at %v points, a cell is %v", k, len(c.names), l.rows[k], h, l.rowSize, l.cellHeight)
			}
		}
		for _, show := range []Cells{CellCounts, CellFractions, CellBoth} {
			height := 0.0
			for _, line := range cellTexts(show, 1234, "100.0 %") {
				own := style
				own.Font.Size = l.size(style, show, line)
				height += own.Font.Size.Points()
				if w := own.Width(line.text); w > 0.9*l.cellWidth {
					t.Errorf("%d classes, %s: %q is %v wide in a cell of %v", len(c.names), show, line.text, w, l.cellWidth)
				}
			}
			if height > 0.8*l.cellHeight.Points() {
				t.Errorf("%d classes, %s: lines of %v in a cell of %v", len(c.names), show, height, l.cellHeight)
			}
		}
	}
	if l := layOut(style, []string{"good", "an inner insulation that is cut"}); !strings.HasPrefix(l.rows[1], "an inner ") || !strings.HasSuffix(l.rows[1], "…") {
		t.Errorf("cut to %q", l.rows[1])
	}
}

func TestTextStandsOutFromItsCell(t *testing.T) {
	// WCAG's contrast of #767676 with white is 4.54, the least gray that is allowed for text
	if got := 1.05 / (luminance(color.NRGBA{0x76, 0x76, 0x76, 255}) + 0.05); math.Abs(got-4.54) > 0.005 {
		t.Errorf("contrast %v", got)
	}
	for k := range 101 {
		part := float64(k) / 100
		cell, ink := luminance(shade(part))+0.05, luminance(lightInk)+0.05
		contrast := cell / ink
		if dark(part) {
			contrast = 1.05 / cell
		}
		if contrast < 4 { // the best there is of white and ink for colours between them
			t.Errorf("a cell with %v of its row: contrast %v", part, contrast)
		}
	}
	if dark(0) || !dark(1) || shade(1) == goodColor { // which a page's theme replaces
		t.Error("the ends are wrong")
	}
}

func TestReliabilityIsTheExpectedCalibrationError(t *testing.T) {
	// by hand: bin 0.1: {0.1, 0.15} observed 0.5; bin 0.9: {0.9, 1} observed 1. (2·|0.5-0.125| + 2·|1-0.95|)/4
	bins, expected, err := Reliability([]float64{0.1, 0.15, 0.9, 1}, []bool{true, false, true, true})
	if err != nil || math.Abs(expected-0.2125) > 1e-12 {
		t.Errorf("error %v, %v", expected, err)
	}
	if b := bins[9]; b.Pictures != 2 || b.Observed != 1 || math.Abs(b.Predicted-0.95) > 1e-12 {
		t.Errorf("last bin %+v", b)
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		if _, _, err := Reliability([]float64{bad}, []bool{true}); err == nil {
			t.Errorf("a probability of %v is accepted", bad)
		}
	}
	chart, err := ReliabilityDiagram(Scores{Values: []float64{0.1, 0.15, 0.9, 1}, Defective: []bool{true, false, true, true}})
	if err != nil || !strings.Contains(chart.Text, "0.2125") {
		t.Errorf("%v %v", chart, err)
	}
}

func TestAccuracyCurveSaysWhereItEnds(t *testing.T) {
	chart, err := AccuracyCurve([]blemish.Epoch{{Train: 0.7913, Valid: 0.7621}, {Train: 0.9951, Valid: 0.9806}})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"79.13 % to 99.51 %", "76.21 % to 98.06 %"} {
		if !strings.Contains(chart.Text, w) {
			t.Errorf("%q lacks %s", chart.Text, w)
		}
	}
	if svg := svgOf(t, chart); !strings.Contains(svg, "validation") || !strings.Contains(svg, "training") {
		t.Error("no legend")
	}
	for lowest, want := range map[float64]int{95: 2, 75: 6, 70: 4, 50: 6, 45: 3, 0: 6} {
		if ticks := percents(lowest); len(ticks) != want || ticks[0].Label != "100" {
			t.Errorf("from %v: %d ticks %v, want %d", lowest, len(ticks), ticks, want)
		}
	}
	for n, want := range map[int]string{1: "1", 2: "1 2", 7: "1 2 3 4 5 6 7", 9: "2 4 6 8", 12: "2 4 6 8 10 12", 30: "1 5 10 15 20 25 30", 200: "1 50 100 150 200", 1000: "1 200 400 600 800 1000"} {
		var got []string
		for _, tick := range epochs(n) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %d epochs: ticks %v, want %s", n, got, want)
		}
	}
	one, err := AccuracyCurve([]blemish.Epoch{{Train: 0.5, Valid: 0.6}})
	if err != nil || !strings.Contains(svgOf(t, one), "fill:"+svgColor(badColor)) {
		t.Errorf("one epoch is not drawn: %v", err)
	}
	if _, err := AccuracyCurve(nil); err == nil {
		t.Error("no epochs are accepted")
	}
}

func TestSamplesAreUnnormalisedAndTitled(t *testing.T) {
	how := transform.DefaultConfig()
	x := tensor.New(3, 2, 2)
	for c := range 3 { // pixel 1 was 255, 0, 51
		x.Data[c*4+1] = ([]float32{255, 0, 51}[c]/255 - how.Mean[c]) / how.Std[c]
	}
	shown := Unnormalised(x, how)
	if got := color.RGBAModel.Convert(shown.At(1, 0)); got != (color.RGBA{255, 0, 51, 255}) {
		t.Errorf("pixel %v", got)
	}
	samples := []Sample{{shown, "crack", "crack"}, {image.NewGray(image.Rect(0, 0, 4, 8)), "good", "crack"}}
	var out bytes.Buffer
	if err := WriteSamples(&out, "x.svg", samples); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"P: crack", "T: crack", "P: good", svgColor(badColor)} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %s in the grid", w)
		}
	}
	out.Reset()
	if err := WriteSamples(&out, "x.png", samples); err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(&out); err != nil {
		t.Error(err)
	}
	if err := WriteSamples(&out, "x.png", make([]Sample, 16)); err == nil {
		t.Error("sixteen samples are accepted")
	}
	if err := WriteSamples(&out, "x.tga", samples); err == nil {
		t.Error("an unknown format is accepted")
	}
}

// classified is a section of a classifier with two epochs behind it and two samples.
func classified(t *testing.T) Section {
	s := madeUp(t, "walls", 1, 64, 4)
	s.Galleries, s.Evaluation.Pictures[0].Class = nil, "stain"
	for i := range s.Evaluation.Pictures {
		p := &s.Evaluation.Pictures[i]
		p.Score = min(max(p.Score/5, 0), 1) // a probability
	}
	s.Evaluation.Class = &blemish.ClassEvaluation{Classes: []string{"good", "stain"}, Confusion: [][]int{{17, 3}, {1, 4}}, Accuracy: 0.84}
	s.History = []blemish.Epoch{{Train: 0.7913, Valid: 0.7621}, {Train: 0.9951, Valid: 0.9806}}
	small, tall := image.NewRGBA(image.Rect(0, 0, 8, 8)), image.NewGray(image.Rect(3, 5, 203, 805))
	s.Samples = []Sample{{small, "stain", "stain"}, {tall, "good", "<stain>"}}
	return s
}

func TestPageOfAClassifierShowsHowItLearnedAndSamples(t *testing.T) {
	section := classified(t)
	page := writeHTML(t, Report{Sections: []Section{section}})
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"<figcaption>Accuracy</figcaption>", "training from 79.13 % to 99.51 %", "<figcaption>Classes, pictures</figcaption>",
		"<figcaption>Classes, shares</figcaption>", "<figcaption>Reliability, error ", "<figcaption>ROC, area ", `<span class="value">84.00 %</span>`,
		`<figure class="right"><figcaption><span>P: stain</span><span>T: stain</span></figcaption>`,
		`<figure class="wrong"><figcaption><span>P: good</span><span>T: &lt;stain&gt;</span></figcaption>`, `alt="Sample: predicted good, truly &lt;stain&gt;"`,
		`width="8" height="8"`, `width="55" height="220"`, // never enlarged; the longer side of 800 pixels at most 220
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	section.Samples, section.History = nil, nil
	page = writeHTML(t, Report{Sections: []Section{section}})
	for _, bad := range []string{"Samples", "<figcaption>Accuracy</figcaption>"} {
		if strings.Contains(page, bad) {
			t.Errorf("%s without any", bad)
		}
	}
	section.Samples = make([]Sample, GridRows*GridColumns+1)
	if err := WriteHTML(&bytes.Buffer{}, Report{Sections: []Section{section}}); err == nil {
		t.Error("sixteen samples are accepted")
	}
}

func TestPlotsAreThePagesCharts(t *testing.T) {
	plots, err := Plots(classified(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range plots {
		names = append(names, p.Name)
		if p.Chart == nil || p.Missing != "" {
			t.Errorf("%s is missing: %s", p.Name, p.Missing)
		}
	}
	want := "scores roc precision_recall verdicts classes_counts classes_shares reliability plot_acc_training_validation"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	plots, err = Plots(Section{Evaluation: &blemish.Evaluation{Pictures: []blemish.ScoredPicture{{Score: 1}}}})
	if err != nil || len(plots) != 4 || plots[0].Chart == nil || plots[1].Missing == "" || plots[3].Missing != "The model has no threshold." {
		t.Errorf("of one good picture: %+v, %v", plots, err)
	}
	if _, err := Plots(Section{}); err == nil {
		t.Error("charts of no evaluation")
	}
}

func TestCardSaysWhatAPictureWasTakenFor(t *testing.T) {
	for _, c := range []struct{ kind, class, want string }{{"dent", "stain", "stain"}, {"dent", "dent", ""}, {"dent", "", ""}} {
		if v := newCardView(&Card{Scored: blemish.ScoredPicture{Kind: c.kind, Class: c.class}}, nil); v.Called != c.want {
			t.Errorf("%+v: taken for %q", c, v.Called)
		}
	}
}
