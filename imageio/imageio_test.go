package imageio

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

type golden struct {
	Width, Height, Channels, Depth int
	Tolerance                      float64
	Pixels                         []float64
}

func goldens(t testing.TB) map[string]golden {
	raw, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var g map[string]golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (p *Picture) sample(i int) float64 {
	if p.Depth == 16 {
		return float64(p.Pix16[i])
	}
	return float64(p.Pix8[i])
}

func TestPicturesAreAsPillowReadsThem(t *testing.T) {
	for name, want := range goldens(t) {
		if strings.HasSuffix(name, ".npy") {
			continue
		}
		p, err := Open(filepath.Join("testdata", name), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Width != want.Width || p.Height != want.Height || p.Channels != want.Channels || p.Depth != want.Depth {
			t.Errorf("%s is %dx%d, %d channels of %d bits, want %dx%d, %d of %d", name,
				p.Width, p.Height, p.Channels, p.Depth, want.Width, want.Height, want.Channels, want.Depth)
			continue
		}
		for i, v := range want.Pixels {
			// lossy formats leave the last bits of their inverse transform and colour conversion to the decoder
			if math.Abs(p.sample(i)-v) > want.Tolerance {
				t.Errorf("%s: sample %d is %v, want %v", name, i, p.sample(i), v)
				break
			}
		}
		back := FromImage(p.Image())
		if !slices.Equal(back.Pix8, p.Pix8) || !slices.Equal(back.Pix16, p.Pix16) {
			t.Errorf("%s: a picture turned into an image and back differs", name)
		}
	}
}

// A truncated file is an error, or cut where nothing of the picture is lost; it is never a picture with a part missing.
func TestTruncatedFilesAreNeverPartlyDecoded(t *testing.T) {
	for name := range goldens(t) {
		if strings.HasSuffix(name, ".npy") {
			continue
		}
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := Decode(whole, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(whole); n += 1 + len(whole)/60 {
			if p, err := Decode(whole[:n], Limits{}); err == nil && (!slices.Equal(p.Pix8, want.Pix8) || !slices.Equal(p.Pix16, want.Pix16)) {
				t.Errorf("%s: the first %d of %d bytes decode to another picture", name, n, len(whole))
			}
		}
	}
}

func TestLimitsHoldBeforeMemoryIsTaken(t *testing.T) {
	var limit *fault.LimitError
	// a PNG header that declares 100,000 x 100,000 pixels
	ihdr := append([]byte("IHDR"), 0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0, 8, 2, 0, 0, 0)
	huge := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	huge = binary.BigEndian.AppendUint32(huge, crc32.ChecksumIEEE(ihdr))
	if _, err := Decode(huge, Limits{}); !errors.As(err, &limit) || !strings.Contains(err.Error(), "100000x100000") {
		t.Errorf("a huge PNG: %v", err)
	}
	bmp := make([]byte, 54)
	copy(bmp, "BM")
	bmp[10], bmp[14], bmp[26], bmp[28] = 54, 40, 1, 24
	binary.LittleEndian.PutUint32(bmp[18:], 100_000)
	binary.LittleEndian.PutUint32(bmp[22:], 100_000)
	if _, err := Decode(bmp, Limits{}); !errors.As(err, &limit) {
		t.Errorf("a huge BMP: %v", err)
	}
	whole, err := os.ReadFile("testdata/rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(whole, Limits{MaxPixels: 53}); !errors.As(err, &limit) {
		t.Errorf("54 pixels where 53 are allowed: %v", err)
	}
	if _, err := Decode(whole, Limits{MaxPixels: 54}); err != nil {
		t.Errorf("54 pixels where 54 are allowed: %v", err)
	}
	for _, read := range []func() error{
		func() error { _, err := Decode(whole, Limits{MaxBytes: 10}); return err },
		func() error { _, err := Open("testdata/rgb.png", Limits{MaxBytes: 10}); return err },
	} {
		if err := read(); !errors.As(err, &limit) {
			t.Errorf("a file of %d bytes where 10 are allowed: %v", len(whole), err)
		}
	}
}

func TestWhatIsNoPicture(t *testing.T) {
	var format *fault.FormatError
	if _, err := Decode([]byte("text"), Limits{}); !errors.As(err, &format) {
		t.Errorf("text: %v", err)
	}
	if _, err := Open("testdata", Limits{}); err == nil || !strings.Contains(err.Error(), "testdata") {
		t.Errorf("a folder: %v", err)
	}
	if !IsPicture("a/B.JPG") || IsPicture("a.txt") || IsPicture("png") {
		t.Error("file names are misjudged")
	}
}

func TestMasks(t *testing.T) {
	m, err := ReadMask("testdata/bilevel.png", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range goldens(t)["bilevel.png"].Pixels {
		if (m.Data[i] == 1) != (v > 0) {
			t.Fatalf("mask pixel %d is %d, want %v", i, m.Data[i], v)
		}
	}
}

func TestMapsAreNumPys(t *testing.T) {
	want, err := os.ReadFile("testdata/map.npy")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadNPY(want)
	if err != nil {
		t.Fatal(err)
	}
	g := goldens(t)["map.npy"]
	if !slices.Equal(m.Shape, []int{g.Height, g.Width}) {
		t.Fatalf("shape %v", m.Shape)
	}
	for i, v := range g.Pixels {
		if float64(m.Data[i]) != v {
			t.Fatalf("value %d is %v, want %v", i, m.Data[i], v)
		}
	}
	var buf bytes.Buffer
	if err := WriteNPY(&buf, m); err != nil || !bytes.Equal(buf.Bytes(), want) {
		t.Errorf("WriteNPY writes\n%q, want\n%q (%v)", buf.Bytes()[:100], want[:100], err)
	}
	for n := range len(want) {
		if _, err := ReadNPY(want[:n]); err == nil {
			t.Errorf("the first %d bytes are accepted", n)
		}
	}
}

func TestMapPNGStatesItsScale(t *testing.T) {
	m := tensor.From([]float32{-1.5, 0, 2, 10.25, 3, 4}, 2, 3)
	var buf bytes.Buffer
	if err := WriteMapPNG(&buf, m); err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(buf.Bytes())); err != nil {
		t.Fatal(err)
	}
	p, err := Decode(buf.Bytes(), Limits{})
	if err != nil || p.Depth != 16 || p.Channels != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if !bytes.Contains(buf.Bytes(), []byte("offset=-1.5 scale=0.000179")) {
		t.Error("the scale is not stated")
	}
	scale := 11.75 / 65535
	for i, v := range m.Data {
		if d := math.Abs(-1.5 + scale*float64(p.Pix16[i]) - float64(v)); d > scale/2*1.0001 {
			t.Errorf("value %d comes back off by %v", i, d)
		}
	}
	if err := WriteMapPNG(&buf, tensor.From([]float32{2, 2}, 1, 2)); err != nil {
		t.Errorf("a flat map: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for name := range goldens(f) {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Decode(raw, Limits{MaxPixels: 1 << 16})
		if err != nil {
			return
		}
		if n := p.Width * p.Height * p.Channels; len(p.Pix8)+len(p.Pix16) != n || n > 3<<16 {
			t.Fatalf("a picture of %dx%dx%d has %d samples", p.Width, p.Height, p.Channels, len(p.Pix8)+len(p.Pix16))
		}
	})
}

func FuzzReadNPY(f *testing.F) {
	raw, err := os.ReadFile("testdata/map.npy")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := ReadNPY(raw); err == nil && len(m.Data)*4 > len(raw) {
			t.Fatal("more values than bytes")
		}
	})
}
