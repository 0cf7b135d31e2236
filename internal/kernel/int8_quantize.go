package kernel

import (
	"math"
	"unsafe"
)

// Range is the least and the greatest level, counted from the one that means 0.
type Range struct{ Lo, Hi float32 }

// Quantizing says how a convolution's sums become levels. With r rounding to nearest, ties to even, and all arithmetic in float32:
//
//	t = r(clamp(sum·Scale[c]))
//	t = r(clamp((t·Own + (residual - Zero)·Other) / Level))   where there is a residual
//	t = r(clamp(t·From / To))                                 where levels change their meaning once more
//
// each clamp to the range of its line; the result is t plus Out.Zero. QuantizeLinear and DequantizeLinear between a convolution, a sum and
// a clamp compute just this.
type Quantizing struct {
	Scale []float32 // a channel
	Range Range
	Add   *QuantizedSum
	Again *Requantizing

	scale     []float32 // of whole blocks
	constants [levelConstants][8]float32
}

// QuantizedSum describes the addition of a residual: the scales of both terms and of the sum.
type QuantizedSum struct {
	Own, Other, Level float32
	Range             Range
}

// Requantizing describes levels of scale From that become levels of scale To.
type Requantizing struct {
	From, To float32
	Range    Range
}

// Rows of levelArgs.constants.
const (
	rowLo = iota
	rowHi
	rowZero // an int32
	rowOwn
	rowOtherZero
	rowOther
	rowLevel
	rowSumLo
	rowSumHi
	rowFrom
	rowTo
	rowAgainLo
	rowAgainHi
	levelConstants
)

// Prepare must be called before use: zero means 0 in the result, other in the residual.
func (q *Quantizing) Prepare(zero, other uint8) {
	q.scale = aligned(roundUp(len(q.Scale), Block))
	copy(q.scale, q.Scale)
	set := func(row int, v float32) {
		for i := range q.constants[row] {
			q.constants[row][i] = v
		}
	}
	set(rowLo, q.Range.Lo)
	set(rowHi, q.Range.Hi)
	set(rowZero, math.Float32frombits(uint32(zero)))
	if a := q.Add; a != nil {
		set(rowOwn, a.Own)
		set(rowOtherZero, float32(other))
		set(rowOther, a.Other)
		set(rowLevel, a.Level)
		set(rowSumLo, a.Range.Lo)
		set(rowSumHi, a.Range.Hi)
	}
	if a := q.Again; a != nil {
		set(rowFrom, a.From)
		set(rowTo, a.To)
		set(rowAgainLo, a.Range.Lo)
		set(rowAgainHi, a.Range.Hi)
	}
}

// quantizeRow writes one row of one block from its sums.
func (s *Step8) quantizeRow(set *int8Set, block, y int, scratch *scratch8) {
	q, a := s.Quantize, &scratch.level
	*a = levelArgs{
		sums: &scratch.sums[0], out: unsafe.Pointer(&s.Out.Data[s.Out.at(block, y, 0)]), pixels: s.Out.W,
		scale: &q.scale[block*Block], constants: &q.constants,
	}
	if q.Add != nil {
		a.residual = unsafe.Pointer(&s.Residual.Data[s.Residual.at(block, y, 0)])
	}
	if q.Again != nil {
		a.last = 1
	}
	set.requantize(a)
}

// Requantize8 writes the levels of s.In, which stands for a convolution that changes nothing: its sums are levels less Zero.
func Requantize8(workers int, s *Step8) {
	s.each(workers, s.Out.Blocks(), (*Step8).requantize)
}

func (s *Step8) requantize(block int) {
	in, out := s.In, s.Out
	scratch := takeScratch8(out.W)
	defer scratches8.Put(scratch)
	out.frame(block)
	for y := range out.H {
		for i, v := range in.Data[in.at(block, y, 0):][:out.W*Block] {
			scratch.sums[i] = int32(v) - int32(in.Zero)
		}
		s.quantizeRow(use8(), block, y, scratch)
	}
}

// Mean8 writes the levels of the mean over each channel of s.In: sums over all pixels, which Quantize scales.
func Mean8(s *Step8) {
	in, scratch := s.In, takeScratch8(1)
	defer scratches8.Put(scratch)
	for block := range s.Out.Blocks() {
		s.Out.frame(block)
		sums := scratch.sums[:Block]
		clear(sums)
		for y := range in.H {
			for i, v := range in.Data[in.at(block, y, 0):][:in.W*Block] {
				sums[i%Block] += int32(v) - int32(in.Zero)
			}
		}
		s.quantizeRow(use8(), block, 0, scratch)
	}
}

// Load quantises a picture (C,H,W): x/scale, rounded to nearest even and limited to the range of levels, which count from Zero.
func (l *Levels) Load(src []float32, scale float32, limits Range) {
	const rounder = 3 << 22 // adding it leaves no room for a fraction: the sum's low bits are the rounded number
	zero := uint32(l.Zero)
	for b := range l.Blocks() {
		l.frame(b)
		c0 := b * l.Lanes
		for y := range l.H {
			row := l.Data[l.at(b, y, 0):][:l.W*l.Lanes]
			if l.C-c0 < l.Lanes {
				fill(row, l.Zero)
			}
			for c := range min(l.Lanes, l.C-c0) {
				at := c
				for _, v := range src[((c0+c)*l.H+y)*l.W:][:l.W] {
					v /= scale
					if !(v >= limits.Lo) { // NaN as well
						v = limits.Lo
					}
					if v > limits.Hi {
						v = limits.Hi
					}
					row[at] = uint8(math.Float32bits(v+rounder) + zero)
					at += l.Lanes
				}
			}
		}
	}
}

// Store copies to (C,H,W): (level - Zero)·scale.
func (l *Levels) Store(dst []float32, scale float32) {
	var value [256]float32
	for i := range value {
		value[i] = (float32(i) - float32(l.Zero)) * scale
	}
	for b := range l.Blocks() {
		c0 := b * l.Lanes
		for y := range l.H {
			row := l.Data[l.at(b, y, 0):][:l.W*l.Lanes]
			for c := range min(l.Lanes, l.C-c0) {
				at := c
				out := dst[((c0+c)*l.H+y)*l.W:][:l.W]
				for x := range out {
					out[x] = value[row[at]]
					at += l.Lanes
				}
			}
		}
	}
}
