package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"sync"

	"github.com/blemish/blemish/imageio"
)

// ContactSheet is an HTML page of ranked rows or pictures, the most anomalous first.
type ContactSheet struct {
	Title, Subtitle string
	Provenance      [][2]string // as in Report
	Entries         []SheetEntry
}

// SheetEntry is one row or picture. Draw adds the picture; where no entry has one, the page is a table.
type SheetEntry struct {
	Rank, Index   int
	Score, PValue float64
	Anomalous     bool
	Label, Path   string // "" where there is none

	picture []byte // JPEG
	w, h    int    // as shown
}

// Draw renders the entry's picture, smaller than it is. It keeps nothing of it.
func (e *SheetEntry) Draw(picture *imageio.Picture) (err error) {
	e.w, e.h = displaySize(picture.Width, picture.Height, longestSide)
	e.picture, err = encodeJPEG(shrinkImage(toRGBA(picture), e.w, e.h))
	return err
}

//go:embed contactsheet.html
var contactSheetHTML string

var contactSheet = sync.OnceValues(func() (*template.Template, error) {
	return template.New("contact sheet").Parse(contactSheetHTML)
})

type sheetView struct {
	ContactSheet
	Style    template.CSS
	Pictures bool
	Labels   bool // any entry has one
	Paths    bool
	Rows     []sheetRow
}

type sheetRow struct {
	Rank, Index         int
	Score, PValue       string
	Class, Verdict      string
	Label, Name, Path   string
	Picture             template.HTMLAttr
	Width, Height, Zoom int
}

// WriteContactSheet writes a page that needs nothing else, like WriteHTML. Nothing is written on an error.
func WriteContactSheet(w io.Writer, s ContactSheet) error {
	tmpl, err := contactSheet()
	if err != nil {
		return err
	}
	css, err := assets.ReadFile("page.css")
	if err != nil {
		return err
	}
	view := sheetView{ContactSheet: s, Style: template.CSS(css)}
	for _, e := range s.Entries {
		row := sheetRow{
			Rank: e.Rank, Index: e.Index, Score: figure(e.Score), PValue: pValue(e.PValue), Class: "right", Verdict: "ordinary",
			Label: e.Label, Name: shortName(e.Path), Path: e.Path, Width: e.w, Height: e.h,
		}
		if e.Anomalous {
			row.Class, row.Verdict = "wrong", "outlier"
		}
		if e.picture != nil {
			row.Picture = source(e.picture)
			view.Pictures = true
			row.Zoom = max(1, 96/max(e.w, e.h, 1)) // tiny pictures are shown larger
			row.Width, row.Height = row.Width*row.Zoom, row.Height*row.Zoom
		}
		view.Labels = view.Labels || e.Label != ""
		view.Paths = view.Paths || e.Path != ""
		view.Rows = append(view.Rows, row)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, view); err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}
