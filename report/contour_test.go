package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parseMask reads rows of '#' and '.'.
func parseMask(rows ...string) (mask []uint8, w, h int) {
	for _, row := range rows {
		for _, c := range row {
			v := uint8(0)
			if c == '#' {
				v = 1
			}
			mask = append(mask, v)
		}
	}
	return mask, len(rows[0]), len(rows)
}

func TestOutline(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []string
		want string
	}{
		{"nothing", []string{"..", ".."}, ""},
		{"one pixel", []string{"...", ".#.", "..."}, "M1 1h1v1h-1z"},
		{"to the edges", []string{"###", "###"}, "M0 0h3v2h-3z"},
		{"an angle", []string{"#.", "##"}, "M0 0h1v1h1v1h-2z"},
		{"two regions", []string{"#.#"}, "M0 0h1v1h-1zM2 0h1v1h-1z"},
		{"touching corners are one", []string{"#.", ".#"}, "M0 0h1v1h1v1h-1v-1h-1z"},
		{"touching corners, the other way", []string{".#", "#."}, "M1 0h1v1h-1v1h-1v-1h1z"},
		{"a hole", []string{"###", "#.#", "###"}, "M0 0h3v3h-3zM1 2h1v-1h-1z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mask, w, h := parseMask(c.rows...)
			if got := outline(mask, w, h); got != c.want {
				t.Errorf("outline is %q, want %q", got, c.want)
			}
		})
	}
}

// fill rasterises path data by the even-odd rule, independently of how it was traced: a pixel is inside if the number of
// vertical edges to its left is odd.
func fill(t *testing.T, path string, w, h int) []uint8 {
	t.Helper()
	out := make([]uint8, w*h)
	vertical := func(x, from, to int) {
		for y := min(from, to); y < max(from, to); y++ {
			for i := x; i < w; i++ {
				out[y*w+i] ^= 1
			}
		}
	}
	for _, loop := range strings.Split(strings.TrimSuffix(path, "z"), "z") {
		var x, y int
		if _, err := fmt.Sscanf(loop, "M%d %d", &x, &y); err != nil {
			t.Fatalf("loop %q: %v", loop, err)
		}
		startX, startY := x, y
		rest := loop[strings.IndexAny(loop, "hv"):]
		for rest != "" {
			var step int
			fmt.Sscanf(rest[1:], "%d", &step)
			if rest[0] == 'h' {
				x += step
			} else {
				vertical(x, y, y+step)
				y += step
			}
			next := strings.IndexAny(rest[1:], "hv")
			if next < 0 {
				break
			}
			rest = rest[1+next:]
		}
		if x != startX && y != startY {
			t.Fatalf("loop %q ends at (%d,%d), off the axes of its start", loop, x, y)
		}
		vertical(x, y, startY)
	}
	return out
}

func TestOutlineEnclosesExactlyItsMask(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		w, h := 1+rng.IntN(9), 1+rng.IntN(9)
		mask := make([]uint8, w*h)
		for i := range mask {
			mask[i] = uint8(rng.IntN(2))
		}
		path := outline(mask, w, h)
		got := make([]uint8, w*h)
		if path != "" {
			got = fill(t, path, w, h)
		}
		if !slices.Equal(got, mask) {
			t.Fatalf("%dx%d mask %v is outlined by %q, which encloses %v", w, h, mask, path, got)
		}
	}
}

func TestShrinkMaxLosesNoSpot(t *testing.T) {
	for _, c := range []struct{ srcW, srcH, w, h int }{{1000, 700, 300, 210}, {301, 299, 300, 298}, {7, 5, 3, 2}, {4, 4, 4, 4}} {
		for _, at := range []int{0, c.srcW - 1, c.srcW*c.srcH/2 + 3, c.srcW*c.srcH - 1} {
			src := make([]uint8, c.srcW*c.srcH)
			src[at] = 1
			small := shrinkMax(src, c.srcW, c.srcH, c.w, c.h)
			if len(small) != c.w*c.h {
				t.Fatalf("%v: %d values", c, len(small))
			}
			i := slices.Index(small, 1)
			if i < 0 {
				t.Errorf("%v: the spot at %d vanished", c, at)
				continue
			}
			wantX, wantY := at%c.srcW*c.w/c.srcW, at/c.srcW*c.h/c.srcH
			if x, y := i%c.w, i/c.w; max(x-wantX, wantX-x, y-wantY, wantY-y) > 1 {
				t.Errorf("%v: the spot at %d moved to (%d,%d), want near (%d,%d)", c, at, x, y, wantX, wantY)
			}
		}
	}
}

func TestDisplaySize(t *testing.T) {
	for _, c := range [][4]int{{640, 480, 300, 225}, {480, 640, 225, 300}, {200, 100, 200, 100}, {100000, 3, 300, 1}, {320, 160, 300, 150}, {300, 300, 300, 300}} {
		if w, h := displaySize(c[0], c[1], 300); w != c[2] || h != c[3] {
			t.Errorf("%dx%d is shown at %dx%d, want %dx%d", c[0], c[1], w, h, c[2], c[3])
		}
	}
}
