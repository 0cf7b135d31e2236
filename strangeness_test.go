package blemish

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect/embed"
	"github.com/blemish/blemish/fault"
)

func TestSparseKeepsEverySecondPatchOrFewer(t *testing.T) {
	for _, c := range []struct{ h, w, wantH, wantW int }{{5, 4, 3, 2}, {1, 1, 1, 1}, {32, 32, 16, 16}, {32, 34, 11, 12}} { // 16x17 are more than 256
		all := embed.Patches{H: c.h, W: c.w, Dim: 1, Width: 1}
		for i := range c.h * c.w {
			all.Data = append(all.Data, float32(i))
		}
		got := sparse(all)
		step := float32((c.w + c.wantW - 1) / c.wantW)
		if got.H != c.wantH || got.W != c.wantW || len(got.Data) != c.wantH*c.wantW {
			t.Errorf("%dx%d: %dx%d of %d values", c.h, c.w, got.H, got.W, len(got.Data))
		} else if last := float32(c.wantH-1)*step*float32(c.w) + float32(c.wantW-1)*step; got.Data[len(got.Data)-1] != last {
			t.Errorf("%dx%d: the last patch is %v, want %v", c.h, c.w, got.Data[len(got.Data)-1], last)
		}
	}
}

func TestSummarize(t *testing.T) {
	// of 11 others, the third nearest and the one behind a fifth of them is the same: 0.2·10 others are nearer
	patch := func(from float32) (d []float32) {
		for i := range 11 {
			d = append(d, from+float32((7*i)%11)) // in disorder
		}
		return d
	}
	many := make([]float32, 101)
	for i := range many {
		many[i] = float32(100 - i)
	}
	for _, c := range []struct {
		others    [][]float32
		rare, odd float64
	}{
		{[][]float32{patch(0), patch(10)}, 12, 12}, // of two patches, a tenth is one
		{[][]float32{many}, 2, 20},
		{[][]float32{{5}}, 5, 5},
		{[][]float32{{9, 4}}, 9, 4},
	} {
		if got := summarize(c.others); got.rare != c.rare || got.odd != c.odd {
			t.Errorf("%v: %+v, want %v and %v", c.others, got, c.rare, c.odd)
		}
	}
}

func TestUpperSpread(t *testing.T) {
	// above the median 3: 4, 5 and 50, whose median distance from it is 2
	if center, spread := upperSpread([]float64{50, 1, 2, 3, 4, 5, -90}); center != 3 || math.Abs(spread-2.9652) > 1e-12 {
		t.Errorf("%v, %v", center, spread)
	}
	if center, spread := upperSpread([]float64{2, 2, 2}); center != 2 || spread != 0 {
		t.Errorf("%v, %v", center, spread)
	}
}

func TestInSpreads(t *testing.T) {
	// above the median 3: 4, 5 and 50, whose median distance from it is 2
	for i, v := range inSpreads([]float64{50, 1, 2, 3, 4, 5, -90}) {
		if want := []float64{47, -2, -1, 0, 1, 2, -93}[i] / 2.9652; math.Abs(v-want) > 1e-12 {
			t.Errorf("value %d is %v spreads above the median, want %v", i, v, want)
		}
	}
	if z := inSpreads([]float64{2, 2, 2}); !slices.Equal(z, []float64{0, 0, 0}) {
		t.Errorf("equal values: %v", z)
	}
}

// Three defects alike are few beside five pictures of each kind; five are not, but few beside all, which are of one kind.
func TestStrangeAreFewOfTheirKindOrFewOfAll(t *testing.T) {
	for _, c := range []struct{ kinds, pictures, alike int }{{8, 5, 1}, {8, 5, 3}, {1, 36, 1}, {1, 36, 5}} {
		rng := rand.New(rand.NewPCG(1, 2))
		var pictures []embed.Patches
		picture := func(kind float32, defect bool) {
			p := embed.Patches{H: 2, W: 10, Dim: 4, Width: 4}
			for range p.H * p.W {
				p.Data = append(p.Data, kind, 0, rng.Float32(), rng.Float32())
			}
			if defect {
				copy(p.Data, []float32{kind, 20, 0, 0})
			}
			pictures = append(pictures, p)
		}
		for i := range c.kinds * c.pictures {
			k := float32(i % c.kinds)
			picture(100*k*k, false) // some kinds are far from all others
		}
		good := len(pictures)
		for range c.alike {
			picture(0, true)
		}
		for _, workers := range []int{1, 3} {
			scores, err := strangeness(t.Context(), pictures, 1, "", &Options{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			if least, most := slices.Min(scores[good:]), slices.Max(scores[:good]); least < 2*screenSpreads || least < 2*most {
				t.Errorf("%+v: defects are at least %.1f spreads strange, good pictures at most %.1f", c, least, most)
			}
		}
	}
}

func TestTopMean(t *testing.T) {
	values := []float64{1, 9, 3, 7, 5}
	if m := topMean(slices.Clone(values), 0.4); m != 8 { // of 9 and 7
		t.Errorf("two of five: %v", m)
	}
	if m := topMean(slices.Clone(values), 0.01); m != 9 {
		t.Errorf("at least one: %v", m)
	}
}

func TestPatchesTakeNoSettingsOfRows(t *testing.T) {
	for _, c := range []OutlierConfig{{Components: 2}, {Scale: RobustOutlierScale}, {MethodOptions: []byte(`{"k":1}`)}, {Contamination: 0.7}} {
		c.Method = PatchOutliers
		var wrong *fault.ConfigError
		if _, err := RankPictures(t.Context(), grids{good: 3}, c, nil); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for n, want := range map[int]string{2: PatchOutliers, manyPictures: PatchOutliers, manyPictures + 1: "knn"} {
		if got := DefaultPictureOutlierMethod(n); got != want {
			t.Errorf("%d pictures: %s", n, got)
		}
	}
}
