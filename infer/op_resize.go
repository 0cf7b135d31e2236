package infer

import (
	"math"
	"slices"
)

// opResize interpolates along each dimension in turn: nearest, linear and cubic are all separable.
func opResize(c *call) []*array {
	x := c.floats(0)
	if c.integer("antialias", 0) != 0 {
		unsupported("Resize with antialias")
	}
	axes, given := c.axes(-1, x.rank())
	if !given {
		for i := range x.shape {
			axes = append(axes, i)
		}
	}
	shape, scale := slices.Clone(x.shape), make([]float64, x.rank())
	fill(scale, 1)
	switch s, to := c.optional(2), c.optional(3); {
	case to != nil && to.len() > 0:
		if policy := c.text("keep_aspect_ratio_policy", "stretch"); policy != "stretch" {
			unsupported("Resize that keeps the aspect ratio by %s", policy)
		}
		want := sizes(to)
		check(len(want) == len(axes), "%d sizes for %d axes", len(want), len(axes))
		for i, a := range axes {
			shape[a] = want[i]
			scale[a] = float64(want[i]) / float64(x.shape[a])
		}
	default:
		check(s != nil && s.isFloat() && s.len() == len(axes), "neither sizes nor scales for %d axes", len(axes))
		for i, a := range axes {
			scale[a] = float64(s.floats[i])
			check(scale[a] > 0 && scale[a]*float64(x.shape[a]) <= float64(maxElements), "scale %v", scale[a])
			shape[a] = int(math.Floor(float64(x.shape[a]) * scale[a]))
		}
	}
	check(x.len() > 0 && elements(shape) > 0, "shape %v to %v", x.shape, shape)
	r := c.resampling()
	for a := range shape {
		if shape[a] != x.shape[a] || scale[a] != 1 {
			x = resample(x, a, shape[a], func(i int) taps1D { return r.taps(i, x.shape[a], shape[a], scale[a]) })
		}
	}
	return one(x)
}

// taps1D are the inputs of one output position, with their weights.
type taps1D struct {
	at     []int
	weight []float64
}

// resample computes n positions of dimension a.
func resample(x *array, a, n int, taps func(i int) taps1D) *array {
	shape := slices.Clone(x.shape)
	shape[a] = n
	y := newFloats(shape...)
	outer, inner := x.around(a)
	for i := range n {
		t := taps(i)
		for o := range outer {
			to := y.floats[(o*n+i)*inner:][:inner]
			for j := range to {
				sum := 0.0
				for k, at := range t.at {
					sum += t.weight[k] * float64(x.floats[(o*x.shape[a]+at)*inner+j])
				}
				to[j] = float32(sum)
			}
		}
	}
	return y
}

// resampling is how an output position is computed.
type resampling struct {
	mode, transform, nearest string
	cubic                    float64
	inside                   bool // weights of pixels outside count as 0
}

func (c *call) resampling() resampling {
	r := resampling{c.text("mode", "nearest"), c.text("coordinate_transformation_mode", "half_pixel"), c.text("nearest_mode", "round_prefer_floor"),
		float64(c.float("cubic_coeff_a", -0.75)), c.integer("exclude_outside", 0) != 0}
	for _, known := range []struct {
		name, value string
		values      []string
	}{
		{"mode", r.mode, []string{"nearest", "linear", "cubic"}},
		{"coordinate_transformation_mode", r.transform, []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"}},
		{"nearest_mode", r.nearest, []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}},
	} {
		if !slices.Contains(known.values, known.value) {
			unsupported("Resize with %s %q", known.name, known.value)
		}
	}
	return r
}

// source is where output position i of n lies among m input pixels.
func (r resampling) source(i, m, n int, scale float64) float64 {
	switch r.transform {
	case "asymmetric":
		return float64(i) / scale
	case "align_corners":
		if n == 1 {
			return 0
		}
		return float64(i) * float64(m-1) / float64(n-1)
	case "pytorch_half_pixel":
		if n == 1 {
			return 0
		}
	case "half_pixel_symmetric":
		adjust := float64(n) / (scale * float64(m))
		return float64(m)/2*(1-adjust) + (float64(i)+0.5)/scale - 0.5
	}
	return (float64(i)+0.5)/scale - 0.5
}

func (r resampling) taps(i, m, n int, scale float64) taps1D {
	x := r.source(i, m, n, scale)
	first := int(math.Floor(x))
	f := x - math.Floor(x)
	var t taps1D
	switch r.mode {
	case "nearest":
		return taps1D{[]int{min(max(r.round(x), 0), m-1)}, []float64{1}}
	case "linear":
		t = taps1D{[]int{first, first + 1}, []float64{1 - f, f}}
	case "cubic": // Keys 1981
		a := r.cubic
		near := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
		far := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
		t = taps1D{[]int{first - 1, first, first + 1, first + 2}, []float64{far(1 + f), near(f), near(1 - f), far(2 - f)}}
	}
	total := 0.0
	for k, at := range t.at {
		if r.inside && (at < 0 || at >= m) {
			t.weight[k] = 0
		}
		total += t.weight[k]
		t.at[k] = min(max(at, 0), m-1)
	}
	if r.inside {
		for k := range t.weight {
			t.weight[k] /= total
		}
	}
	return t
}

func (r resampling) round(x float64) int {
	switch r.nearest {
	case "floor":
		return int(math.Floor(x))
	case "ceil":
		return int(math.Ceil(x))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	}
	return int(math.Ceil(x - 0.5))
}
