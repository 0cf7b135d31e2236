package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/tensor"
)

func writeHTML(t *testing.T, r Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteHTML(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func demoReport(t *testing.T) Report {
	return Report{
		Title: "Demo", Subtitle: "rendered surfaces",
		Provenance: [][2]string{{"method", "patchcore"}, {"seed", "1"}},
		Sections:   []Section{madeUp(t, "woven", 1, 96, 6), madeUp(t, "brick", 2, 64, 6)},
	}
}

var jpegData = regexp.MustCompile(`src="data:image/jpeg;base64,[A-Za-z0-9+/=]+"`)

// withoutPictures drops the embedded pictures, whose base64 may hold any letters.
func withoutPictures(page string) string { return jpegData.ReplaceAllString(page, "src") }

// wellFormed parses a page as XML with HTML's void elements and attributes without values.
func wellFormed(page string) error {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.Entity = false, xml.HTMLEntity
	void := []string{"meta", "img", "input"}
	var open []string
	for {
		token, err := d.RawToken()
		if err == io.EOF {
			if len(open) > 0 {
				return fmt.Errorf("%v left open", open)
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if !slices.Contains(void, e.Name.Local) {
				open = append(open, e.Name.Local)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != e.Name.Local {
				return fmt.Errorf("</%s> closes %v", e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestPageIsWellFormed(t *testing.T) {
	page := writeHTML(t, demoReport(t))
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
	if wellFormed(strings.Replace(page, "</table>", "", 1)) == nil {
		t.Error("the check accepts a table that is left open")
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("id %q is used twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("a link leads to #%s, which is missing", m[1])
		}
	}
}

func TestPageFetchesNothing(t *testing.T) {
	page := withoutPictures(writeHTML(t, demoReport(t)))
	for _, bad := range []string{"//", "http:", "https:", "url(", "@import", "<script", "<link", "<iframe", "<object", "xlink", "javascript:"} {
		if at := strings.Index(page, bad); at >= 0 {
			t.Errorf("the page holds %q: …%s…", bad, page[max(0, at-40):min(len(page), at+40)])
		}
	}
	if !strings.Contains(page, `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"`) {
		t.Error("the page does not forbid the browser to fetch anything")
	}
}

func TestPageShowsEveryFigure(t *testing.T) {
	r := demoReport(t)
	page := writeHTML(t, r)
	for _, s := range r.Sections {
		e := s.Evaluation
		all := []*float64{e.Image.AUROC, e.Image.AP, e.Image.F1Max, e.Image.BalancedAccuracy, e.Pixel.AUROC, e.Pixel.AP, e.Pixel.F1Max, e.Pixel.AUPRO, e.Pixel.AUPRO05}
		for _, d := range e.ByDefect {
			all = append(all, d.Image.AUROC, d.Image.AP, d.Image.F1Max, d.Pixel.AUROC, d.Pixel.AP, d.Pixel.F1Max, d.Pixel.AUPRO, d.Pixel.AUPRO05)
		}
		for _, v := range all {
			if want := fmt.Sprintf("<td>%.4f</td>", *v); !strings.Contains(page, want) {
				t.Errorf("%s: no cell %s", s.Name, want)
			}
		}
		for _, want := range []string{
			fmt.Sprintf("<td>%d/%d</td>", e.Counts.FP, e.Counts.FP+e.Counts.TN), fmt.Sprintf("<td>%d/%d</td>", e.Counts.FN, e.Counts.FN+e.Counts.TP),
			fmt.Sprintf("%.1f ms", e.MsPerImage), "<td>2.2</td>",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %s", s.Name, want)
			}
		}
		for _, g := range s.Galleries {
			for _, c := range g.Cards {
				if !strings.Contains(page, fmt.Sprintf("<dd>%.5g</dd>", c.Scored.Score)) || !strings.Contains(page, `title="`+c.Scored.Path+`"`) {
					t.Errorf("%s is not shown with its score", c.Scored.Path)
				}
			}
		}
	}
	for _, want := range []string{"<title>Demo</title>", "<h1>Demo</h1>", "rendered surfaces", "<dt>method</dt><dd>patchcore</dd>", "<dt>seed</dt><dd>1</dd>"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(page, `role="img" aria-label="`); n != 8 {
		t.Errorf("%d charts with a description, want 4 for each of 2 sections", n)
	}
	if n, alt := strings.Count(page, "<img "), strings.Count(page, `alt="`); n == 0 || n != alt {
		t.Errorf("%d pictures, %d alternative texts", n, alt)
	}
}

func TestPageShowsMissingFigures(t *testing.T) {
	e := &blemish.Evaluation{
		Images: 2, MsPerImage: 1, Notes: []string{"image figures need good and defective pictures"},
		Pictures: []blemish.ScoredPicture{{Path: "a.png", Kind: "good", Score: 1, PValue: math.NaN()}, {Path: "b.png", Kind: "good", Score: 1, PValue: math.NaN()}},
	}
	page := writeHTML(t, Report{Title: "x", Sections: []Section{{Name: "s", Evaluation: e, Galleries: Choose(e, 3)}}})
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
	for want, times := range map[string]int{
		"<li>image figures need good and defective pictures</li>": 1,
		"<td>–</td>":                         10, // nine ratios and the threshold
		"Needs good and defective pictures.": 2,
		"The model has no threshold.":        1,
		"<dt>p-value</dt><dd>–</dd>":         2,
		`<span class="verdict">Good</span>`:  2,
		"NaN":                                0,
	} {
		if n := strings.Count(page, want); n != times {
			t.Errorf("%q appears %d times, want %d", want, n, times)
		}
	}
}

func TestPageOfEmptyEvaluation(t *testing.T) {
	if err := wellFormed(writeHTML(t, Report{Sections: []Section{{Evaluation: &blemish.Evaluation{}}}})); err != nil {
		t.Error(err)
	}
	if err := wellFormed(writeHTML(t, Report{Title: "nothing"})); err != nil {
		t.Error(err)
	}
}

func TestPageEscapesNames(t *testing.T) {
	const hostile = `a"><script>alert(1)</script><img src=x onerror='x'>&amp;.png`
	e := &blemish.Evaluation{Images: 2, Notes: []string{hostile}, ByDefect: map[string]blemish.DefectEvaluation{hostile: {Images: 1}},
		Pictures: []blemish.ScoredPicture{{Path: hostile, Kind: hostile, Defective: true, Score: 3}, {Path: "good/" + hostile, Kind: "good", Score: 1}}}
	galleries := Choose(e, 5)
	for _, g := range galleries {
		for _, c := range g.Cards {
			if err := c.Draw(flat(9, 4), nil, nil, Scale{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	section := Section{Name: hostile, Evaluation: e, Galleries: galleries}
	page := writeHTML(t, Report{Title: hostile, Subtitle: hostile, Provenance: [][2]string{{hostile, hostile}}, Sections: []Section{section, section}})
	for _, bad := range []string{"<script", "<img src=x", `a">`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
	if n := strings.Count(page, "&lt;script&gt;alert(1)"); n < 10 {
		t.Errorf("the name is shown %d times", n)
	}
}

func TestPageIsDeterministic(t *testing.T) {
	first := writeHTML(t, demoReport(t))
	for range 3 {
		if writeHTML(t, demoReport(t)) != first {
			t.Fatal("equal input gave different bytes")
		}
	}
}

func TestSixtyCardsStaySmall(t *testing.T) {
	section := madeUp(t, "woven", 1, 256, 20)
	for len(section.Galleries) < 10 {
		section.Galleries = append(section.Galleries, section.Galleries[0])
	}
	cards := 0
	for i := range section.Galleries {
		for len(section.Galleries[i].Cards) < 6 {
			section.Galleries[i].Cards = append(section.Galleries[i].Cards, section.Galleries[i].Cards[0])
		}
		cards += len(section.Galleries[i].Cards)
	}
	if cards < 60 {
		t.Fatalf("only %d cards", cards)
	}
	if size := len(writeHTML(t, Report{Sections: []Section{section}})); size > 6<<20 {
		t.Errorf("a page with %d cards has %d bytes, more than 6 MiB", cards, size)
	}
}

// failing is a writer that takes nothing.
type failing struct{ calls int }

func (f *failing) Write([]byte) (int, error) { f.calls++; return 0, io.ErrClosedPipe }

// counting is a writer that takes everything.
type counting struct{ calls int }

func (c *counting) Write(p []byte) (int, error) { c.calls++; return len(p), nil }

func TestWriteHTMLWritesAtOnce(t *testing.T) {
	var w counting
	if err := WriteHTML(&w, demoReport(t)); err != nil || w.calls != 1 {
		t.Errorf("%d writes, error %v: a page that fails halfway would be left in parts", w.calls, err)
	}
}

func TestWriteHTMLErrors(t *testing.T) {
	var w failing
	if err := WriteHTML(&w, Report{Sections: []Section{{Name: "bricks"}}}); err == nil || !strings.Contains(err.Error(), `"bricks"`) || w.calls > 0 {
		t.Errorf("a section without an evaluation: error %v after %d writes", err, w.calls)
	}
	e := &blemish.Evaluation{Pictures: []blemish.ScoredPicture{{Score: math.Inf(1)}}}
	if err := WriteHTML(&w, Report{Sections: []Section{{Name: "bricks", Evaluation: e}}}); err == nil || w.calls > 0 {
		t.Errorf("an infinite score: error %v after %d writes", err, w.calls)
	}
	if err := WriteHTML(&w, Report{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a writer's error is lost: %v", err)
	}
}

func TestChoose(t *testing.T) {
	threshold := 5.0
	p := func(name, kind string, score float64) blemish.ScoredPicture {
		return blemish.ScoredPicture{Path: name, Kind: kind, Defective: kind != "good", Score: score, Anomalous: score > threshold}
	}
	e := &blemish.Evaluation{Threshold: &threshold, Pictures: []blemish.ScoredPicture{
		p("g1", "good", 1), p("g6", "good", 6), p("g9", "good", 9), p("g7", "good", 7), p("g2", "good", 2),
		p("c3", "crack", 3), p("c8", "crack", 8), p("c4", "crack", 4), p("c6", "crack", 6), p("c7", "crack", 7), p("c9", "crack", 9),
		p("s6", "blot", 6),
	}}
	describe := func(galleries []Gallery) []string {
		var out []string
		for _, g := range galleries {
			line := g.Title + ":"
			for _, c := range g.Cards {
				line += " " + c.Scored.Path
			}
			out = append(out, line)
		}
		return out
	}
	want := []string{"False alarms: g9 g7", "Misses: c3 c4", "Examples: blot: s6", "Examples: crack: c9 c7", "Examples: good: g6 g2"}
	if got := describe(Choose(e, 2)); !slices.Equal(got, want) {
		t.Errorf("chosen with a threshold:\n%q, want\n%q", got, want)
	}
	e.Threshold = nil
	want = []string{"Good pictures that score highest: g9", "Defective pictures that score lowest: c3", "Examples: blot: s6", "Examples: crack: c9", "Examples: good: g7"}
	if got := describe(Choose(e, 1)); !slices.Equal(got, want) {
		t.Errorf("chosen without a threshold:\n%q, want\n%q", got, want)
	}
	if got := Choose(&blemish.Evaluation{}, 4); len(got) != 0 {
		t.Errorf("galleries of nothing: %v", got)
	}
}

func TestDrawChecksSizes(t *testing.T) {
	picture := imageio.New(4, 3, 1, 8)
	var shape *fault.ShapeError
	for _, dims := range [][]int{{4, 3}, {3, 3}, {4, 4}, {12}} {
		if err := new(Card).Draw(picture, tensor.New(dims...), nil, Scale{}); !errors.As(err, &shape) {
			t.Errorf("a map of shape %v over a picture of 4x3: %v", dims, err)
		}
	}
	for _, dims := range [][2]int{{3, 4}, {4, 4}, {3, 3}} {
		mask := &imageio.Mask{Width: dims[0], Height: dims[1], Data: make([]uint8, dims[0]*dims[1])}
		if err := new(Card).Draw(picture, nil, mask, Scale{}); !errors.As(err, &shape) {
			t.Errorf("a mask of %v over a picture of 4x3: %v", dims, err)
		}
	}
	threshold := 1.0
	card := new(Card)
	m := tensor.New(3, 4)
	m.Data[5] = 2
	if err := card.Draw(picture, m, &imageio.Mask{Width: 4, Height: 3, Data: []uint8{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, Scale{High: 2, Threshold: &threshold}); err != nil {
		t.Fatal(err)
	}
	if card.truth != "M0 0h1v1h-1z" || card.found != "M1 1h1v1h-1z" {
		t.Errorf("outlines are %q and %q", card.truth, card.found)
	}
}
