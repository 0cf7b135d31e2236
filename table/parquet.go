package table

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/blemish/blemish/fault"
)

// readParquet reads a flat table of numbers and booleans, with texts for labels. The reader beneath panics on some damaged files: such a panic
// means just that.
func readParquet(r io.ReaderAt, size int64, o Options) (t *Table, err error) {
	const format = "Parquet"
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, &fault.FormatError{Format: format, Reason: fmt.Sprint(p)}
		}
	}()
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, &fault.FormatError{Format: format, Reason: "its footer cannot be read", Err: err}
	}
	columns := f.Root().Columns()
	var names []string
	for _, c := range columns {
		if !c.Leaf() || c.Repeated() {
			return nil, &fault.UnsupportedError{What: fmt.Sprintf("nested Parquet column %q", c.Name()), Hint: "write one number a cell"}
		}
		names = append(names, c.Name())
	}
	if len(names) == 0 {
		return nil, &fault.FormatError{Format: format, Reason: "it has no columns"}
	}
	if n := f.NumRows(); n < 0 || n > int64(o.maxValues()/len(names)) {
		return nil, &fault.LimitError{What: fmt.Sprintf("table of %d rows of %d values", n, len(names)), Limit: fmt.Sprintf("%d values", o.maxValues())}
	}
	b, err := newBuilder(names, len(names), o)
	if err != nil {
		return nil, err
	}
	for i, c := range columns {
		if kind := dated(c); kind != "" && b.roles[i] == feature {
			return nil, &fault.UnsupportedError{What: fmt.Sprintf("Parquet column %q of type %s", c.Name(), kind), Hint: "leave it out (--drop), take it as --label or --id, or write plain numbers"}
		}
	}
	if f.NumRows() == 0 {
		return b.finish()
	}
	buffer := make([]parquet.Row, 256)
	for _, group := range f.RowGroups() {
		if err := b.group(group, columns, buffer); err != nil {
			return nil, err
		}
	}
	if int64(b.row) != f.NumRows() {
		return nil, &fault.FormatError{Format: format, Reason: fmt.Sprintf("it promises %d rows and holds %d", f.NumRows(), b.row)}
	}
	return b.finish()
}

// dated names a type whose stored numbers do not mean themselves: dates, times and decimals.
func dated(c *parquet.Column) string {
	t := c.Type().LogicalType()
	if t == nil {
		return ""
	}
	for _, kind := range []string{"DATE", "TIME", "DECIMAL", "FLOAT16"} {
		if s := t.String(); strings.HasPrefix(s, kind) {
			return s
		}
	}
	return ""
}

func (b *builder) group(group parquet.RowGroup, columns []*parquet.Column, buffer []parquet.Row) error {
	rows := group.Rows()
	defer rows.Close()
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			if len(row) != len(columns) {
				return &fault.FormatError{Format: "Parquet", Reason: fmt.Sprintf("row %d has %d values for %d columns", b.row, len(row), len(columns))}
			}
			for i, v := range row {
				b.value(i, v, columns[i])
			}
			if err := b.endRow(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &fault.FormatError{Format: "Parquet", Reason: fmt.Sprintf("after row %d", b.row), Err: err}
		}
		if n == 0 {
			return &fault.FormatError{Format: "Parquet", Reason: fmt.Sprintf("it ends after row %d", b.row)}
		}
	}
}

func (b *builder) value(i int, v parquet.Value, c *parquet.Column) {
	unsigned := false
	if t := c.Type().LogicalType(); t != nil {
		unsigned = strings.HasPrefix(t.String(), "INT(") && strings.Contains(t.String(), "false")
	}
	switch {
	case v.IsNull():
		b.missing(i)
	case v.Kind() == parquet.Boolean && v.Boolean():
		b.number(i, 1)
	case v.Kind() == parquet.Boolean:
		b.number(i, 0)
	case v.Kind() == parquet.Int32 && unsigned:
		b.number(i, float64(v.Uint32()))
	case v.Kind() == parquet.Int32:
		b.number(i, float64(v.Int32()))
	case v.Kind() == parquet.Int64 && unsigned:
		b.number(i, float64(v.Uint64()))
	case v.Kind() == parquet.Int64:
		b.number(i, float64(v.Int64()))
	case v.Kind() == parquet.Float:
		b.number(i, float64(v.Float()))
	case v.Kind() == parquet.Double:
		b.number(i, v.Double())
	default:
		b.words(i, strings.ToValidUTF8(string(v.Bytes()), "�"))
	}
}
