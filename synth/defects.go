package synth

import (
	"math"
	"math/rand/v2"
)

// place picks a point away from the border.
func (c *canvas) place(rng *rand.Rand, margin float64) (x, y float64) {
	return between(rng, margin, float64(c.w)-margin), between(rng, margin, float64(c.h)-margin)
}

// strength is how plain a defect is, from faint to obvious.
func strength(rng *rand.Rand) float64 { return between(rng, 0.4, 1) }

// path is a bent line of points.
func path(rng *rand.Rand, x, y, length, bend float64) [][2]float64 {
	const step = 2
	a := rng.Float64() * 2 * math.Pi
	points := [][2]float64{{x, y}}
	turn := 0.0
	for range int(length / step) {
		turn += rng.NormFloat64() * bend
		turn *= 0.9
		a += turn
		x, y = x+step*math.Cos(a), y+step*math.Sin(a)
		points = append(points, [2]float64{x, y})
	}
	return points
}

// distance is from a point to a path.
func distance(points [][2]float64, x, y float64) float64 {
	best := math.Inf(1)
	for i := 1; i < len(points); i++ {
		ax, ay := points[i-1][0], points[i-1][1]
		bx, by := points[i][0]-ax, points[i][1]-ay
		t := min(max(((x-ax)*bx+(y-ay)*by)/(bx*bx+by*by), 0), 1)
		best = min(best, math.Hypot(x-ax-t*bx, y-ay-t*by))
	}
	return best
}

// near restricts f to the neighbourhood of a path: beyond reach it is 0, unseen.
func near(points [][2]float64, reach float64, f func(d, x, y float64) float64) func(x, y float64) float64 {
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, p := range points {
		x0, y0, x1, y1 = min(x0, p[0]), min(y0, p[1]), max(x1, p[0]), max(y1, p[1])
	}
	return func(x, y float64) float64 {
		if x < x0-reach || x > x1+reach || y < y0-reach || y > y1+reach {
			return 0
		}
		d := distance(points, x, y)
		if d > reach {
			return 0
		}
		return f(d, x, y)
	}
}

func scratch(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 50)
	s := strength(rng)
	width := between(rng, 0.6, 1.4)
	points := path(rng, x, y, between(rng, 30, 110), 0.015)
	bright := 1.75
	if rng.IntN(2) == 0 {
		bright = 0.35
	}
	c.lay(near(points, width+1, func(d, x, y float64) float64 {
		return s * (1 - ramp(width-0.6, width+0.8, d)) * (0.75 + 0.25*c.noise(x/6, y/6, 50))
	}), func(under colour, _, _ float64) colour { return under.times(bright) })
}

func stain(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 45)
	s := strength(rng)
	r := between(rng, 9, 24)
	tint := colour{0.55, 0.42, 0.25}.mix(colour{0.3, 0.3, 0.32}, rng.Float64())
	squeeze := between(rng, 0.6, 1.6)
	c.lay(func(px, py float64) float64 {
		d := math.Hypot((px-x)*squeeze, (py-y)/squeeze) / r
		if d > 1.7 {
			return 0
		}
		d += 0.45 * c.fractal(px/13, py/13, 3, 60)
		rim := 0.35 * math.Exp(-math.Pow((d-0.85)/0.12, 2)) // a dried edge is darker
		return s * 0.5 * ((1-ramp(0.75, 1.05, d))*0.75 + rim)
	}, func(under colour, _, _ float64) colour {
		return colour{under[0] * tint[0], under[1] * tint[1], under[2] * tint[2]}.mix(tint, 0.3)
	})
}

func dent(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 40)
	s := strength(rng)
	r := between(rng, 7, 18)
	sin, cos := math.Sincos(rng.Float64() * 2 * math.Pi)
	for py := range c.h {
		for px := range c.w {
			u, v := (float64(px)+0.5-x)/r, (float64(py)+0.5-y)/r
			d := u*u + v*v
			if d > 9 {
				continue
			}
			// the slope of a hollow exp(-d), lit from one side
			shade := (u*cos + v*sin) * math.Exp(-d) * 0.9 * s
			c.set(px, py, c.at(px, py).times(1+shade))
		}
	}
}

func fibre(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 50)
	s := strength(rng)
	width := between(rng, 0.7, 1.2)
	points := path(rng, x, y, between(rng, 40, 120), 0.09)
	tones := []colour{{0.12, 0.1, 0.1}, {0.9, 0.88, 0.84}, {0.6, 0.15, 0.2}}
	tone := tones[rng.IntN(len(tones))]
	c.lay(near(points, width+1, func(d, _, _ float64) float64 {
		return (0.35 + 0.65*s) * (1 - ramp(width-0.5, width+0.7, d))
	}), func(colour, float64, float64) colour { return tone })
}

// missingThread pulls one thread out of the cloth, for a part of its length: the gap shows the dark behind.
func missingThread(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 50)
	s := strength(rng)
	length := between(rng, 30, 120)
	sin, cos := math.Sincos(c.angle)
	if rng.IntN(2) == 0 {
		sin, cos = cos, -sin
	}
	c.lay(func(px, py float64) float64 {
		along, across := (px-x)*cos+(py-y)*sin, -(px-x)*sin+(py-y)*cos
		across += 0.8 * c.noise(px/20, py/20, 70)
		ends := ramp(-length/2, -length/2+5, along) * (1 - ramp(length/2-5, length/2, along))
		return s * ends * (1 - ramp(thread*0.25, thread*0.55, math.Abs(across)))
	}, func(under colour, _, _ float64) colour { return under.times(0.3) })
}

// hole is torn, with a frayed edge.
func hole(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 35)
	r := between(rng, 3, 13)
	s := 0.5 + 0.5*strength(rng)
	c.lay(func(px, py float64) float64 {
		d := math.Hypot(px-x, py-y)
		if d > 2*r+4 {
			return 0
		}
		d += 0.35 * r * c.fractal(px/4, py/4, 3, 80)
		return s * (1 - ramp(r-1, r+1.5, d))
	}, func(colour, float64, float64) colour { return colour{0.05, 0.05, 0.06} })
}

// missingPrint leaves the paper bare where something should be printed.
func missingPrint(c *canvas, rng *rand.Rand) {
	l := lines[rng.IntN(len(lines))]
	i := rng.IntN(len(l.text) - 1)
	wide := between(rng, 1, 3.5) * l.tracked * l.size
	x, y := l.u+float64(i)*l.tracked*l.size+wide/2, l.v+3.5*l.size
	// the print's place in the picture: the way of canvas.each, backwards
	sin, cos := math.Sincos(c.angle)
	u, v := x-float64(c.w)/2-c.dx, y-float64(c.h)/2-c.dy
	x, y = cos*u-sin*v+float64(c.w)/2, sin*u+cos*v+float64(c.h)/2
	s := strength(rng)
	high := between(rng, 3, 6) * l.size
	c.lay(func(px, py float64) float64 {
		d := math.Hypot((px-x)/wide*2, (py-y)/high*2) + 0.3*c.fractal(px/7, py/7, 3, 90)
		return s * (1 - ramp(0.85, 1.05, d))
	}, func(under colour, _, _ float64) colour { return colour{0.92, 0.91, 0.87} })
}

// smear drags wet ink over the paper.
func smear(c *canvas, rng *rand.Rand) {
	x, y := c.place(rng, 60)
	s := strength(rng)
	length, wide := between(rng, 20, 60), between(rng, 3, 9)
	sin, cos := math.Sincos(between(rng, -0.5, 0.5))
	c.lay(func(px, py float64) float64 {
		along, across := (px-x)*cos+(py-y)*sin, -(px-x)*sin+(py-y)*cos
		if along < -2 || along > length || math.Abs(across) > wide+3 {
			return 0
		}
		fade := 1 - along/length
		return 0.6 * s * fade * ramp(-2, 2, along) * (1 - ramp(wide-2, wide+2, math.Abs(across))) * (0.65 + 0.35*c.noise(along/25, across/1.4, 100))
	}, func(colour, float64, float64) colour { return colour{0.13, 0.13, 0.16} })
}
