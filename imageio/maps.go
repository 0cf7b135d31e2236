package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

const npyMagic = "\x93NUMPY"

// WriteNPY writes a tensor in NumPy's .npy format, version 1.0: little-endian float32, C order.
func WriteNPY(w io.Writer, t *tensor.Tensor) error {
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = strconv.Itoa(d)
	}
	shape := strings.Join(dims, ", ")
	if len(dims) == 1 {
		shape += ","
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape)
	const preamble = 10 // magic, version, header length
	header += strings.Repeat(" ", 63-(preamble+len(header))%64) + "\n"
	buf := append([]byte(npyMagic), 1, 0)
	buf = binary.LittleEndian.AppendUint16(buf, uint16(len(header)))
	buf = append(buf, header...)
	for _, v := range t.Data {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
	}
	_, err := w.Write(buf)
	return err
}

var npyHeader = regexp.MustCompile(`^\{'descr': '<f4', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \}\s*$`)

// ReadNPY reads what WriteNPY writes, and any other little-endian float32 array in C order of format version 1.0.
func ReadNPY(data []byte) (*tensor.Tensor, error) {
	bad := func(reason string) error { return &fault.FormatError{Format: "npy", Reason: reason} }
	if len(data) < 10 || string(data[:6]) != npyMagic || data[6] != 1 {
		return nil, bad("it does not begin like one of version 1.0")
	}
	n := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	if n > len(data) {
		return nil, bad("its header is truncated")
	}
	fields := npyHeader.FindSubmatch(data[10:n])
	if fields == nil {
		return nil, bad(fmt.Sprintf("header %q is not of a float32 array in C order", bytes.TrimSpace(data[10:n])))
	}
	var shape []int
	volume := 1
	for _, f := range strings.Split(string(fields[1]), ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		d, err := strconv.Atoi(f)
		if err != nil || d > 0 && volume > len(data)/d {
			return nil, bad("its shape exceeds its size")
		}
		shape, volume = append(shape, d), volume*d
	}
	if 4*volume != len(data)-n {
		return nil, bad(fmt.Sprintf("shape %v wants %d bytes, %d follow the header", shape, 4*volume, len(data)-n))
	}
	t := tensor.New(shape...)
	for i := range t.Data {
		t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[n+4*i:]))
	}
	return t, nil
}

// WriteMapPNG writes a map (H,W) as a 16-bit gray PNG. Its tEXt chunk "blemish" states the scale:
// value = offset + scale·gray, where offset is the map's minimum and gray 65535 its maximum.
func WriteMapPNG(w io.Writer, m *tensor.Tensor) error {
	h, width := m.Shape[0], m.Shape[1]
	low, high := m.Data[0], m.Data[0]
	for _, v := range m.Data {
		low, high = min(low, v), max(high, v)
	}
	scale := (float64(high) - float64(low)) / math.MaxUint16
	img := image.NewGray16(image.Rect(0, 0, width, h))
	for i, v := range m.Data {
		var g uint16
		if scale > 0 {
			g = uint16(math.Round((float64(v) - float64(low)) / scale))
		}
		img.Pix[2*i], img.Pix[2*i+1] = uint8(g>>8), uint8(g)
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		return err
	}
	text := fmt.Sprintf("blemish\x00value = offset + scale*gray; offset=%s scale=%s",
		strconv.FormatFloat(float64(low), 'g', -1, 32), strconv.FormatFloat(scale, 'g', -1, 64))
	const afterHeader = 8 + 25 // signature and IHDR
	out := append([]byte(nil), buf.Bytes()[:afterHeader]...)
	out = appendChunk(out, "tEXt", []byte(text))
	_, err := w.Write(append(out, buf.Bytes()[afterHeader:]...))
	return err
}

func appendChunk(out []byte, name string, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	start := len(out)
	out = append(append(out, name...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:]))
}
