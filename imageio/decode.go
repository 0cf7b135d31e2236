package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/blemish/blemish/fault"
)

// Limits bound what a decoder may take. Zero fields mean the defaults.
type Limits struct {
	MaxPixels int64 // width x height that a file may declare
	MaxBytes  int64 // size of the file
}

// Defaults of Limits.
const (
	DefaultMaxPixels = 100_000_000
	DefaultMaxBytes  = 512 << 20
)

func (l Limits) pixels() int64 {
	if l.MaxPixels > 0 {
		return l.MaxPixels
	}
	return DefaultMaxPixels
}

func (l Limits) bytes() int64 {
	if l.MaxBytes > 0 {
		return l.MaxBytes
	}
	return DefaultMaxBytes
}

type format struct {
	name   string
	magic  []string // any of them begins the file; '?' stands for any byte
	decode func(io.Reader) (image.Image, error)
	config func(io.Reader) (image.Config, error)
}

var formats = []format{
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.Decode, png.DecodeConfig},
	{"JPEG", []string{"\xff\xd8\xff"}, jpeg.Decode, jpeg.DecodeConfig},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, bmp.Decode, bmp.DecodeConfig},
	{"TIFF", []string{"II\x2a\x00", "MM\x00\x2a"}, tiff.Decode, tiff.DecodeConfig},
	{"WebP", []string{"RIFF????WEBPVP8"}, webp.Decode, webp.DecodeConfig},
}

var extensions = []string{".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

// IsPicture reports whether a file's name has the extension of a format that Decode reads.
func IsPicture(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	for _, e := range extensions {
		if ext == e {
			return true
		}
	}
	return false
}

func recognise(data []byte) (format, bool) {
	for _, f := range formats {
		for _, magic := range f.magic {
			if matches(data, magic) {
				return f, true
			}
		}
	}
	return format{}, false
}

func matches(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != data[i] {
			return false
		}
	}
	return true
}

// Open decodes a picture file. Errors name the path.
func Open(path string, limits Limits) (*Picture, error) {
	data, err := readFile(path, limits)
	if err != nil {
		return nil, err
	}
	p, err := Decode(data, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func readFile(path string, limits Limits) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if st.Size() > limits.bytes() {
		return nil, fmt.Errorf("%s: %w", path, &fault.LimitError{What: fmt.Sprintf("file of %d bytes", st.Size()), Limit: fmt.Sprintf("%d bytes", limits.bytes())})
	}
	return io.ReadAll(f)
}

// Decode decodes a picture, recognised by its content, and turns it upright by its EXIF orientation. A picture that declares more
// pixels than the limit is refused before memory is taken for it; a truncated one is an error, never partly gray.
func Decode(data []byte, limits Limits) (p *Picture, err error) {
	if int64(len(data)) > limits.bytes() {
		return nil, &fault.LimitError{What: fmt.Sprintf("file of %d bytes", len(data)), Limit: fmt.Sprintf("%d bytes", limits.bytes())}
	}
	f, ok := recognise(data)
	if !ok {
		return nil, &fault.FormatError{Format: "picture", Reason: "its first bytes are none of PNG, JPEG, BMP, TIFF or WebP"}
	}
	defer func() { // the decoders are other people's; some panic on hostile input
		if r := recover(); r != nil {
			p, err = nil, &fault.FormatError{Format: f.name, Reason: fmt.Sprintf("its decoder gave up: %v", r)}
		}
	}()
	config, err := f.config(bytes.NewReader(data))
	if err != nil {
		return nil, decodeError(f, err)
	}
	if config.Width < 1 || config.Height < 1 {
		return nil, &fault.FormatError{Format: f.name, Reason: fmt.Sprintf("it declares %dx%d pixels", config.Width, config.Height)}
	}
	if int64(config.Width) > limits.pixels()/int64(config.Height) {
		return nil, &fault.LimitError{
			What:  fmt.Sprintf("picture of %dx%d pixels", config.Width, config.Height),
			Limit: fmt.Sprintf("%d pixels; raise it with --max-pixels", limits.pixels()),
		}
	}
	if f.name == "WebP" && int64(binary.LittleEndian.Uint32(data[4:]))+8 > int64(len(data)) {
		return nil, decodeError(f, io.ErrUnexpectedEOF) // the decoder stops before the chunks behind the picture
	}
	img, err := f.decode(bytes.NewReader(data))
	if err != nil {
		return nil, decodeError(f, err)
	}
	if f.name == "WebP" {
		img = studioRange(img)
	}
	return FromImage(img).upright(orientation(f.name, data)), nil
}

func decodeError(f format, err error) error {
	var jpegUnsupported jpeg.UnsupportedError
	var pngUnsupported png.UnsupportedError
	var tiffUnsupported tiff.UnsupportedError
	switch {
	case errors.As(err, &jpegUnsupported), errors.As(err, &pngUnsupported), errors.As(err, &tiffUnsupported), errors.Is(err, bmp.ErrUnsupported):
		return &fault.UnsupportedError{What: fmt.Sprintf("this kind of %s (%v)", f.name, err), Hint: "convert it to PNG"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &fault.FormatError{Format: f.name, Reason: "it is truncated"}
	}
	return &fault.FormatError{Format: f.name, Reason: "it is damaged", Err: err}
}
