package report

import (
	"bytes"
	"errors"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/metric"
)

func testScores(n int) Scores {
	rng := rand.New(rand.NewPCG(5, 6))
	threshold := 2.0
	s := Scores{Threshold: &threshold}
	for i := range n {
		bad := i%3 == 0
		v := 1 + rng.NormFloat64()
		if bad {
			v += 1.5
		}
		s.Values, s.Defective = append(s.Values, v), append(s.Defective, bad)
	}
	return s
}

func testCharts(t *testing.T, s Scores) map[string]*Chart {
	t.Helper()
	charts := map[string]*Chart{"confusion": ConfusionMatrix(blemish.Counts{TP: 3, FP: 1, TN: 7, FN: 0})}
	for name, make := range map[string]func(Scores) (*Chart, error){"roc": ROC, "pr": PR, "histogram": Histogram} {
		c, err := make(s)
		if err != nil {
			t.Fatal(err)
		}
		charts[name] = c
	}
	return charts
}

func TestWriteChart(t *testing.T) {
	begins := map[string]string{".svg": "<?xml", ".png": "\x89PNG", ".pdf": "%PDF-", ".PNG": "\x89PNG"}
	for name, c := range testCharts(t, testScores(60)) {
		for ext, magic := range begins {
			var first, second bytes.Buffer
			if err := WriteChart(&first, name+ext, c); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(first.String(), magic) {
				t.Errorf("%s%s begins with %q", name, ext, first.String()[:8])
			}
			if err := WriteChart(&second, name+ext, testCharts(t, testScores(60))[name]); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Errorf("%s%s: equal charts gave different bytes", name, ext)
			}
		}
	}
}

func TestPDFHasNoDate(t *testing.T) {
	var out bytes.Buffer
	if err := WriteChart(&out, "x.pdf", testCharts(t, testScores(9))["roc"]); err != nil {
		t.Fatal(err)
	}
	dates := regexp.MustCompile(`D:\d+`).FindAllString(out.String(), -1)
	if len(dates) == 0 {
		t.Error("no date was found: has the writer changed its form?")
	}
	for _, d := range dates {
		if d != "D:20000101000000" {
			t.Errorf("the file holds the date %s", d)
		}
	}
}

func TestPNGIsOpaque(t *testing.T) {
	var out bytes.Buffer
	if err := WriteChart(&out, "x.png", testCharts(t, testScores(9))["roc"]); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	if b.Dx() != 820 || b.Dy() != 688 {
		t.Errorf("the drawing has %v pixels, want 820x688: 205x172 points at 288 dpi", b)
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if _, _, _, a := img.At(x, y).RGBA(); a != 0xffff {
				t.Fatalf("pixel (%d,%d) is transparent", x, y)
			}
		}
	}
	if c := color.GrayModel.Convert(img.At(0, 0)).(color.Gray); c.Y != 255 {
		t.Errorf("the corner is %v, want white", c)
	}
}

func TestWriteChartRefusesOtherFormats(t *testing.T) {
	c := ConfusionMatrix(blemish.Counts{})
	for _, name := range []string{"x.gif", "x", "svg", "x.svg.gz", ""} {
		var out bytes.Buffer
		var unsupported *fault.UnsupportedError
		if err := WriteChart(&out, name, c); !errors.As(err, &unsupported) || out.Len() > 0 {
			t.Errorf("%q: error %v after %d bytes", name, err, out.Len())
		}
	}
}

func TestChartsSayWhatTheyShow(t *testing.T) {
	threshold := 2.0
	charts := testCharts(t, Scores{Values: []float64{1, 3, 2.5, 4}, Defective: []bool{false, false, true, true}, Threshold: &threshold})
	for name, want := range map[string]string{
		"roc":       "ROC curve, area 0.7500; at the threshold 50.0 % of good pictures are called anomalous and 100.0 % of defective ones found.",
		"pr":        "Precision-recall curve, average precision 0.8333; at the threshold recall is 100.0 % and precision 66.7 %.",
		"histogram": "Histogram of the scores of 2 good and 2 defective pictures, from 1 to 4; threshold 2.",
		"confusion": "Confusion matrix: of 8 good pictures 7 passed and 1 were false alarms; of 3 defective ones 3 were found and 0 missed.",
	} {
		if got := charts[name].Text; got != want {
			t.Errorf("%s says %q, want %q", name, got, want)
		}
	}
}

func TestInlineChartsFollowTheTheme(t *testing.T) {
	for name, c := range testCharts(t, testScores(60)) {
		svg, err := c.inline()
		if err != nil {
			t.Fatal(err)
		}
		if fixed := regexp.MustCompile(`#[0-9A-Fa-f]{6}|black|white`).FindString(svg); fixed != "" {
			t.Errorf("%s has the fixed colour %s", name, fixed)
		}
		for _, want := range []string{"var(--ink)", "var(--muted)", "var(--good)", "var(--bad)"} {
			if !strings.Contains(svg, want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
		if strings.Contains(svg, "font-family") {
			t.Errorf("%s names a font that the reader may lack", name)
		}
	}
}

func TestChartsRefuse(t *testing.T) {
	one := Scores{Values: []float64{1, 2}, Defective: []bool{false, false}}
	for name, make := range map[string]func(Scores) (*Chart, error){"ROC": ROC, "PR": PR} {
		if _, err := make(one); !errors.Is(err, metric.ErrOneClass) {
			t.Errorf("%s of good pictures alone: %v", name, err)
		}
	}
	if _, err := Histogram(one); err != nil {
		t.Errorf("histogram of good pictures alone: %v", err)
	}
	for name, s := range map[string]Scores{
		"nothing": {}, "two lengths": {Values: []float64{1}}, "NaN": {Values: []float64{math.NaN()}, Defective: []bool{true}},
		"infinity": {Values: []float64{math.Inf(-1)}, Defective: []bool{true}},
	} {
		for chart, make := range map[string]func(Scores) (*Chart, error){"ROC": ROC, "PR": PR, "histogram": Histogram} {
			if _, err := make(s); err == nil {
				t.Errorf("%s of %s was drawn", chart, name)
			}
		}
	}
}

func TestHistogramOfEqualScores(t *testing.T) {
	c, err := Histogram(Scores{Values: []float64{3, 3}, Defective: []bool{false, true}})
	if err != nil {
		t.Fatal(err)
	}
	if svg, err := c.inline(); err != nil || strings.Contains(svg, "NaN") {
		t.Errorf("the drawing of equal scores is broken: %v", err)
	}
}

func TestCurveKeepsItsShapeWithFewPoints(t *testing.T) {
	s := testScores(30_000)
	curve, err := metric.ROC(s.Values, s.Defective)
	if err != nil {
		t.Fatal(err)
	}
	shown := visible(curve)
	if len(shown) > 3000 {
		t.Errorf("%d of %d points are drawn", len(shown), len(curve))
	}
	last := 0 // index of the drawn point at or before
	for _, at := range curve {
		if last+1 < len(shown) && shown[last+1] == plotter.XY(at) {
			last++
		}
		next := min(last+1, len(shown)-1)
		if d := distance(at, shown[last], shown[next]); d > 1.5e-3 { // what visible leaves out is nearer than 1e-3 in x and in y
			t.Fatalf("%v lies %v from the drawn curve", at, d)
		}
	}
	if begin, end := shown[0], shown[len(shown)-1]; begin != (plotter.XY{}) || end != (plotter.XY{X: 1, Y: 1}) {
		t.Errorf("the curve goes from %v to %v", begin, end)
	}
}

func TestCurveKeepsSmallSteps(t *testing.T) {
	curve := []metric.Point{{X: 0, Y: 0}, {X: 0, Y: 0.5}, {X: 0.004, Y: 0.5}, {X: 0.004, Y: 0.504}, {X: 0.008, Y: 0.504}, {X: 1, Y: 1}}
	if shown := visible(curve); len(shown) != len(curve) {
		t.Errorf("of a staircase only %v is drawn", shown)
	}
}

// distance is that of p from the straight line between a and b.
func distance(p metric.Point, a, b plotter.XY) float64 {
	dx, dy := b.X-a.X, b.Y-a.Y
	t := 0.0
	if length := dx*dx + dy*dy; length > 0 {
		t = min(max(((p.X-a.X)*dx+(p.Y-a.Y)*dy)/length, 0), 1)
	}
	return math.Hypot(p.X-a.X-t*dx, p.Y-a.Y-t*dy)
}

func TestVectorChartsHaveAWhitePage(t *testing.T) {
	var out bytes.Buffer
	if err := WriteChart(&out, "x.svg", ConfusionMatrix(blemish.Counts{TP: 1})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `d="M0,0L205,0L205,172L0,172Z" style="fill:#FFFFFF"`) {
		t.Error("on a dark page the drawing would be unreadable")
	}
}

func TestHistogramShowsADistantThreshold(t *testing.T) {
	for _, threshold := range []float64{-9, 9} {
		c, err := Histogram(Scores{Values: []float64{1, 3}, Defective: []bool{false, true}, Threshold: &threshold})
		if err != nil {
			t.Fatal(err)
		}
		if threshold < c.plot.X.Min || threshold > c.plot.X.Max {
			t.Errorf("threshold %v lies outside the drawing, which goes from %v to %v", threshold, c.plot.X.Min, c.plot.X.Max)
		}
	}
}

func TestWholeTicks(t *testing.T) {
	for high, want := range map[float64]float64{0: 1, 3.7: 1, 5: 1, 7: 2, 12: 5, 31: 10, 140: 50, 2600: 500} {
		if got := wholeGap(high); got != want {
			t.Errorf("up to %v there is a tick every %v, want %v", high, got, want)
		}
	}
}
