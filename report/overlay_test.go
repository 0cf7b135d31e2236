package report

import (
	"encoding/json"
	"image/color"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/tensor"
)

func TestInfernoIsMatplotlibs(t *testing.T) {
	data, err := os.ReadFile("testdata/inferno.json") // testdata/gen/inferno.py
	if err != nil {
		t.Fatal(err)
	}
	var want [][3]int
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != 256 {
		t.Fatalf("%d golden entries, want 256", len(want))
	}
	const tolerance = 5 // of 255: what straight lines between every 15th entry leave, too little to see
	lightness := make([]float64, 256)
	for i, w := range want {
		c := inferno()[i]
		for k, got := range []uint8{c.R, c.G, c.B} {
			if math.Abs(float64(int(got)-w[k])) > tolerance {
				t.Errorf("entry %d is %v, matplotlib's is %v", i, c, w)
			}
		}
		lightness[i] = 0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B)
		if i >= 5 && lightness[i] <= lightness[i-5] {
			t.Errorf("entry %d is not lighter than entry %d: gray prints would mislead", i, i-5)
		}
	}
}

// flat is a gray picture of one row.
func flat(level uint8, width int) *imageio.Picture {
	p := imageio.New(width, 1, 1, 8)
	for i := range p.Pix8 {
		p.Pix8[i] = level
	}
	return p
}

func TestOverlayBlendsByScale(t *testing.T) {
	nan := float32(math.NaN())
	m := tensor.From([]float32{-7, 1, 2, 3, 9, nan}, 1, 6)
	got := Overlay(flat(100, 6), m, Scale{Low: 1, High: 3})
	top, middle := inferno()[255], inferno()[128]
	mix := func(c color.RGBA, a float64) color.RGBA {
		f := func(v uint8) uint8 { return uint8(math.Round(100*(1-a) + float64(v)*a)) }
		return color.RGBA{f(c.R), f(c.G), f(c.B), 255}
	}
	gray := color.RGBA{100, 100, 100, 255}
	want := []color.RGBA{gray, gray, mix(middle, 0.425), mix(top, 0.85), mix(top, 0.85), mix(top, 0.85)}
	for x, w := range want {
		if c := got.RGBAAt(x, 0); c != w {
			t.Errorf("value %v is drawn as %v, want %v", m.Data[x], c, w)
		}
	}
	if m.Data[0] != -7 || m.Data[4] != 9 {
		t.Error("drawing changed the map")
	}
}

func TestOverlayOfConstantScale(t *testing.T) {
	m := tensor.From([]float32{0, 1, 2}, 1, 3)
	got := Overlay(flat(100, 3), m, Scale{Low: 1, High: 1})
	for x, want := range []uint8{100, 100, got.RGBAAt(2, 0).G} {
		if g := got.RGBAAt(x, 0).G; g != want {
			t.Errorf("pixel %d has green %d, want %d", x, g, want)
		}
	}
	if got.RGBAAt(2, 0) == got.RGBAAt(1, 0) {
		t.Error("a value above an empty scale looks like one below")
	}
}

func TestOverlayTurnsColourGray(t *testing.T) {
	p := imageio.New(1, 1, 3, 16)
	p.Pix16[0] = 0xffff // pure red: luma 0.299
	got := Overlay(p, tensor.New(1, 1), Scale{Low: 1, High: 2}).RGBAAt(0, 0)
	if want := (color.RGBA{76, 76, 76, 255}); got != want {
		t.Errorf("red becomes %v, want %v", got, want)
	}
}

func TestOverlayOutlinesRegions(t *testing.T) {
	const side = 9
	p := imageio.New(side, side, 1, 8)
	for i := range p.Pix8 {
		p.Pix8[i] = 90
	}
	m := tensor.New(side, side)
	for y := 3; y < 6; y++ {
		for x := 3; x < 6; x++ {
			m.Data[y*side+x] = 2
		}
	}
	threshold := 1.0
	got := Overlay(p, m, Scale{Low: 5, High: 6, Threshold: &threshold})
	// '#' black rim, 'o' white line, 'i' inside, '.' outside
	want := []string{
		".........",
		".........",
		"..#####..",
		"..#ooo#..",
		"..#oio#..",
		"..#ooo#..",
		"..#####..",
		".........",
		".........",
	}
	for y, row := range want {
		for x, kind := range row {
			level := map[rune]uint8{'.': 90, 'i': 90, '#': 0, 'o': 255}[kind]
			if g := got.RGBAAt(x, y).G; g != level {
				t.Errorf("pixel (%d,%d) is %d, want %d (%c)", x, y, g, level, kind)
			}
		}
	}
}

func TestOverlayRefusesAnotherSize(t *testing.T) {
	for _, shape := range [][]int{{1, 4}, {1, 2}, {2, 3}, {1}, {3}, {1, 3, 1}} {
		func() {
			defer func() {
				if message, _ := recover().(string); !strings.Contains(message, "over a picture of 3x1") {
					t.Errorf("a map of shape %v over a picture of 3x1: %q", shape, message)
				}
			}()
			Overlay(flat(0, 3), tensor.New(shape...), Scale{})
		}()
	}
}

func TestMaskAgreesWithRegions(t *testing.T) {
	m := tensor.From([]float32{
		0, 1, 1.5, 0,
		0, 0, 0, 0,
		3, 0, 0, 1.5,
	}, 3, 4)
	mask := Mask(m, 1)
	want := []uint8{0, 0, 255, 0, 0, 0, 0, 0, 255, 0, 0, 255}
	for i, w := range want {
		if mask.Pix[i] != w {
			t.Errorf("pixel %d is %d, want %d", i, mask.Pix[i], w)
		}
	}
	if n := len(metric.Regions(m.Data, 4, 3, 1)); n != 3 {
		t.Errorf("%d regions in the same map, want 3", n)
	}
}

func TestNewScaleCentresTheThreshold(t *testing.T) {
	s := NewScale(2, 3.5)
	if s.Low != 2 || s.High != 5 || s.Threshold == nil || *s.Threshold != 3.5 {
		t.Errorf("NewScale(2, 3.5) = %+v", s)
	}
	if at := s.position(3.5); at != 0.5 {
		t.Errorf("the threshold lies at %v of the colours, want the middle", at)
	}
}
