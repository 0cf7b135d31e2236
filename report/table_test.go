package report

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/blemish/blemish"
)

func value(v float64) *float64 { return &v }

func tableSections() []Section {
	return []Section{
		{Name: "woven", Evaluation: &blemish.Evaluation{
			Images: 50, Threshold: value(3.4127), MsPerImage: 11.26, Counts: blemish.Counts{TP: 19, FP: 1, TN: 29, FN: 1},
			Image: blemish.ImageMetrics{AUROC: value(0.98), F1Max: value(0.95)}, Pixel: blemish.PixelMetrics{AUROC: value(0.97), AUPRO: value(0.91)},
			ByDefect: map[string]blemish.DefectEvaluation{
				"stain": {Images: 2, Image: blemish.ImageMetrics{AUROC: value(1), F1Max: value(1)}},
				"hole":  {Images: 1, Image: blemish.ImageMetrics{AUROC: value(0.5), F1Max: value(0.25)}, Pixel: blemish.PixelMetrics{AUROC: value(0.75), AUPRO: value(0.125)}},
			},
			Pictures: []blemish.ScoredPicture{{Kind: "stain", Defective: true, Anomalous: true}, {Kind: "stain", Defective: true}, {Kind: "hole", Defective: true}},
		}},
		{Name: "brick", Evaluation: &blemish.Evaluation{
			Images: 10, Threshold: value(120), MsPerImage: 8.74, Counts: blemish.Counts{TP: 4, FP: 0, TN: 5, FN: 1},
			Image: blemish.ImageMetrics{AUROC: value(0.9), F1Max: value(0.85)}, Pixel: blemish.PixelMetrics{AUROC: value(0.93)},
			Notes: []string{"3 defective pictures have no mask: they count as pictures, not as pixels"},
		}},
	}
}

func table(t *testing.T, sections []Section) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteTable(&out, sections); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableOfSeveralSets(t *testing.T) {
	want := `
               image   pixel                              false           ms per
data set       AUROC   AUROC   AUPRO  F1-max  threshold  alarms  misses  picture
--------------------------------------------------------------------------------
woven         0.9800  0.9700  0.9100  0.9500     3.4127    1/30    1/20     11.3
brick         0.9000  0.9300       –  0.8500        120     0/5     1/5      8.7
--------------------------------------------------------------------------------
mean / total  0.9400  0.9500       –  0.9000               1/35    2/25     10.0
note on brick: 3 defective pictures have no mask: they count as pictures, not as pixels
`
	if got := table(t, tableSections()); got != want[1:] {
		t.Errorf("table is\n%s\nwant\n%s", got, want[1:])
	}
}

func TestTableOfOneSetHasItsDefects(t *testing.T) {
	want := `
           image   pixel                              false           ms per
data set   AUROC   AUROC   AUPRO  F1-max  threshold  alarms  misses  picture
----------------------------------------------------------------------------
woven     0.9800  0.9700  0.9100  0.9500     3.4127    1/30    1/20     11.3
  hole    0.5000  0.7500  0.1250  0.2500                        1/1
  stain   1.0000       –       –  1.0000                        1/2
`
	if got := table(t, tableSections()[:1]); got != want[1:] {
		t.Errorf("table is\n%s\nwant\n%s", got, want[1:])
	}
}

func TestTableWithoutThreshold(t *testing.T) {
	sections := tableSections()
	sections[1].Evaluation.Threshold = nil
	lines := strings.Split(table(t, sections), "\n")
	for i, want := range map[int]string{
		4: "brick         0.9000  0.9300       –  0.8500          –       –       –      8.7",
		6: "mean / total  0.9400  0.9500       –  0.9000                  –       –     10.0", // counts of some sets are not counts of all
	} {
		if lines[i] != want {
			t.Errorf("row %d is %q, want %q", i, lines[i], want)
		}
	}
}

func TestTableFitsHundredColumns(t *testing.T) {
	sections := tableSections()
	sections[0].Name = "/a/very/long/path/" + strings.Repeat("ünd/so/weiter/", 12) + "tiles"
	addNote(sections[1], strings.Repeat("many words ", 40))
	addNote(sections[0], "short")
	for _, line := range strings.Split(table(t, sections), "\n") {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(table(t, sections[:1]), "ünd/so/weiter/tiles  0.98") {
		t.Error("the end of the long name is lost")
	}
}

func addNote(s Section, note string) { s.Evaluation.Notes = append(s.Evaluation.Notes, note) }

func TestTableDisarmsNames(t *testing.T) {
	sections := tableSections()
	sections[0].Name = "a\x1b[2J\nb\u202e"
	addNote(sections[1], "\x1b]0;owned\x07")
	if got := table(t, sections); strings.ContainsAny(got, "\x1b\x07\u202e") || strings.Count(got, "\n") != 9 {
		t.Errorf("the terminal would obey %q", got)
	}
}

func TestTableOfNothing(t *testing.T) {
	if err := WriteTable(new(bytes.Buffer), nil); err == nil {
		t.Error("a table of nothing was written")
	}
}
