package blemish

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/transform"
)

// grids are pictures of a soft grid with noise; those from good on have a bright bar, all of them alike.
type grids struct{ good, barred int }

func (g grids) Len() int { return g.good + g.barred }

func (g grids) Picture(_ context.Context, i int) (Picture, error) {
	rng := rand.New(rand.NewPCG(uint64(i), 9))
	phase := rng.Float64()
	p := &imageio.Picture{Width: 64, Height: 64, Channels: 1, Depth: 8, Pix8: make([]uint8, 64*64)}
	for k := range p.Pix8 {
		x, y := float64(k%64), float64(k/64)
		v := 100 + 20*math.Sin(x/4+phase) + 20*math.Sin(y/5) + 3*rng.NormFloat64()
		if i >= g.good && k/64 >= 24 && k/64 < 32 && k%64 > 8 && k%64 < 56 {
			v += 100
		}
		p.Pix8[k] = uint8(v)
	}
	return Picture{Path: fmt.Sprintf("/somewhere/set/part%d/%02d.png", i%2, i), Image: p}, nil
}

func screener(seed uint64, workers int) trainer {
	pre := transform.DefaultConfig()
	pre.Resize = transform.None
	return trainer{plan: plan{preprocess: pre}, extract: detecttest.Extractor{}, seed: seed, opts: &Options{Workers: workers}}
}

func TestScreeningFindsDefectsThatAreAlike(t *testing.T) {
	set := grids{36, 4} // a tenth
	for _, c := range []Contamination{{Auto: true}, {Rate: 0.1}} {
		var first []Suspect
		for _, workers := range []int{1, 3} {
			rest, suspects, err := screener(1, workers).screen(t.Context(), set, c)
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for k, s := range suspects {
				if k > 0 && s.Score > suspects[k-1].Score {
					t.Errorf("%v: suspects are not in order", c)
				}
				if !strings.HasPrefix(s.Path, "part") || s.Reason == "" {
					t.Errorf("suspect %+v", s)
				}
				if slices.Contains([]string{"part0/36.png", "part1/37.png", "part0/38.png", "part1/39.png"}, s.Path) {
					found++
				}
			}
			if found != 4 {
				t.Errorf("%v: %d of 4 planted pictures are suspect", c, found)
			}
			if c.Rate > 0 && len(suspects) != 6 { // half as many again
				t.Errorf("%d suspects by rate", len(suspects))
			}
			if len(suspects) > 8 {
				t.Errorf("%v: %d suspects", c, len(suspects))
			}
			if rest.Len() != 40-len(suspects) {
				t.Errorf("%d pictures and %d suspects of 40", rest.Len(), len(suspects))
			}
			for i := range rest.Len() {
				p, _ := rest.Picture(t.Context(), i)
				for _, s := range suspects {
					if strings.HasSuffix(p.Path, s.Path) {
						t.Errorf("%s is suspect and learned from", p.Path)
					}
				}
			}
			if first == nil {
				first = suspects
			}
			if !slices.Equal(first, suspects) {
				t.Errorf("%v: %d workers find other suspects", c, workers)
			}
		}
	}
}

func TestScreeningLeavesTrustedPicturesAlone(t *testing.T) {
	rest, suspects, err := screener(1, 1).screen(t.Context(), grids{5, 0}, Contamination{})
	if err != nil || rest.Len() != 5 || suspects != nil {
		t.Errorf("%d pictures, %v, %v", rest.Len(), suspects, err)
	}
	if _, _, err := screener(1, 1).screen(t.Context(), grids{9, 0}, Contamination{Auto: true}); err == nil {
		t.Error("nine pictures are enough")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := screener(1, 1).screen(ctx, grids{20, 0}, Contamination{Auto: true}); err == nil {
		t.Error("a cancelled screening went on")
	}
}

func TestContaminationValidate(t *testing.T) {
	for _, c := range []Contamination{{Rate: -0.1}, {Rate: 0.6}, {Rate: math.NaN()}, {Auto: true, Rate: 0.1}} {
		if (Config{Contamination: c}).Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestCommonFolder(t *testing.T) {
	for want, paths := range map[string][]string{
		"/a/b/": {"/a/b/1.png", "/a/b/c/2.png"}, "/a/": {"/a/b/1.png", "/a/bc/2.png"}, "": {"1.png", "a/2.png"}, "/": {"/a/1.png", "/b/2.png"},
	} {
		if got := commonFolder(paths); got != want {
			t.Errorf("%v: %q, want %q", paths, got, want)
		}
	}
}
