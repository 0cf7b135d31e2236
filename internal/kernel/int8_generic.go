package kernel

import (
	"math"
	"unsafe"
)

// The Go twins of the assembly on levels. They agree to the bit.

func genericInt8() *int8Set {
	s := &int8Set{requantize: requantizeGeneric, maxPool: maxPool8Generic, asked: askedGeneric}
	for _, p := range []int{1, 2, 4} {
		s.tiles = append(s.tiles, tile8Func{p, func(a *tile8Args) { tile8Generic(a, p) }})
	}
	s.rows = rows8(s.tiles)
	return s
}

// tile8Generic multiplies p pixels by a block of 16 output channels.
func tile8Generic(a *tile8Args, p int) {
	steps := 0
	for _, n := range unsafe.Slice(a.counts, a.groups) {
		steps += int(n)
	}
	offsets, weights := unsafe.Slice(a.offsets, steps), unsafe.Slice(a.weights, steps*4*Block)
	for i := range p {
		sums := unsafe.Slice(a.sums, p*Block)[i*Block:][:Block]
		copy(sums, unsafe.Slice(a.bias, Block))
		for s, offset := range offsets {
			x := unsafe.Slice((*uint8)(unsafe.Add(a.in, int(offset)+i*a.stride)), 4)
			w := weights[s*4*Block:][:4*Block]
			for j := range sums {
				sums[j] += int32(x[0])*int32(w[4*j]) + int32(x[1])*int32(w[4*j+1]) + int32(x[2])*int32(w[4*j+2]) + int32(x[3])*int32(w[4*j+3])
			}
		}
	}
}

// requantizeGeneric is Quantizing's formula.
func requantizeGeneric(a *levelArgs) {
	c := func(row int) float32 { return a.constants[row][0] }
	round := func(v float32, lo, hi int) float32 {
		return float32(math.RoundToEven(float64(min(max(v, c(lo)), c(hi)))))
	}
	n := a.pixels * Block
	sums, scale, out := unsafe.Slice(a.sums, n), unsafe.Slice(a.scale, Block), unsafe.Slice((*uint8)(a.out), n)
	zero := int32(math.Float32bits(c(rowZero)))
	for i, s := range sums {
		t := round(float32(s)*scale[i%Block], rowLo, rowHi)
		if a.residual != nil {
			own := t * c(rowOwn)
			other := (float32(unsafe.Slice((*uint8)(a.residual), n)[i]) - c(rowOtherZero)) * c(rowOther)
			t = round((float32(own)+float32(other))/c(rowLevel), rowSumLo, rowSumHi)
		}
		if a.last != 0 {
			t = round(t*c(rowFrom)/c(rowTo), rowAgainLo, rowAgainHi)
		}
		out[i] = uint8(int32(t) + zero)
	}
}

func maxPool8Generic(a *pool8Args) {
	out := unsafe.Slice((*uint8)(a.out), a.pixels*Block)
	clear(out)
	for p := range a.pixels {
		acc := out[p*Block:][:Block]
		for _, offset := range unsafe.Slice(a.offsets, a.taps) {
			for j, v := range unsafe.Slice((*uint8)(unsafe.Add(a.in, int(offset)+p*a.stride)), Block) {
				acc[j] = max(acc[j], v)
			}
		}
	}
}
