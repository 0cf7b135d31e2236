// Package table reads tables of numbers: CSV, TSV, NumPy .npy and Parquet files to rows of float64. What a row is made of is said, and nothing
// is dropped in silence: a missing value, a text, a row of another length is an error that names its line and column.
package table

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/blemish/blemish/fault"
)

// Table is n rows of d numbers, and what names them.
type Table struct {
	Names      []string // of the columns of Data; "column 3", counted from 1, where the file has no names
	Rows, Cols int
	Data       []float64 // (Rows, Cols), row-major

	HasHeader bool     // the file names its columns
	LabelName string   // of the column that was set aside as label
	Labels    []string // one a row; nil without a label column
	IDs       []string // one a row; nil without a column of names
	Index     []int    // each row's number in the file, from 0, not counting a header
	Skipped   []CellError
}

// Options says how a table is to be read. Columns are named as in its header, or by number from 1; "last" is the last.
type Options struct {
	Label     string   // a column to set aside as label; "" for none
	ID        string   // a column that names the rows; "" for none
	Drop      []string // columns to leave out
	Header    Header
	Missing   Missing
	MaxValues int // refuse larger tables; DefaultMaxValues if 0
}

// DefaultMaxValues are 2 GiB of numbers.
const DefaultMaxValues = 1 << 28

// Header says whether the first line names the columns.
type Header string

// AutoHeader takes the first line for names if it holds no number, and refuses to guess where a text stands above a number among numbers.
const (
	AutoHeader Header = "auto" // also ""
	WithHeader Header = "yes"
	NoHeader   Header = "no"
)

// Missing says what becomes of rows in which a value is missing.
type Missing string

const (
	RefuseMissing Missing = "refuse" // also ""
	SkipMissing   Missing = "skip"   // leave such rows out, each listed in Table.Skipped
)

func (o Options) validate() error {
	switch {
	case !slices.Contains([]Header{"", AutoHeader, WithHeader, NoHeader}, o.Header):
		return &fault.ConfigError{Field: "header", Value: o.Header, Reason: "known are auto, yes and no"}
	case !slices.Contains([]Missing{"", RefuseMissing, SkipMissing}, o.Missing):
		return &fault.ConfigError{Field: "missing", Value: o.Missing, Reason: "known are refuse and skip"}
	case o.MaxValues < 0:
		return &fault.ConfigError{Field: "max values", Value: o.MaxValues, Reason: "want 0 or more"}
	}
	return nil
}

func (o Options) maxValues() int {
	if o.MaxValues == 0 {
		return DefaultMaxValues
	}
	return o.MaxValues
}

// CellError says what is wrong with one cell.
type CellError struct {
	Line   int // in a text file, from 1; 0 in others
	Row    int // of the data, from 0
	Column int // from 1
	Name   string
	Reason string
}

func (e *CellError) Error() string {
	where := fmt.Sprintf("row %d (from 0)", e.Row)
	if e.Line > 0 {
		where = fmt.Sprintf("line %d", e.Line)
	}
	column := fmt.Sprintf("column %d", e.Column)
	if e.Name != "" {
		column += fmt.Sprintf(" (%s)", e.Name)
	}
	return fmt.Sprintf("%s, %s: %s", where, column, e.Reason)
}

// Extensions are the ends of the names of files that can be read.
func Extensions() []string {
	return []string{".csv", ".tsv", ".tab", ".txt", ".data", ".tra", ".tes", ".npy", ".parquet"}
}

// Open reads a file by the end of its name; names with another end than .npy and .parquet are taken for text.
func Open(path string, o Options) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder, not a table", path)
	}
	t, err := read(f, info.Size(), strings.ToLower(filepath.Ext(path)), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func read(f io.ReaderAt, size int64, ext string, o Options) (*Table, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	switch ext {
	case ".npy":
		return readNPY(io.NewSectionReader(f, 0, size), size, o)
	case ".parquet":
		return readParquet(f, size, o)
	case ".tsv", ".tab":
		return readText(io.NewSectionReader(f, 0, size), '\t', o)
	}
	return readText(io.NewSectionReader(f, 0, size), 0, o)
}

// role is what a column of the file is for.
type role int

const (
	feature role = iota
	label
	id
	dropped
)

// builder makes a table of cells that come row by row, each row from left to right.
type builder struct {
	o        Options
	t        *Table
	roles    []role
	names    []string // of the file's columns; nil without a header
	row      int      // of the file's data
	line     int
	begun    int // values in t.Data before this row
	bad      *CellError
	problems []error
	count    int // of problems
	text     map[int]bool
}

// newBuilder gives each column its role. names is nil where the file has none.
func newBuilder(names []string, columns int, o Options) (*builder, error) {
	b := &builder{o: o, t: &Table{HasHeader: names != nil}, roles: make([]role, columns), names: names, text: map[int]bool{}}
	assign := func(what, ref string, r role) error {
		if ref == "" {
			return nil
		}
		i, err := find(ref, names, columns)
		if err != nil {
			return fmt.Errorf("%s column: %w", what, err)
		}
		if b.roles[i] != feature {
			return fmt.Errorf("%s column: %q was named for two purposes", what, ref)
		}
		b.roles[i] = r
		return nil
	}
	if err := assign("label", o.Label, label); err != nil {
		return nil, err
	}
	if err := assign("id", o.ID, id); err != nil {
		return nil, err
	}
	for _, ref := range o.Drop {
		if err := assign("dropped", ref, dropped); err != nil {
			return nil, err
		}
	}
	for i, r := range b.roles {
		switch r {
		case feature:
			b.t.Names = append(b.t.Names, b.name(i))
		case label:
			b.t.LabelName = b.name(i)
		}
	}
	b.t.Cols = len(b.t.Names)
	if b.t.Cols == 0 {
		return nil, fmt.Errorf("none of its %d columns is left to judge rows by", columns)
	}
	return b, nil
}

// find resolves a column by name, by number from 1, or as the last.
func find(ref string, names []string, columns int) (int, error) {
	if i := slices.Index(names, ref); i >= 0 {
		if slices.Contains(names[i+1:], ref) {
			return 0, fmt.Errorf("several columns are named %q: give its number, from 1", ref)
		}
		return i, nil
	}
	if ref == "last" {
		return columns - 1, nil
	}
	if n, err := strconv.Atoi(ref); err == nil && n >= 1 && n <= columns {
		return n - 1, nil
	}
	if names == nil {
		return 0, fmt.Errorf("%q: the table has no header: give a number from 1 to %d, or last", ref, columns)
	}
	return 0, fmt.Errorf("no column is named %q; there are %s", ref, few(names))
}

// few lists the first names.
func few(names []string) string {
	const most = 12
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (b *builder) name(column int) string {
	if b.names == nil || b.names[column] == "" {
		return fmt.Sprintf("column %d", column+1)
	}
	return b.names[column]
}

func (b *builder) cell(column int, reason string) *CellError {
	e := &CellError{Line: b.line, Row: b.row, Column: column + 1, Reason: reason}
	if b.names != nil {
		e.Name = b.names[column]
	}
	return e
}

const namedProblems = 8

func (b *builder) problem(err error) {
	if b.count++; b.count <= namedProblems {
		b.problems = append(b.problems, err)
	}
}

// number adds a cell that is a number.
func (b *builder) number(column int, v float64) {
	switch b.roles[column] {
	case label:
		b.t.Labels = append(b.t.Labels, plain(v))
	case id:
		b.t.IDs = append(b.t.IDs, plain(v))
	case feature:
		if math.IsNaN(v) {
			b.missing(column)
			return
		}
		if math.IsInf(v, 0) {
			b.problem(b.cell(column, "the value is infinite"))
		}
		b.t.Data = append(b.t.Data, v)
	}
}

func plain(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// words adds a cell that is a text.
func (b *builder) words(column int, s string) {
	switch b.roles[column] {
	case label:
		b.t.Labels = append(b.t.Labels, s)
	case id:
		b.t.IDs = append(b.t.IDs, s)
	case feature:
		if !b.text[column] { // once a column
			b.text[column] = true
			b.problem(b.cell(column, noNumber(s, len(b.roles))))
		}
		b.t.Data = append(b.t.Data, 0)
	}
}

// noNumber says what may be done about a text.
func noNumber(s string, columns int) string {
	advice := "leave the column out (--drop), or take it as --label or --id"
	if k, _ := parse(strings.ReplaceAll(s, ",", "")); k == number && strings.Contains(s, ",") {
		advice = "write it with a point for decimals, and no other separators"
	} else if parts := strings.Fields(s); columns == 1 && len(parts) > 1 && !slices.ContainsFunc(parts, func(p string) bool { k, _ := parse(p); return k != number }) {
		advice = "separate columns by commas, semicolons or tabs"
	}
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return fmt.Sprintf("%q is no number: %s", s, advice)
}

// missing adds a cell without a value.
func (b *builder) missing(column int) {
	switch b.roles[column] {
	case label:
		b.t.Labels = append(b.t.Labels, "")
	case id:
		b.t.IDs = append(b.t.IDs, "")
	case feature:
		e := b.cell(column, "the value is missing")
		if b.bad == nil {
			b.bad = e
		}
		if b.o.Missing != SkipMissing {
			b.problem(e)
		}
		b.t.Data = append(b.t.Data, 0)
	}
}

// endRow keeps the row, or leaves it out.
func (b *builder) endRow() error {
	t := b.t
	if b.bad != nil && b.o.Missing == SkipMissing {
		t.Skipped = append(t.Skipped, *b.bad)
		t.Data = t.Data[:b.begun]
		t.Labels, t.IDs = t.Labels[:min(len(t.Labels), t.Rows)], t.IDs[:min(len(t.IDs), t.Rows)]
	} else {
		t.Index = append(t.Index, b.row)
		t.Rows++
	}
	b.row++
	b.begun, b.bad = len(t.Data), nil
	if len(t.Data) > b.o.maxValues() {
		return &fault.LimitError{What: fmt.Sprintf("table of more than %d rows of %d values", t.Rows-1, t.Cols), Limit: fmt.Sprintf("%d values", b.o.maxValues())}
	}
	return nil
}

// finish returns the table, or what was wrong with it.
func (b *builder) finish() (*Table, error) {
	if b.count > 0 {
		var lines []string
		for _, p := range b.problems {
			lines = append(lines, p.Error())
		}
		if more := b.count - len(b.problems); more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more", more))
		}
		if slices.ContainsFunc(b.problems, func(err error) bool { return strings.Contains(err.Error(), "missing") }) {
			lines = append(lines, "fill missing values in, or leave such rows out with --missing skip")
		}
		return nil, fmt.Errorf("the table cannot be judged as it is:\n  %s", strings.Join(lines, "\n  "))
	}
	if b.t.Rows == 0 {
		switch {
		case len(b.t.Skipped) > 0:
			return nil, fmt.Errorf("no rows: %d were left out for missing values", len(b.t.Skipped))
		case b.t.HasHeader:
			return nil, errors.New("no rows: it names columns, and nothing follows")
		}
		return nil, errors.New("no rows")
	}
	return b.t, nil
}
