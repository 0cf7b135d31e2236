package knn

import (
	"math"
	"slices"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// rounded are vectors for a first look at many: y = centre + what is rounded + what is left, of which only the length is kept. By the triangle
// inequality, the distance of two rounded vectors is off by no more than the two lengths left.
//
// Bytes are fast where the kernels have assembly for them: then y is rounded to scale·bytes. Elsewhere it is rounded to single precision.
type rounded struct {
	dim, width int
	centre     []float32 // anything that makes vectors short will do
	norms      []float64 // squared lengths of what is rounded
	rests      []float64 // lengths left
	longest    float64   // of what is rounded
	mostLeft   float64
	unit       float64 // a power of two: what the sieve knows, in single precision, is shorter than 1
	nonFinite  int     // the first vector that is not finite, or -1

	scales  []float64 // of bytes; single precision
	bytes   *kernel.Sieve8
	singles *kernel.Sieve // squared lengths and rounded vectors, by unit
}

const (
	rowsATask  = 256
	centreRows = 1024 // whose mean is the centre

	// The float64 sums here are off by less than 2^-30 of their results, and by 2^-45 of what those are differences of.
	relative, cancelled = 0x1p-30, 0x1p-45
	// sieving bounds what single precision makes of the sieve's test, relative to its terms: each is rounded when it is stored, multiplied and added.
	sieving = 16 * 0x1p-24
	// underflow bounds what is lost below the least numbers of single precision.
	underflow   = 0x1p-100
	leastNormal = 0x1p-126
)

// newRounded rounds n vectors of width values, of which those from dim on are 0.
func newRounded(vectors []float32, dim, width int, toBytes bool) *rounded {
	n := len(vectors) / width
	x := &rounded{dim: dim, width: width, centre: make([]float32, dim), nonFinite: -1, norms: make([]float64, n), rests: make([]float64, n)}
	x.center(vectors)
	if toBytes {
		x.toBytes(vectors)
	} else {
		x.toSingles(vectors)
	}
	return x
}

// center takes the mean of some vectors. One that is not finite is found later.
func (x *rounded) center(vectors []float32) {
	step := (len(x.norms) + centreRows - 1) / centreRows
	mean := make([]float64, x.dim)
	count := 0.0
	for i := 0; i < len(x.norms); i += step {
		for j, v := range vectors[i*x.width:][:x.dim] {
			mean[j] += float64(v)
		}
		count++
	}
	for j, v := range mean {
		if finite(v) {
			x.centre[j] = float32(v / count)
		}
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// each calls f for every vector, with room for what it is from the centre.
func (x *rounded) each(vectors []float32, f func(i int, v []float32, from []float64)) {
	n := len(x.norms)
	parallel.For(0, (n+rowsATask-1)/rowsATask, func(task int) {
		from := make([]float64, x.dim)
		for i := task * rowsATask; i < min(n, (task+1)*rowsATask); i++ {
			f(i, vectors[i*x.width:][:x.dim], from)
		}
	})
}

// measured finds the longest vector; it says whether all are finite.
func (x *rounded) measured() bool {
	for i, v := range x.norms {
		if !finite(v) || !finite(x.rests[i]) {
			x.nonFinite = i
			return false
		}
		x.longest = max(x.longest, math.Sqrt(v))
	}
	x.unit = 1
	if x.longest > 0 {
		_, exponent := math.Frexp(x.longest)
		x.unit = math.Ldexp(1, -exponent)
	}
	return true
}

func (x *rounded) toBytes(vectors []float32) {
	n := len(x.norms)
	x.scales = make([]float64, n)
	bytes := make([]int8, n*x.width)
	x.each(vectors, func(i int, v []float32, from []float64) {
		x.scales[i], x.norms[i], x.rests[i] = x.vectorBytes(v, bytes[i*x.width:][:x.dim], from)
	})
	if !x.measured() {
		return
	}
	v := kernel.Rounded8{Bytes: bytes, Scale: make([]float32, n), Base: make([]float32, n), Rest: make([]float32, n)}
	for i := range n {
		norm, rest := x.norms[i]*x.unit*x.unit, x.rests[i]*x.unit
		v.Scale[i] = float32(x.scales[i] * x.unit)
		v.Base[i] = float32(norm - rest*rest - sieving*(norm+rest*rest))
		v.Rest[i] = float32(rest * (1 + sieving))
	}
	x.bytes = kernel.NewSieve8(v, x.width)
}

// vectorBytes rounds a vector to bytes. The length left is rounded up.
func (x *rounded) vectorBytes(v []float32, bytes []int8, from []float64) (scale, norm, rest float64) {
	x.difference(v, from)
	scale = single(kernel.Scale8(from))
	inverse := inverse(scale)
	var squares int64
	length, left := 0.0, 0.0
	for j, d := range from {
		b := int32(d*inverse+(kernel.ByteTop+0.5)) - kernel.ByteTop
		bytes[j] = int8(b)
		squares += int64(b) * int64(b)
		e := d - scale*float64(b)
		length += d * d
		left += e * e
	}
	return scale, scale * scale * float64(squares), up(left, length)
}

// queryLevels rounds a query to levels.
func (x *rounded) queryLevels(v []float32, levels []uint8, from []float64) (scale, norm, rest float64) {
	x.difference(v, from)
	largest := 0.0
	for _, d := range from {
		if abs := math.Abs(d); abs > largest {
			largest = abs
		}
	}
	scale = single(largest / kernel.LevelMid)
	inverse := inverse(scale)
	var squares int64
	length, left := 0.0, 0.0
	for j, d := range from {
		l := int32(d*inverse + (kernel.LevelMid + 0.5))
		levels[j] = uint8(l)
		b := int64(l) - kernel.LevelMid
		squares += b * b
		e := d - scale*float64(b)
		length += d * d
		left += e * e
	}
	return scale, scale * scale * float64(squares), up(left, length)
}

func (x *rounded) toSingles(vectors []float32) {
	x.each(vectors, func(i int, v []float32, from []float64) {
		x.difference(v, from)
		for _, d := range from {
			x.norms[i] += d * d
		}
	})
	if !x.measured() {
		return
	}
	packed := make([]float32, len(vectors))
	x.each(vectors, func(i int, v []float32, from []float64) {
		x.norms[i], x.rests[i] = x.singlesOf(v, packed[i*x.width:][:x.dim], from, 1)
	})
	norms := make([]float32, len(x.norms))
	for i, v := range x.norms {
		norms[i] = float32(v * x.unit * x.unit * (1 - x.summing()))
	}
	x.mostLeft = slices.Max(x.rests)
	x.singles = kernel.NewSieve(packed, norms, x.width)
}

// singlesOf rounds what a vector is from the centre, by unit, to single precision, and writes that times a power of two.
func (x *rounded) singlesOf(v, to []float32, from []float64, times float32) (norm, rest float64) {
	x.difference(v, from)
	length, left := 0.0, 0.0
	for j, d := range from {
		f := float32(d * x.unit)
		to[j] = times * f
		r := float64(f) / x.unit
		norm += r * r
		length += d * d
		left += (d - r) * (d - r)
	}
	return norm, up(left, length)
}

// summing bounds what single precision makes of ‖y‖²-2q·y, relative to ‖q‖²+‖y‖²: width+1 terms, whose absolute values add up to at most
// (‖q‖+‖y‖)², which is no more than twice that, and the rounding of ‖y‖². (Higham, Accuracy and Stability, 3.1)
func (x *rounded) summing() float64 { return 2 * (1.1*float64(x.width) + 8) * 0x1p-24 }

func (x *rounded) difference(v []float32, to []float64) {
	for j, f := range v {
		to[j] = float64(f) - float64(x.centre[j])
	}
}

// up is the root of a sum of squared differences, rounded up; length is the sum of what they are differences of.
func up(left, length float64) float64 {
	return math.Sqrt(left)*(1+relative) + math.Sqrt(length)*cancelled
}

// single is a scale in single precision; 0 gives up on what that cannot hold.
func single(scale float64) float64 {
	if scale < leastNormal {
		return 0
	}
	return float64(float32(scale))
}

func inverse(scale float64) float64 {
	if scale == 0 {
		return 0
	}
	return 1 / scale
}
