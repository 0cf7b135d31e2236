// Package report draws what a person looks at: evaluations as self-contained HTML pages and terminal tables, heat maps over
// pictures, and charts as SVG, PNG and PDF. Nothing here changes a figure; equal input gives equal bytes.
package report

import (
	"bytes"
	"embed"
	"html/template"
	"io"
	"sync"

	"github.com/blemish/blemish"
)

// Report is one HTML page.
type Report struct {
	Title      string
	Subtitle   string
	Provenance [][2]string // what made the figures, as name and value: method, backbone, seed …
	Sections   []Section
}

// Section is the evaluation of one data set.
type Section struct {
	Name       string
	Evaluation *blemish.Evaluation
	Galleries  []Gallery       // pictures to look at; see Choose
	History    []blemish.Epoch // of a classifier's training, for its accuracy curve
	Samples    []Sample        // up to fifteen pictures, for a classifier's grid
}

//go:embed page.html page.css
var assets embed.FS

var page = sync.OnceValues(func() (*template.Template, error) {
	return template.ParseFS(assets, "page.html")
})

// WriteHTML writes a page that needs nothing else: no network, no script, no other file. It follows the reader's light or dark
// theme, fits a phone and prints. Nothing is written on an error.
func WriteHTML(w io.Writer, r Report) error {
	tmpl, err := page()
	if err != nil {
		return err
	}
	view, err := newPageView(r)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, view); err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}
