package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/blemish/blemish/fault"
)

// readText reads values separated by delimiter, or, if that is 0, by whichever of comma, semicolon and tab the first line has most of.
// Quotes are those of RFC 4180. Empty lines are no rows.
func readText(r io.Reader, delimiter rune, o Options) (*Table, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(1 << 16)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(head) == 0:
		return nil, &fault.FormatError{Format: "CSV", Reason: "it is empty"}
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, &fault.UnsupportedError{What: "UTF-16 text", Hint: "save the table as UTF-8"}
	case bytes.IndexByte(head, 0) >= 0:
		return nil, &fault.FormatError{Format: "CSV", Reason: "it holds zero bytes: it is no text"}
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		in.Discard(3)
		head = head[3:]
	}
	if delimiter == 0 {
		delimiter = guessDelimiter(head)
	}
	c := csv.NewReader(in)
	c.Comma, c.FieldsPerRecord, c.TrimLeadingSpace = delimiter, -1, delimiter != '\t'
	first, err := record(c)
	if err == io.EOF {
		return nil, &fault.FormatError{Format: "CSV", Reason: "all its lines are empty"}
	}
	if err != nil {
		return nil, err
	}
	line, _ := c.FieldPos(0)
	second, err := record(c)
	if err != nil && err != io.EOF {
		return nil, err
	}
	header, err := isHeader(first, second, o.Header)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	var names []string
	if header {
		for i, s := range first {
			if !utf8.ValidString(s) {
				return nil, &fault.FormatError{Format: "CSV", Reason: fmt.Sprintf("line %d, column %d: the name is not UTF-8", line, i+1)}
			}
			names = append(names, strings.TrimSpace(s))
		}
	}
	b, err := newBuilder(names, len(first), o)
	if err != nil {
		return nil, err
	}
	if !header {
		if err := b.record(first, line, line); err != nil {
			return nil, err
		}
	}
	for fields := second; fields != nil; {
		at, _ := c.FieldPos(0)
		if err := b.record(fields, at, line); err != nil {
			return nil, err
		}
		if fields, err = record(c); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return b.finish()
}

// record returns the fields of the next line, nil and io.EOF at the end.
func record(c *csv.Reader) ([]string, error) {
	fields, err := c.Read()
	var damaged *csv.ParseError
	if errors.As(err, &damaged) {
		return nil, &fault.FormatError{Format: "CSV", Reason: fmt.Sprintf("line %d, byte %d", damaged.Line, damaged.Column), Err: damaged.Err}
	}
	if err == io.EOF {
		return nil, err
	}
	return fields, err
}

func guessDelimiter(head []byte) rune {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best := ','
	for _, d := range ";\t" {
		if bytes.Count(line, []byte(string(d))) > bytes.Count(line, []byte(string(best))) {
			best = d
		}
	}
	return best
}

// kind of a text cell.
type kind int

const (
	none kind = iota // missing
	number
	words
)

var missingWords = []string{"", "na", "n/a", "nan", "null", "none", "?"}

func parse(s string) (kind, float64) {
	s = strings.TrimSpace(s)
	if slices.Contains(missingWords, strings.ToLower(s)) {
		return none, 0
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return words, 0
	}
	return number, v
}

// isHeader says whether the first of two lines names columns.
func isHeader(first, second []string, asked Header) (bool, error) {
	if asked == WithHeader || asked == NoHeader {
		return asked == WithHeader, nil
	}
	numbers, texts, above := 0, 0, -1
	for i, s := range first {
		switch k, _ := parse(s); k {
		case number:
			numbers++
		case words:
			texts++
			if i < len(second) {
				if k, _ := parse(second[i]); k == number && above < 0 {
					above = i
				}
			}
		}
	}
	if numbers > 0 && above >= 0 {
		return false, fmt.Errorf("column %d: %q stands above a number, but other cells of the line are numbers: a header or a damaged row? Say --header yes or --header no",
			above+1, first[above])
	}
	return numbers == 0 && texts > 0, nil
}

// record adds a line of text cells; the first line of the table decides how many there must be.
func (b *builder) record(fields []string, line, firstLine int) error {
	b.line = line
	if len(fields) != len(b.roles) {
		return &fault.FormatError{Format: "CSV", Reason: fmt.Sprintf("line %d has %d fields, line %d has %d", line, len(fields), firstLine, len(b.roles))}
	}
	for i, s := range fields {
		if b.roles[i] == label || b.roles[i] == id {
			if !utf8.ValidString(s) {
				return &fault.FormatError{Format: "CSV", Reason: b.cell(i, "the text is not UTF-8").Error()}
			}
			b.words(i, strings.TrimSpace(s))
			continue
		}
		switch k, v := parse(s); k {
		case none:
			b.missing(i)
		case number:
			b.number(i, v)
		default:
			b.words(i, s)
		}
	}
	return b.endRow()
}
