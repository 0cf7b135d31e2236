package table

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/fault"
)

func fromText(text, ext string, o Options) (*Table, error) {
	return read(bytes.NewReader([]byte(text)), int64(len(text)), ext, o)
}

func TestText(t *testing.T) {
	for name, c := range map[string]struct {
		text, ext string
		o         Options
		names     []string
		data      []float64
		labels    []string
		ids       []string
		header    bool
	}{
		"bare numbers":       {text: "1,2\n3,4\n", names: []string{"column 1", "column 2"}, data: []float64{1, 2, 3, 4}},
		"header":             {text: "a,b\n1,2\n3,4", header: true, names: []string{"a", "b"}, data: []float64{1, 2, 3, 4}},
		"byte order mark":    {text: "\ufeffa,b\r\n1,2\r\n", header: true, names: []string{"a", "b"}, data: []float64{1, 2}},
		"semicolons":         {text: "a;b\n1;2\n", header: true, names: []string{"a", "b"}, data: []float64{1, 2}},
		"tabs":               {text: "a b\tb\n1\t2\n", ext: ".tsv", header: true, names: []string{"a b", "b"}, data: []float64{1, 2}},
		"quotes, exponents":  {text: "\"a,1\",b\n\" 1e3\",-.5\n", header: true, names: []string{"a,1", "b"}, data: []float64{1000, -0.5}},
		"empty lines":        {text: "1,2\n\n3,4\n\n", names: []string{"column 1", "column 2"}, data: []float64{1, 2, 3, 4}},
		"label last":         {text: "1,2,x\n3,4,y\n", o: Options{Label: "last"}, names: []string{"column 1", "column 2"}, data: []float64{1, 2, 3, 4}, labels: []string{"x", "y"}},
		"label, id, dropped": {text: "n,a,k,b\nr1,1,x,?\nr2,2,,q\n", header: true, o: Options{Label: "k", ID: "1", Drop: []string{"b"}}, names: []string{"a"}, data: []float64{1, 2}, labels: []string{"x", ""}, ids: []string{"r1", "r2"}},
		"header said":        {text: "2020,2021\n1,2\n", header: true, o: Options{Header: WithHeader}, names: []string{"2020", "2021"}, data: []float64{1, 2}},
		"one row":            {text: "1,2", names: []string{"column 1", "column 2"}, data: []float64{1, 2}},
	} {
		got, err := fromText(c.text, c.ext, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(got.Names, c.names) || !slices.Equal(got.Data, c.data) || !slices.Equal(got.Labels, c.labels) || !slices.Equal(got.IDs, c.ids) ||
			got.HasHeader != c.header || got.Rows*got.Cols != len(c.data) || got.Cols != len(c.names) {
			t.Errorf("%s: got %+v", name, *got)
		}
	}
}

func TestTextIsRefusedWithLineAndColumn(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		o    Options
		want []string
	}{
		"missing":             {"a,b\n1,2\n3,\nNaN,4\n", Options{}, []string{"line 3, column 2 (b): the value is missing", "line 4, column 1 (a)", "--missing skip"}},
		"text":                {"1,2\n3,red\n5,blue\n", Options{}, []string{`line 2, column 2: "red" is no number`, "--drop"}},
		"field counts":        {"1,2\n3,4,5\n", Options{}, []string{"line 2 has 3 fields, line 1 has 2"}},
		"field counts, empty": {"a,b\n\n1,2\n\n3\n", Options{}, []string{"line 5 has 1 fields, line 1 has 2"}},
		"infinite":            {"1,2\n3,-Inf\n1e999,1\n", Options{}, []string{"line 2, column 2: the value is infinite", "line 3, column 1: the value is infinite"}},
		"many":                {"a\n" + strings.Repeat("?\n", 20), Options{}, []string{"line 2", "line 9", "and 12 more"}},
		"perhaps a header":    {"a,2020\n1,2\n", Options{}, []string{`line 1: column 1: "a" stands above a number`, "--header"}},
		"quote":               {"1,\"2\n3,4\n", Options{}, []string{"not a valid CSV file: line"}},
		"empty":               {"", Options{}, []string{"empty"}},
		"zero bytes":          {"1\x002,", Options{}, []string{"no text"}},
		"UTF-16":              {"\xff\xfe1\x00", Options{}, []string{"UTF-8"}},
		"no label":            {"a,b\n1,2\n", Options{Label: "c"}, []string{`label column: no column is named "c"; there are a, b`}},
		"no number":           {"1,2\n1,2\n", Options{Label: "3"}, []string{"from 1 to 2, or last"}},
		"twice":               {"a,b\n1,2\n", Options{Label: "b", ID: "2"}, []string{"two purposes"}},
		"ambiguous":           {"b,b\n1,2\n", Options{Label: "b"}, []string{"several columns"}},
		"nothing left":        {"a\n1\n", Options{Label: "a"}, []string{"none of its 1 columns"}},
		"header only":         {"a,b\n", Options{}, []string{"no rows: it names columns"}},
		"empty lines":         {"\n\n\n", Options{}, []string{"all its lines are empty"}},
		"decimal commas":      {"a;b\n2;1,5\n", Options{}, []string{`line 2, column 2 (b): "1,5" is no number: write it with a point`}},
		"spaces":              {"a b\n1 2\n", Options{}, []string{`line 2, column 1 (a b): "1 2" is no number: separate columns by commas`}},
		"name not UTF-8":      {"gr\xf6\xdfe,b\n1,2\n", Options{}, []string{"line 1, column 1: the name is not UTF-8"}},
		"too large":           {"1,2\n3,4\n", Options{MaxValues: 3}, []string{"exceeds the limit of 3 values"}},
		"label not UTF-8":     {"1,\xff\n", Options{Label: "2"}, []string{"line 1, column 2: the text is not UTF-8"}},
		"header option":       {"1", Options{Header: "maybe"}, []string{"header = maybe"}},
		"missing option":      {"1", Options{Missing: "fill"}, []string{"missing = fill"}},
	} {
		got, err := fromText(c.text, ".csv", c.o)
		if err == nil {
			t.Errorf("%s: read as %+v", name, *got)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: want %q in: %v", name, w, err)
			}
		}
	}
}

func TestRowsLeftOutAreListedAndOthersKeepTheirNumbers(t *testing.T) {
	got, err := fromText("id,a,k\nr0,1,x\nr1,,y\nr2,3,z\n", ".csv", Options{Missing: SkipMissing, Label: "k", ID: "id"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Index, []int{0, 2}) || !slices.Equal(got.Data, []float64{1, 3}) || !slices.Equal(got.Labels, []string{"x", "z"}) ||
		!slices.Equal(got.IDs, []string{"r0", "r2"}) || len(got.Skipped) != 1 || got.Skipped[0].Error() != "line 3, column 2 (a): the value is missing" {
		t.Errorf("%+v", *got)
	}
	if _, err := fromText("1,\n,2\n", ".csv", Options{Missing: SkipMissing, Header: NoHeader}); err == nil || !strings.Contains(err.Error(), "2 were left out") {
		t.Errorf("all left out: %v", err)
	}
}

// ramp is what testdata/gen/tables.py wrote: i·10 + j + from.
func ramp(from float64) []float64 {
	var x []float64
	for i := range 5 {
		for j := range 3 {
			x = append(x, float64(10*i+j)+from)
		}
	}
	return x
}

func TestFilesOfNumPyAndArrow(t *testing.T) {
	for name, want := range map[string][]float64{
		"f8.npy": ramp(-7), "f8-big.npy": ramp(-7), "f4.npy": ramp(-7), "f4-big.npy": ramp(-7), "f2.npy": ramp(-7), "f2-big.npy": ramp(-7),
		"i8.npy": ramp(-7), "i8-big.npy": ramp(-7), "i4.npy": ramp(-7), "i2.npy": ramp(-7), "i1.npy": ramp(-7), "fortran.npy": ramp(-7),
		"u8.npy": ramp(0), "u4.npy": ramp(0), "u2.npy": ramp(0), "u1.npy": ramp(0),
		"b1.npy":       {0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		"none.parquet": ramp(0), "snappy.parquet": ramp(0), "zstd.parquet": ramp(0), "gzip.parquet": ramp(0),
	} {
		o := Options{}
		if strings.HasSuffix(name, ".parquet") {
			o.Label = "kind"
		}
		got, err := Open(filepath.Join("testdata", name), o)
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Equal(got.Data, want) || got.Cols != 3 || got.Rows != 5 {
			t.Errorf("%s: %v", name, got.Data)
		}
		if o.Label != "" && (!slices.Equal(got.Labels, []string{"v", "w", "x", "y", "z"}) || !slices.Equal(got.Names, []string{"a", "b", "c"})) {
			t.Errorf("%s: %v, %v", name, got.Labels, got.Names)
		}
	}
	for name, want := range map[string]string{
		"cube.npy":       "reshape(len(x), -1)",
		"nan.npy":        "row 1 (from 0), column 2: the value is missing",
		"object.npy":     ".npy array of '|O' is not supported: numbers are: convert it with .astype('float64')",
		"empty.npy":      "no rows",
		"empty.parquet":  "no rows",
		"null.parquet":   "row 1 (from 0), column 1 (a): the value is missing",
		"dated.parquet":  `"when" of type TIMESTAMP`,
		"nested.parquet": "nested Parquet column",
		"none.parquet":   `row 0 (from 0), column 4 (kind): "v" is no number`,
		"absent.csv":     "no such file",
		"gen":            "a folder",
	} {
		if _, err := Open(filepath.Join("testdata", name), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", name, want, err)
		}
	}
}

func TestNPYPromisesAreHeldToTheFile(t *testing.T) {
	whole, err := os.ReadFile("testdata/f8.npy")
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"cut":    whole[:len(whole)-1],
		"longer": append(slices.Clone(whole), 0),
		"huge":   bytes.Replace(whole, []byte("(5, 3), }  "), []byte("(1<<60, 3)}"), 1),
		"rows":   bytes.Replace(whole, []byte("(5, 3), }          "), []byte("(900719925474099,3)}"), 1),
		"magic":  whole[1:],
		"header": whole[:20],
	} {
		var format *fault.FormatError
		if _, err := read(bytes.NewReader(damaged), int64(len(damaged)), ".npy", Options{}); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float64{0x3c00: 1, 0xc000: -2, 0x0001: 1.0 / (1 << 24), 0x7bff: 65504, 0x3555: 0.333251953125} { // IEEE 754
		if got := half(bits); got != want {
			t.Errorf("%#x: %v, want %v", bits, got, want)
		}
	}
}

// FuzzRead: any bytes give a table that is whole and finite, or an error; never a panic.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.*")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, filepath.Ext(file), "1")
	}
	f.Add([]byte("a,b\n1,2\n\n3,\"4\"\n"), ".csv", "b")
	f.Add([]byte("1\t2\tx\n3\t?\ty\n"), ".tsv", "last")
	f.Fuzz(func(t *testing.T, raw []byte, ext, label string) {
		for _, missing := range []Missing{RefuseMissing, SkipMissing} {
			got, err := read(bytes.NewReader(raw), int64(len(raw)), ext, Options{Label: label, Missing: missing, MaxValues: 1 << 20})
			if err != nil {
				continue
			}
			if len(got.Data) != got.Rows*got.Cols || len(got.Index) != got.Rows || len(got.Names) != got.Cols || got.Labels != nil && len(got.Labels) != got.Rows {
				t.Fatalf("%d rows of %d: %d values, %d numbers, %d names, %d labels", got.Rows, got.Cols, len(got.Data), len(got.Index), len(got.Names), len(got.Labels))
			}
			for _, v := range got.Data {
				if v-v != 0 {
					t.Fatal(v)
				}
			}
		}
	})
}
