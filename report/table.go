package report

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/blemish/blemish"
)

// tableWidth is how many columns a table may take on a terminal.
const tableWidth = 100

// WriteTable writes the sections' main figures as aligned plain text of at most 100 columns: a row for each section, then their
// mean; for a single section a row for each kind of defect instead. Figures that could not be computed show as "–", and the
// notes that say why follow. F1-max is that of pictures, AUPRO is up to a false-positive rate of 0.3; false alarms and misses are
// counts out of all good and all defective pictures.
func WriteTable(w io.Writer, sections []Section) error {
	if len(sections) == 0 {
		return errors.New("no sections to write a table of")
	}
	rows := []summary{
		{ImageAUROC: "image", PixelAUROC: "pixel", FalseAlarms: "false", MsPerImg: "ms per"},
		{
			Name: "data set", ImageAUROC: "AUROC", PixelAUROC: "AUROC", AUPRO: "AUPRO", ImageF1: "F1-max", Threshold: "threshold",
			FalseAlarms: "alarms", Misses: "misses", MsPerImg: "picture",
		},
	}
	rules := []int{len(rows)}
	for _, s := range sections {
		rows = append(rows, summarise(s.Name, s.Evaluation))
	}
	if len(sections) > 1 {
		rules = append(rules, len(rows))
		rows = append(rows, overall(sections))
	} else {
		rows = append(rows, defectRows(sections[0].Evaluation)...)
	}
	var out bytes.Buffer
	writeRows(&out, rows, rules)
	for _, s := range sections {
		for _, note := range s.Evaluation.Notes {
			prefix := "note: "
			if len(sections) > 1 {
				prefix = "note on " + elide(printable(s.Name), tableWidth/2) + ": "
			}
			out.WriteString(wrap(prefix+printable(note), tableWidth))
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// defectRows has a row for each kind of defect against all good pictures.
func defectRows(e *blemish.Evaluation) []summary {
	var rows []summary
	for _, d := range byDefect(e) {
		rows = append(rows, summary{
			Name: "  " + d.Kind, ImageAUROC: ratio(d.Image.AUROC), PixelAUROC: ratio(d.Pixel.AUROC), AUPRO: ratio(d.Pixel.AUPRO),
			ImageF1: ratio(d.Image.F1Max), Misses: d.Misses,
		})
	}
	return rows
}

func (s summary) cells() []string {
	return []string{printable(s.Name), s.ImageAUROC, s.PixelAUROC, s.AUPRO, s.ImageF1, s.Threshold, s.FalseAlarms, s.Misses, s.MsPerImg}
}

// writeRows aligns rows, with a rule above those of the given indices. Names too long for the width lose their beginning.
func writeRows(out *bytes.Buffer, rows []summary, rules []int) {
	widths := make([]int, len(rows[0].cells()))
	for _, r := range rows {
		for i, cell := range r.cells() {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	const gap = 2
	left := tableWidth
	for _, w := range widths[1:] {
		left -= gap + w
	}
	widths[0] = min(widths[0], left)
	for n, r := range rows {
		if slices.Contains(rules, n) {
			out.WriteString(strings.Repeat("-", tableWidth-left+widths[0]) + "\n")
		}
		var row strings.Builder
		for i, cell := range r.cells() {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if i == 0 {
				row.WriteString(elide(cell, widths[0]) + pad)
			} else {
				row.WriteString(strings.Repeat(" ", gap) + pad + cell)
			}
		}
		out.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
}

// elide keeps a name's end, which tells paths apart.
func elide(name string, width int) string {
	runes := []rune(name)
	if len(runes) <= width {
		return name
	}
	return "…" + string(runes[len(runes)-width+1:])
}

// wrap breaks a text into lines of at most width columns where words allow it, continued with two spaces.
func wrap(text string, width int) string {
	var out strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			out.WriteString("\n  ")
			column = 2
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += n
	}
	return out.String() + "\n"
}
