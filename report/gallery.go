package report

import (
	"bytes"
	"cmp"
	"image"
	"image/jpeg"
	"slices"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/tensor"
)

// Gallery is a row of pictures with something in common.
type Gallery struct {
	Title string
	Note  string // what the pictures have in common and how they are ordered
	Cards []*Card
}

// Card shows one scored picture: Choose makes it, Draw adds the pictures. A card that was not drawn shows its figures alone.
type Card struct {
	Scored blemish.ScoredPicture

	scale    Scale
	w, h     int    // as shown
	picture  []byte // JPEG
	heat     []byte // JPEG: the map over the picture; nil where there is no map
	truth    string // SVG path of the mask's outline; "" where there is no mask
	found    string // SVG path of the outline of what is above the pixel threshold
	hasMask  bool
	hasFound bool
}

// Choose picks the pictures of an evaluation that are most worth a look, each once, at most perGallery for a gallery: false alarms
// from the highest score down, misses from the lowest up, then examples of each kind spread evenly over its range of scores.
// Without a threshold there are no verdicts: then the good pictures that score highest and the defective ones that score lowest
// come first. The order is fixed; ties keep the set's order.
func Choose(e *blemish.Evaluation, perGallery int) []Gallery {
	c := chooser{pictures: e.Pictures, most: perGallery, taken: make([]bool, len(e.Pictures))}
	if e.Threshold != nil {
		c.extreme("False alarms", "Good pictures called anomalous, the highest score first.",
			func(p blemish.ScoredPicture) bool { return !p.Defective && p.Anomalous }, descending)
		c.extreme("Misses", "Defective pictures called good, the lowest score first.",
			func(p blemish.ScoredPicture) bool { return p.Defective && !p.Anomalous }, ascending)
	} else {
		c.extreme("Good pictures that score highest", "The model has no threshold, hence no verdicts.",
			func(p blemish.ScoredPicture) bool { return !p.Defective }, descending)
		c.extreme("Defective pictures that score lowest", "The model has no threshold, hence no verdicts.",
			func(p blemish.ScoredPicture) bool { return p.Defective }, ascending)
	}
	for _, kind := range defectKinds(e.Pictures) {
		c.examples("Examples: "+kind, func(p blemish.ScoredPicture) bool { return p.Defective && p.Kind == kind })
	}
	c.examples("Examples: good", func(p blemish.ScoredPicture) bool { return !p.Defective })
	return c.galleries
}

// defectKinds returns the kinds of the defective pictures, sorted.
func defectKinds(pictures []blemish.ScoredPicture) []string {
	var kinds []string
	for _, p := range pictures {
		if p.Defective {
			kinds = append(kinds, p.Kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

type chooser struct {
	pictures  []blemish.ScoredPicture
	most      int
	taken     []bool
	galleries []Gallery
}

type order func(a, b float64) int

func ascending(a, b float64) int  { return cmp.Compare(a, b) }
func descending(a, b float64) int { return cmp.Compare(b, a) }

// ranked returns the indices of the pictures that fit and are not taken yet, by score.
func (c *chooser) ranked(fits func(blemish.ScoredPicture) bool, by order) []int {
	var indices []int
	for i, p := range c.pictures {
		if !c.taken[i] && fits(p) {
			indices = append(indices, i)
		}
	}
	slices.SortStableFunc(indices, func(a, b int) int { return by(c.pictures[a].Score, c.pictures[b].Score) })
	return indices
}

func (c *chooser) extreme(title, note string, fits func(blemish.ScoredPicture) bool, by order) {
	indices := c.ranked(fits, by)
	c.add(title, note, indices[:min(len(indices), c.most)])
}

func (c *chooser) examples(title string, fits func(blemish.ScoredPicture) bool) {
	indices := c.ranked(fits, descending)
	var spread []int
	for i := range min(len(indices), c.most) {
		spread = append(spread, indices[i*len(indices)/min(len(indices), c.most)])
	}
	c.add(title, "Spread evenly over the scores, the highest first; pictures shown above are left out.", spread)
}

func (c *chooser) add(title, note string, indices []int) {
	if len(indices) == 0 {
		return
	}
	g := Gallery{Title: title, Note: note}
	for _, i := range indices {
		c.taken[i] = true
		g.Cards = append(g.Cards, &Card{Scored: c.pictures[i]})
	}
	c.galleries = append(c.galleries, g)
}

const (
	longestSide = 300 // pixels of a card's pictures: sharp on a phone, and 60 cards stay below 4 MB
	jpegQuality = 80
)

// Draw renders the card's pictures: the picture, its raw map (H,W) on the given scale, the outline of the true mask and the outline
// of what is above scale.Threshold. Map and mask may be nil. Pictures are shown smaller than they are; maps and masks shrink to the
// greatest value covered, so that no defect vanishes. It keeps none of its arguments.
func (c *Card) Draw(picture *imageio.Picture, m *tensor.Tensor, mask *imageio.Mask, scale Scale) error {
	w, h := picture.Width, picture.Height
	if m != nil && (len(m.Shape) != 2 || m.Shape[0] != h || m.Shape[1] != w) {
		return &fault.ShapeError{What: "map of " + c.Scored.Path, Want: "its picture's (H,W)", Got: m.Shape}
	}
	if mask != nil && (mask.Width != w || mask.Height != h) {
		return &fault.ShapeError{What: "mask of " + c.Scored.Path, Want: "its picture's (H,W)", Got: []int{mask.Height, mask.Width}}
	}
	c.scale = scale
	c.w, c.h = displaySize(w, h, longestSide)
	small := shrinkImage(toRGBA(picture), c.w, c.h)
	var err error
	if c.picture, err = encodeJPEG(small); err != nil {
		return err
	}
	if mask != nil {
		c.hasMask = true
		c.truth = outline(shrinkMax(mask.Data, w, h, c.w, c.h), c.w, c.h)
	}
	if m == nil {
		return nil
	}
	values := shrinkMax(m.Data, w, h, c.w, c.h)
	if scale.Threshold != nil {
		c.hasFound = true
		c.found = outline(above(values, *scale.Threshold), c.w, c.h)
	}
	paintHeat(small, values, scale)
	c.heat, err = encodeJPEG(small)
	return err
}

func encodeJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: jpegQuality})
	return b.Bytes(), err
}
