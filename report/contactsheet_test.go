package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/blemish/blemish/imageio"
)

func sheetOf(t *testing.T, s ContactSheet) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteContactSheet(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestContactSheetOfPictures(t *testing.T) {
	s := ContactSheet{Title: "Outliers: <lot>", Subtitle: "the first 2", Provenance: [][2]string{{"method", "knn"}}}
	for i, size := range [][2]int{{600, 300}, {8, 8}} {
		e := SheetEntry{Rank: i + 1, Index: 40 + i, Score: 2.5, PValue: 0.001, Anomalous: i == 0, Path: "lot/a&b/p.png"}
		if err := e.Draw(imageio.New(size[0], size[1], 1, 8)); err != nil {
			t.Fatal(err)
		}
		s.Entries = append(s.Entries, e)
	}
	page := sheetOf(t, s)
	for _, want := range []string{
		"<title>Outliers: &lt;lot&gt;</title>", `<li class="wrong">`, `<li class="right">`, `<img src="data:image/jpeg;base64,`,
		`width="300" height="150"`, `width="96" height="96" alt="Picture of rank 2" class="zoomed"`, "score 2.5, p 0.001", "index 40, a&amp;b/p.png",
		"default-src 'none'",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(page, "<table>") || strings.Contains(page, "<script") || strings.Contains(page, "ZgotmplZ") {
		t.Error("a table, a script or an unsafe value on a page of pictures")
	}
	if page != sheetOf(t, s) {
		t.Error("the same entries give other bytes")
	}
}

func TestContactSheetOfRows(t *testing.T) {
	page := sheetOf(t, ContactSheet{Title: "rows", Entries: []SheetEntry{{Rank: 1, Index: 486, Score: 0.1354, PValue: 1e-4, Label: "7", Anomalous: true}}})
	if !strings.Contains(page, `<th scope="row">1</th><td class="wrong">outlier</td><td>0.1354</td><td>0.0001</td><td>486</td><td>7</td></tr>`) ||
		strings.Contains(page, "<img") || strings.Contains(page, ">name</th>") {
		t.Error(page)
	}
}
