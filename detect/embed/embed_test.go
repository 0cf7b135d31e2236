package embed_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/detect/embed"
	"github.com/blemish/blemish/tensor"
)

func TestPatchesAreAnomalibs(t *testing.T) {
	raw, err := os.ReadFile("testdata/patches.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Height, Width int
		Taps          [][2]int // channels, stride
		Patches       []float64
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		var taps detecttest.Given
		dim := 0
		for _, tap := range c.Taps {
			taps = append(taps, detect.Tap{Channels: tap[0], Stride: tap[1]})
			dim += tap[0]
		}
		picture := detecttest.GivenPicture(3, c.Height, c.Width)
		maps, err := taps.Features(context.Background(), picture.Reshape(append([]int{1}, picture.Shape...)...), 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range maps {
			maps[i] = embed.Pool3x3(m.Item(0))
		}
		p := embed.Concat(maps)
		if h, w := c.Height/c.Taps[0][1], c.Width/c.Taps[0][1]; p.H != h || p.W != w || p.Dim != dim || p.Width != 16 || len(p.Data) != h*w*p.Width {
			t.Fatalf("%v: patches %dx%d of %d in %d, %d values", c.Taps, p.H, p.W, p.Dim, p.Width, len(p.Data))
		}
		if len(c.Patches) != p.H*p.W*dim {
			t.Fatalf("%v: a golden of %d values", c.Taps, len(c.Patches))
		}
		for i, want := range c.Patches {
			// values within ±1; ten or so float32 operations, each rounding by 2^-24 of its result at most
			if got := float64(p.Data[i/dim*p.Width+i%dim]); math.Abs(got-want) > 2e-7 {
				t.Errorf("%v: patch %d, value %d is %v, want %v", c.Taps, i/dim, i%dim, got, want)
			}
		}
		for i, v := range p.Data {
			if i%p.Width >= dim && v != 0 {
				t.Errorf("%v: %v where rows are filled up with zeros", c.Taps, v)
			}
		}
	}
}

func TestPool3x3OfASinglePositionCountsTheBorder(t *testing.T) {
	if got := embed.Pool3x3(tensor.From([]float32{9, -18}, 2, 1, 1)).Data; got[0] != 1 || got[1] != -2 {
		t.Errorf("%v, want 1 and -2", got)
	}
}
