package synth

import (
	"math"
	"math/rand/v2"
)

// metal is steel brushed from left to right.
func metal(c *canvas, rng *rand.Rand) {
	c.angle = between(rng, -0.025, 0.025)
	tone := between(rng, 0.52, 0.6)
	depth := between(rng, 0.8, 1.2)
	c.each(func(u, v float64, _ colour) colour {
		// streaks: long along u, fine along v, in three widths
		s := 0.5*c.noise(u/90, v/1.1, 1) + 0.35*c.noise(u/160, v/2.7, 2) + 0.3*c.noise(u/240, v/9, 3) + 0.12*c.noise(u/14, v/0.9, 4)
		sheen := 0.03 * math.Sin(v/c.sheen()+float64(c.seed%7))
		g := tone + depth*0.075*s + sheen
		return colour{g * 0.99, g, g * 1.025}
	})
	c.light(rng, 0.16)
}

func (c *canvas) sheen() float64 { return 38 + float64(c.seed%13) }

const thread = 8.0 // pixels from one thread of the cloth to the next

// cloth is a plain weave: each thread passes over one and under the next.
func cloth(c *canvas, rng *rand.Rand) {
	c.angle = between(rng, -0.035, 0.035)
	c.dx, c.dy = between(rng, 0, 2*thread), between(rng, 0, 2*thread)
	warp := colour{0.24, 0.34, 0.52}.times(between(rng, 0.92, 1.08))
	weft := colour{0.50, 0.58, 0.68}.times(between(rng, 0.92, 1.08))
	c.each(func(u, v float64, _ colour) colour {
		u += 0.9*c.noise(u/40, v/40, 1) + 0.35*c.noise(u/60, v/9, 2)
		v += 0.9*c.noise(u/40, v/40, 3) + 0.35*c.noise(u/9, v/60, 4)
		i, j := math.Floor(u/thread), math.Floor(v/thread)
		fu, fv := u/thread-i-0.5, v/thread-j-0.5 // place within the crossing, -0.5..0.5
		over := warp
		across, along := fu, fv
		fibres := c.noise(u/0.9, v/7, 5)
		if (int(i)+int(j))%2 != 0 {
			over, across, along, fibres = weft, fv, fu, c.noise(u/7, v/0.9, 6)
		}
		own := 0.06 * c.lattice(int(i), int(j), 7)
		round := math.Sqrt(max(0, 1-3.4*across*across)) // a thread's cross-section
		dive := 1 - 1.5*along*along                     // and its way under the next
		return over.times((0.42+0.58*round*dive)*(1+own) + 0.09*fibres)
	})
	c.light(rng, 0.14)
}

// label is paper printed with a frame, a mark, lines of text and a bar code; print and paper never lie quite alike.
func label(c *canvas, rng *rand.Rand) {
	c.angle = between(rng, -0.012, 0.012)
	c.dx, c.dy = between(rng, -2.5, 2.5), between(rng, -2.5, 2.5)
	paper := colour{0.93, 0.92, 0.88}.times(between(rng, 0.95, 1.02))
	ink := colour{0.12, 0.13, 0.17}.times(between(rng, 0.8, 1.5))
	red := colour{0.72, 0.16, 0.15}.times(between(rng, 0.9, 1.1))
	shift := [2]float64{between(rng, -1, 1), between(rng, -1, 1)} // of the red plate against the black one
	c.each(func(u, v float64, _ colour) colour {
		base := paper.times(1 + 0.025*c.fractal(u/9, v/9, 3, 1))
		patchy := 1 - 0.12*max(0, c.fractal(u/5, v/5, 2, 9)) // ink takes unevenly
		// four samples a pixel, for smooth edges
		var black, spot float64
		for k := range 4 {
			su, sv := u+0.5*float64(k%2)-0.25, v+0.5*float64(k/2)-0.25
			black += printed(su, sv) / 4
			spot += mark(su+shift[0], sv+shift[1]) / 4
		}
		return base.mix(red, spot*patchy).mix(ink, black*patchy)
	})
	c.light(rng, 0.1)
}

// mark is the red emblem: a ring with a bar.
func mark(u, v float64) float64 {
	d := math.Hypot(u-66, v-74)
	if d < 36 && d > 26 || math.Abs(u-66) < 17 && math.Abs(v-74) < 5 {
		return 1
	}
	return 0
}

// printed is the black plate: frame, text, bar code.
func printed(u, v float64) float64 {
	if inFrame(u, v, 16, 3) || inFrame(u, v, 23, 1) {
		return 1
	}
	for _, l := range lines {
		if l.covers(u, v) {
			return 1
		}
	}
	if v > 186 && v < 224 && u > 40 && u < 204 {
		bar := int((u - 40) / 2)
		return float64(bars >> (uint(bar*7) % 61) & 1)
	}
	return 0
}

const bars uint64 = 0x1b6d_a5d3_2d96_cb4f // the bar code's stripes, wide and narrow

func inFrame(u, v, inset, thick float64) bool {
	const w, h = 384, 256
	inside := func(d float64) bool { return u > d && u < w-d && v > d && v < h-d }
	return inside(inset) && !inside(inset+thick)
}

// line is a line of text; size is a dot's, in pixels.
type line struct {
	text    string
	u, v    float64
	size    float64
	tracked float64 // dots from one letter to the next
}

var lines = []line{
	{"BLEMISH", 122, 42, 4.4, 6.3},
	{"OPTICAL PARTS", 124, 88, 2.2, 6.2},
	{"LOT 2047", 124, 114, 2.2, 6.2},
	{"TEST PASS 08", 42, 140, 2.2, 6.2},
	{"HANDLE CLEAN", 42, 162, 2.2, 6.2},
	{"4702 815", 222, 196, 2.6, 6.4},
}

func (l line) covers(u, v float64) bool {
	x, y := (u-l.u)/l.size, (v-l.v)/l.size
	if y < 0 || y >= 7 || x < 0 {
		return false
	}
	i := int(x / l.tracked)
	if i >= len(l.text) {
		return false
	}
	col := int(x - float64(i)*l.tracked)
	return col < 5 && glyphs[l.text[i]][int(y)]>>(4-col)&1 == 1
}

// glyphs are letters of 5x7 dots, a row a byte, the leftmost dot in bit 4.
var glyphs = map[byte][7]byte{
	'A': {14, 17, 17, 31, 17, 17, 17}, 'B': {30, 17, 17, 30, 17, 17, 30}, 'C': {14, 17, 16, 16, 16, 17, 14}, 'D': {30, 17, 17, 17, 17, 17, 30},
	'E': {31, 16, 16, 30, 16, 16, 31}, 'H': {17, 17, 17, 31, 17, 17, 17}, 'I': {14, 4, 4, 4, 4, 4, 14}, 'L': {16, 16, 16, 16, 16, 16, 31},
	'M': {17, 27, 21, 21, 17, 17, 17}, 'N': {17, 25, 21, 19, 17, 17, 17}, 'O': {14, 17, 17, 17, 17, 17, 14}, 'P': {30, 17, 17, 30, 16, 16, 16},
	'R': {30, 17, 17, 30, 20, 18, 17}, 'S': {15, 16, 16, 14, 1, 1, 30}, 'T': {31, 4, 4, 4, 4, 4, 4}, '0': {14, 17, 19, 21, 25, 17, 14},
	'1': {4, 12, 4, 4, 4, 4, 14}, '2': {14, 17, 1, 6, 8, 16, 31}, '4': {2, 6, 10, 18, 31, 2, 2}, '5': {31, 16, 30, 1, 1, 17, 14},
	'7': {31, 1, 2, 4, 8, 8, 8}, '8': {14, 17, 17, 14, 17, 17, 14},
}
