package kernel

import (
	"math"
	"unsafe"
)

// Gaussians sets dst to exp(-‖x-y‖²) for rows y of (len(dst), len(x)), len(x) a multiple of Block.
func Gaussians(dst, x, rows []float32) {
	n := len(x)
	if n == 0 || n%Block != 0 || len(rows) != len(dst)*n {
		panic("kernel: Gaussians of rows that do not fit, or of a length that is no multiple of 16")
	}
	s := use()
	if len(dst) > 0 {
		s.sqDists(&dst[0], &x[0], &rows[0], n, len(dst))
		ExpMinus(dst)
	}
}

// ExpMinus replaces x, each from 0 to +Inf, by e^-x, to two units in the last place; what is less than the least normal number by 0.
func ExpMinus(x []float32) {
	s := use()
	whole := len(x) / Block * Block
	if whole > 0 {
		s.expMinus(&x[0], &x[0], whole)
	}
	if whole < len(x) {
		var rest [Block]float32
		copy(rest[:], x[whole:])
		s.expMinus(&rest[0], &rest[0], Block)
		copy(x[whole:], rest[:])
	}
}

// sqDistsGeneric sets dst[i] to the squared distance of x and row i of rows, count rows of n values one after the other.
func sqDistsGeneric(dst, x, rows *float32, n, count int) {
	to, from := unsafe.Slice(dst, count), unsafe.Slice(rows, n*count)
	for i := range to {
		to[i] = sqDistGeneric(x, &from[i*n], n)
	}
}

// expMinusGeneric sets dst to e^-x for x from 0 to +Inf, over n values: 2^k·e^r with |r| ≤ ½ln2, and Taylor's series to the seventh power.
func expMinusGeneric(dst, x *float32, n int) {
	to := unsafe.Slice(dst, n)
	for i, v := range unsafe.Slice(x, n) {
		if !(v <= 126*math.Ln2) {
			to[i] = 0
			continue
		}
		const shifter = 3 << 51 // rounds to a whole number when added
		z := -float64(v)
		k := (z*math.Log2E + shifter) - shifter
		r := z - k*math.Ln2
		p := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120+r*(1./720+r*(1./5040)))))))
		to[i] = float32(p * math.Float64frombits(uint64(int64(k)+1023)<<52))
	}
}
