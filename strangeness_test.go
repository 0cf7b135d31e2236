package blemish

import (
	"errors"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect/embed"
	"github.com/blemish/blemish/fault"
)

func TestSparseKeepsEverySecondPatchOrFewer(t *testing.T) {
	for _, c := range []struct{ h, w, wantH, wantW int }{{5, 4, 3, 2}, {1, 1, 1, 1}, {64, 64, 32, 32}, {64, 66, 22, 22}} { // 32x33 are more than 1024
		all := embed.Patches{H: c.h, W: c.w, Dim: 1, Width: 1}
		for i := range c.h * c.w {
			all.Data = append(all.Data, float32(i))
		}
		got := sparse(all, strangePatches)
		step := float32((c.w + c.wantW - 1) / c.wantW)
		if got.H != c.wantH || got.W != c.wantW || len(got.Data) != c.wantH*c.wantW {
			t.Errorf("%dx%d: %dx%d of %d values", c.h, c.w, got.H, got.W, len(got.Data))
		} else if last := float32(c.wantH-1)*step*float32(c.w) + float32(c.wantW-1)*step; got.Data[len(got.Data)-1] != last {
			t.Errorf("%dx%d: the last patch is %v, want %v", c.h, c.w, got.Data[len(got.Data)-1], last)
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
