package synth

import (
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"slices"
	"testing"
)

func TestTheSameSpecIsTheSamePicture(t *testing.T) {
	digests := map[string]string{
		"brushed metal": "fdfc2882", "woven cloth": "a587e379", "printed label": "039ca867",
	}
	for _, s := range Surfaces() {
		p, _, err := Render(Spec{Surface: s, Seed: 1, Index: 3})
		if err != nil {
			t.Fatal(err)
		}
		again, _, _ := Render(Spec{Surface: s, Seed: 1, Index: 3})
		if !slices.Equal(p.Pix8, again.Pix8) {
			t.Errorf("%s: drawn twice, it differs", s)
		}
		other, _, _ := Render(Spec{Surface: s, Seed: 1, Index: 4})
		if slices.Equal(p.Pix8, other.Pix8) {
			t.Errorf("%s: two pictures are alike", s)
		}
		sum := sha256.Sum256(p.Pix8)
		// Go may fuse products and sums on other architectures, and round otherwise.
		if got := hex.EncodeToString(sum[:4]); runtime.GOARCH == "amd64" && got != digests[s] {
			t.Errorf("%s has digest %s, want %s", s, got, digests[s])
		}
	}
}

func TestMasksAreWhereDefectsShow(t *testing.T) {
	kinds := map[string]bool{}
	for _, s := range Surfaces() {
		defects, err := Defects(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range defects {
			kinds[kind] = true
			seen := 0
			for i := range 6 {
				good, none, err := Render(Spec{Surface: s, Seed: 2, Index: i})
				if err != nil || none != nil {
					t.Fatalf("a good picture has a mask, or an error: %v", err)
				}
				bad, mask, err := Render(Spec{Surface: s, Seed: 2, Index: i, Defect: kind})
				if err != nil {
					t.Fatal(err)
				}
				for p, m := range mask.Data {
					change := 0
					for c := range 3 {
						d := int(bad.Pix8[3*p+c]) - int(good.Pix8[3*p+c])
						change = max(change, d, -d)
					}
					// both carry the same noise, so that only rounding and clipping blur the difference
					if m == 0 && change > visible+1 {
						t.Fatalf("%s, %s, %d: pixel %d changes by %d outside the mask", s, kind, i, p, change)
					}
					if m == 1 {
						seen++
					}
				}
			}
			if seen < 6*20 {
				t.Errorf("%s, %s: only %d pixels show in 6 pictures", s, kind, seen)
			}
		}
	}
	if len(kinds) < 5 {
		t.Errorf("%d kinds of defect", len(kinds))
	}
}

func TestDemoSets(t *testing.T) {
	for _, s := range Surfaces() {
		train, test, err := Demo(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for _, spec := range append(slices.Clone(train), test...) {
			if seen[spec.Index] {
				t.Errorf("%s: piece %d is there twice", s, spec.Index)
			}
			seen[spec.Index] = true
		}
		if slices.ContainsFunc(train, func(s Spec) bool { return s.Defect != "" }) {
			t.Error("a defective picture is among those to learn from")
		}
	}
}

func TestUnknownNames(t *testing.T) {
	if _, _, err := Render(Spec{Surface: "wood"}); err == nil {
		t.Error("an unknown surface is drawn")
	}
	if _, _, err := Render(Spec{Surface: "brushed metal", Defect: "hole"}); err == nil {
		t.Error("a defect that the surface cannot have is drawn")
	}
}

func BenchmarkRender(b *testing.B) {
	for _, s := range Surfaces() {
		b.Run(s, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := Render(Spec{Surface: s, Seed: 1, Defect: "stain"}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
