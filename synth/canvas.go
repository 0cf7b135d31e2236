package synth

import (
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/imageio"
)

// canvas is a picture in the making: RGB in 0..1, and a field of noise of its own.
type canvas struct {
	w, h int
	pix  []float64
	seed uint64
	// where the piece lies in the picture: turned about the centre, then shifted
	angle, dx, dy float64
}

func newCanvas(w, h int, seed uint64) *canvas {
	return &canvas{w: w, h: h, pix: make([]float64, w*h*3), seed: seed}
}

type colour [3]float64

func (a colour) mix(b colour, t float64) colour {
	return colour{a[0] + (b[0]-a[0])*t, a[1] + (b[1]-a[1])*t, a[2] + (b[2]-a[2])*t}
}

func (a colour) times(f float64) colour { return colour{a[0] * f, a[1] * f, a[2] * f} }

func (c *canvas) at(x, y int) colour { i := (y*c.w + x) * 3; return colour(c.pix[i : i+3]) }

func (c *canvas) set(x, y int, v colour) { copy(c.pix[(y*c.w+x)*3:], v[:]) }

// each calls f for every pixel with its place on the piece, and sets what f returns.
func (c *canvas) each(f func(u, v float64, under colour) colour) {
	sin, cos := math.Sincos(c.angle)
	for y := range c.h {
		for x := range c.w {
			px, py := float64(x)+0.5-float64(c.w)/2, float64(y)+0.5-float64(c.h)/2
			u := cos*px + sin*py + float64(c.w)/2 + c.dx
			v := -sin*px + cos*py + float64(c.h)/2 + c.dy
			c.set(x, y, f(u, v, c.at(x, y)))
		}
	}
}

// lay blends paint over the picture by coverage 0..1.
func (c *canvas) lay(cover func(x, y float64) float64, paint func(under colour, x, y float64) colour) {
	for y := range c.h {
		for x := range c.w {
			fx, fy := float64(x)+0.5, float64(y)+0.5
			if a := cover(fx, fy); a > 0 {
				under := c.at(x, y)
				c.set(x, y, under.mix(paint(under, fx, fy), min(a, 1)))
			}
		}
	}
}

// light shades the picture by a slope and a soft fall-off to the corners.
func (c *canvas) light(rng *rand.Rand, strength float64) {
	a := rng.Float64() * 2 * math.Pi
	slope, fall := strength*(0.3+0.7*rng.Float64()), strength*rng.Float64()
	sin, cos := math.Sincos(a)
	gain := 1 + strength*(rng.Float64()-0.5)
	for y := range c.h {
		for x := range c.w {
			u, v := float64(x)/float64(c.w)*2-1, float64(y)/float64(c.h)*2-1
			c.set(x, y, c.at(x, y).times(gain*(1+slope*(u*cos+v*sin)-fall*(u*u+v*v)/2)))
		}
	}
}

// picture adds the sensor's noise and rounds to 8 bits.
func (c *canvas) picture(rng *rand.Rand, noise float64) *imageio.Picture {
	p := imageio.New(c.w, c.h, 3, 8)
	for i := 0; i < len(c.pix); i += 3 {
		shared := rng.NormFloat64() * noise
		for ch := range 3 {
			v := c.pix[i+ch] + shared + rng.NormFloat64()*noise*0.4
			p.Pix8[i+ch] = uint8(math.Round(min(max(v, 0), 1) * 255))
		}
	}
	return p
}

// lattice is a pseudo-random number in [-1,1) for an integer place and a layer.
func (c *canvas) lattice(x, y int, layer uint64) float64 {
	h := c.seed ^ layer*0x9e3779b97f4a7c15 ^ uint64(uint32(x))*0xff51afd7ed558ccd ^ uint64(uint32(y))*0xc4ceb9fe1a85ec53
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 29
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 32
	return float64(h>>11)/(1<<52) - 1
}

// noise is smooth noise in about [-1,1], one unit from bump to bump.
func (c *canvas) noise(x, y float64, layer uint64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	tx, ty := smooth(x-fx), smooth(y-fy)
	a := c.lattice(ix, iy, layer)
	b := c.lattice(ix+1, iy, layer)
	d := c.lattice(ix, iy+1, layer)
	e := c.lattice(ix+1, iy+1, layer)
	top, bottom := a+(b-a)*tx, d+(e-d)*tx
	return top + (bottom-top)*ty
}

// fractal sums noise over octaves.
func (c *canvas) fractal(x, y float64, octaves int, layer uint64) float64 {
	sum, gain := 0.0, 0.5
	for o := range octaves {
		sum += gain * c.noise(x, y, layer+uint64(o))
		x, y, gain = 2*x, 2*y, gain/2
	}
	return sum
}

func smooth(t float64) float64 { return t * t * (3 - 2*t) }

// ramp rises smoothly from 0 at a to 1 at b.
func ramp(a, b, x float64) float64 { return smooth(min(max((x-a)/(b-a), 0), 1)) }

func between(rng *rand.Rand, a, b float64) float64 { return a + (b-a)*rng.Float64() }
