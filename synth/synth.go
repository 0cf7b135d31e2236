// Package synth renders pictures of surfaces, good and defective with exact masks: the demo's data. Everything is drawn from a seed; no two good
// pictures are alike (light, phase, angle, contrast, noise), and defects range from faint to plain.
package synth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/imageio"
)

// Spec names a picture. The same Spec is the same picture.
type Spec struct {
	Surface string
	Defect  string // "" for a good picture
	Seed    uint64
	Index   int // of the picture; good and defective ones of one index show the same piece
}

// surface is a material: how it looks, and what may go wrong with it.
type surface struct {
	name          string
	width, height int
	draw          func(c *canvas, rng *rand.Rand)
	defects       []string
}

var surfaces = []surface{
	{"brushed metal", 256, 256, metal, []string{"scratch", "dent", "stain", "fibre"}},
	{"woven cloth", 256, 256, cloth, []string{"missing thread", "hole", "stain", "fibre"}},
	{"printed label", 384, 256, label, []string{"missing print", "smear", "scratch", "stain"}},
}

var defects = map[string]func(c *canvas, rng *rand.Rand){
	"scratch": scratch, "dent": dent, "stain": stain, "fibre": fibre,
	"missing thread": missingThread, "hole": hole, "missing print": missingPrint, "smear": smear,
}

// Surfaces lists the surfaces.
func Surfaces() []string {
	var names []string
	for _, s := range surfaces {
		names = append(names, s.name)
	}
	return names
}

// Defects lists the kinds of defect of a surface.
func Defects(name string) ([]string, error) {
	s, err := lookup(name)
	return slices.Clone(s.defects), err
}

func lookup(name string) (surface, error) {
	for _, s := range surfaces {
		if s.name == name {
			return s, nil
		}
	}
	return surface{}, fmt.Errorf("unknown surface %q: known are %q", name, Surfaces())
}

// visible is how much a defect must change a pixel, of 255 levels, to be in its mask.
const visible = 5

// Render draws a picture. A defective one comes with its mask: the pixels that differ visibly from the good picture of the same index.
func Render(s Spec) (*imageio.Picture, *imageio.Mask, error) {
	what, err := lookup(s.Surface)
	if err != nil {
		return nil, nil, err
	}
	stream := uint64(slices.Index(Surfaces(), s.Surface)+1)<<32 | uint64(s.Index)
	rng := rand.New(rand.NewPCG(s.Seed, stream))
	c := newCanvas(what.width, what.height, rng.Uint64())
	what.draw(c, rng)
	noise := rng.Float64()*0.006 + 0.008
	if s.Defect == "" {
		return c.picture(rng, noise), nil, nil
	}
	spoil, ok := defects[s.Defect]
	if !ok || !slices.Contains(what.defects, s.Defect) {
		return nil, nil, fmt.Errorf("unknown defect %q of %s: known are %q", s.Defect, s.Surface, what.defects)
	}
	good := slices.Clone(c.pix)
	spoil(c, rand.New(rand.NewPCG(s.Seed+1, stream)))
	mask := &imageio.Mask{Width: c.w, Height: c.h, Data: make([]uint8, c.w*c.h)}
	for i := range mask.Data {
		for ch := range 3 {
			if math.Abs(c.pix[3*i+ch]-good[3*i+ch])*255 >= visible {
				mask.Data[i] = 1
			}
		}
	}
	return c.picture(rng, noise), mask, nil
}

// Demo lists a surface's demo pictures: good ones to learn from, and good and defective ones to judge.
func Demo(surface string, seed uint64) (train, test []Spec, err error) {
	const trainGood, testGood, each = 80, 24, 7
	kinds, err := Defects(surface)
	if err != nil {
		return nil, nil, err
	}
	for i := range trainGood {
		train = append(train, Spec{Surface: surface, Seed: seed, Index: i})
	}
	at := trainGood
	for range testGood {
		test = append(test, Spec{Surface: surface, Seed: seed, Index: at})
		at++
	}
	for _, kind := range kinds {
		for range each {
			test = append(test, Spec{Surface: surface, Defect: kind, Seed: seed, Index: at})
			at++
		}
	}
	return train, test, nil
}
