package table

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/blemish/blemish/fault"
)

// The header of a .npy file is a Python dictionary with exactly these three keys (NEP 1; numpy.lib.format).
var (
	npyDescr   = regexp.MustCompile(`'descr':\s*'([<>|=]?)([a-zA-Z])(\d+)'`)
	npyFortran = regexp.MustCompile(`'fortran_order':\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape':\s*\(([^()]*)\)`)
)

// readNPY reads a NumPy array (n, d) of integers, booleans or floats of either byte order. Arrays of objects, which hold code, are refused.
func readNPY(r io.Reader, size int64, o Options) (*Table, error) {
	damaged := func(format string, args ...any) error {
		return &fault.FormatError{Format: "NumPy .npy", Reason: fmt.Sprintf(format, args...)}
	}
	in := bufio.NewReaderSize(r, 1<<16)
	var start [12]byte
	if _, err := io.ReadFull(in, start[:10]); err != nil || string(start[:6]) != "\x93NUMPY" {
		return nil, damaged("it does not begin as one")
	}
	length, begin := int(binary.LittleEndian.Uint16(start[8:])), 10
	switch start[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(in, start[10:]); err != nil {
			return nil, damaged("it ends in its header")
		}
		length, begin = int(binary.LittleEndian.Uint32(start[8:])), 12
	default:
		return nil, &fault.UnsupportedError{What: fmt.Sprintf(".npy version %d", start[6]), Hint: "known are 1 to 3"}
	}
	if int64(length) > size-int64(begin) || length > 1<<20 {
		return nil, damaged("a header of %d bytes in a file of %d", length, size)
	}
	raw := make([]byte, length)
	if _, err := io.ReadFull(in, raw); err != nil {
		return nil, damaged("it ends in its header")
	}
	descr, fortran, shape := npyDescr.FindSubmatch(raw), npyFortran.FindSubmatch(raw), npyShape.FindSubmatch(raw)
	if fortran == nil || shape == nil {
		return nil, damaged("its header is %q", raw)
	}
	if descr == nil {
		kind, _, _ := strings.Cut(string(raw), ", 'fortran_order'")
		return nil, &fault.UnsupportedError{What: ".npy array of " + strings.TrimPrefix(kind, "{'descr': "), Hint: "numbers are: convert it with .astype('float64')"}
	}
	var dims []int
	for part := range strings.SplitSeq(string(shape[1]), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, damaged("its shape is (%s)", shape[1])
		}
		dims = append(dims, n)
	}
	if len(dims) != 2 || dims[1] < 1 {
		return nil, &fault.ShapeError{What: "array", Want: "(rows, columns): use reshape(len(x), -1)", Got: dims}
	}
	decode, width, err := npyDecoder(string(descr[1]), string(descr[2]), string(descr[3]))
	if err != nil {
		return nil, err
	}
	rows, cols := dims[0], dims[1]
	if left := size - int64(begin) - int64(length); int64(rows) > left/int64(width)/int64(cols) || int64(rows)*int64(cols)*int64(width) != left {
		return nil, damaged("shape %v of %d bytes each does not fit a file of %d bytes", dims, width, size)
	}
	if rows*cols > o.maxValues() {
		return nil, &fault.LimitError{What: fmt.Sprintf("table of %d rows of %d values", rows, cols), Limit: fmt.Sprintf("%d values", o.maxValues())}
	}
	values := make([]float64, rows*cols)
	cell := make([]byte, width)
	for i := range values {
		if _, err := io.ReadFull(in, cell); err != nil {
			return nil, damaged("it ends at value %d of %d", i, len(values))
		}
		at := i
		if string(fortran[1]) == "True" { // column by column
			at = i%rows*cols + i/rows
		}
		values[at] = decode(cell)
	}
	b, err := newBuilder(nil, cols, o)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		for j := range cols {
			b.number(j, values[i*cols+j])
		}
		if err := b.endRow(); err != nil {
			return nil, err
		}
	}
	return b.finish()
}

// npyDecoder returns the function that reads one value of a type such as <f8, and the value's bytes.
func npyDecoder(order, kind, digits string) (decode func([]byte) float64, width int, err error) {
	var e binary.ByteOrder = binary.LittleEndian
	if order == ">" {
		e = binary.BigEndian
	}
	switch kind + digits {
	case "f8":
		return func(b []byte) float64 { return math.Float64frombits(e.Uint64(b)) }, 8, nil
	case "f4":
		return func(b []byte) float64 { return float64(math.Float32frombits(e.Uint32(b))) }, 4, nil
	case "f2":
		return func(b []byte) float64 { return half(e.Uint16(b)) }, 2, nil
	case "i8":
		return func(b []byte) float64 { return float64(int64(e.Uint64(b))) }, 8, nil
	case "i4":
		return func(b []byte) float64 { return float64(int32(e.Uint32(b))) }, 4, nil
	case "i2":
		return func(b []byte) float64 { return float64(int16(e.Uint16(b))) }, 2, nil
	case "i1":
		return func(b []byte) float64 { return float64(int8(b[0])) }, 1, nil
	case "u8":
		return func(b []byte) float64 { return float64(e.Uint64(b)) }, 8, nil
	case "u4":
		return func(b []byte) float64 { return float64(e.Uint32(b)) }, 4, nil
	case "u2":
		return func(b []byte) float64 { return float64(e.Uint16(b)) }, 2, nil
	case "u1", "b1":
		return func(b []byte) float64 { return float64(b[0]) }, 1, nil
	}
	return nil, 0, &fault.UnsupportedError{What: ".npy type " + order + kind + digits, Hint: "numbers are: convert it with .astype('float64')"}
}

// half is IEEE 754 binary16.
func half(h uint16) float64 {
	sign, exponent, fraction := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction > 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
