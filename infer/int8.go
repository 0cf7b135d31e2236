package infer

import (
	"github.com/blemish/blemish/internal/kernel"
)

// int8Network is a quantised network whose values are levels of 8 bits: convolutions sum integers exactly, and what follows them, as far as
// the next convolution, is done in their write-back. Levels are those of the operators one by one, except where a sum of products lies next
// to a rounding boundary, which the operators' float32 sums miss now and then. It is immutable and safe for concurrent use.
type int8Network struct {
	channels int
	input    quantizer // of the picture
	values   []int8Value
	steps    []int8Step
	taps     []int8Tap
	border   int   // of every value but the picture
	edge     int   // the picture's
	last     []int // the last step that reads each value
	plans    int8Plans
}

// int8Value is what is known of levels before the picture's size is. They count from limits.Lo, or from 0 where that is positive.
type int8Value struct {
	channels, lanes int
	flat            bool // one pixel, whatever the picture
	quantizer
}

// quantizer is QuantizeLinear, counted from its zero point, which thereby does not matter.
type quantizer struct {
	scale  float32
	limits kernel.Range
}

// zero is the level that means 0.
func (q quantizer) zero() uint8 { return uint8(-min(q.limits.Lo, 0)) }

// top is the greatest level.
func (q quantizer) top() uint8 { return uint8(max(q.limits.Hi, 0) - min(q.limits.Lo, 0)) }

// clamped limits levels to r as well.
func (q quantizer) clamped(r kernel.Range) quantizer {
	q.limits = clampRange(q.limits, r)
	return q
}

// clampRange is the range of what was first limited to a and then to b.
func clampRange(a, b kernel.Range) kernel.Range {
	return kernel.Range{Lo: min(max(a.Lo, b.Lo), b.Hi), Hi: min(max(a.Hi, b.Lo), b.Hi)}
}

type int8Kind int

const (
	int8Conv int8Kind = iota
	int8Pool
	int8Mean
	int8Same // the input's levels stand for sums
)

// int8Step is one call of a kernel.
type int8Step struct {
	kind              int8Kind
	name              string
	in, residual, out int // values; residual may be absent
	size, stride, gap int // of the window: kernel, stride, dilation
	pad               Padding
	conv              *kernel.Conv8
	quantize          *kernel.Quantizing // nil where levels stay what they are
}

const absent = -1

// int8Tap is a value that is asked for, and how many dimensions it has.
type int8Tap struct{ value, rank int }

// reach bounds the pixels outside the input that a convolution sees, on any side.
func (s int8Step) reach() int {
	if s.kind != int8Conv {
		return 0
	}
	if s.pad == Same {
		return (s.size - 1) * s.gap
	}
	return int(s.pad)
}
