package kernel

import "unsafe"

// Panel64 is Block vectors of float64, interleaved to be met by many others: value j of vector r is [j][r]. Vectors not set are zeros.
type Panel64 [][Block]float64

// NewPanel64 takes vectors of n values.
func NewPanel64(n int) Panel64 { return make(Panel64, n) }

// Set makes v, at most as long as the panel's vectors, vector r.
func (p Panel64) Set(r int, v []float64) {
	for j, u := range v {
		p[j][r] = u
	}
}

// Dots sets dst[i·pitch+r] to the product of x[i]-from and vector r, for all r below Block. What is longer than the panel's vectors is cut. Every
// sum is in one order, whatever the others.
func (p Panel64) Dots(dst []float64, pitch int, x [][]float64, from []float64) {
	p.check(dst, pitch, x)
	if len(from) < len(p) {
		panic("kernel: Dots of an origin shorter than the panel's vectors")
	}
	if len(x) > 0 {
		use().dots64(&dst[0], 8*pitch, &x[0], &from[0], &p[0][0], len(p), len(x))
	}
}

// Squares sets dst[i·pitch+r] to the squared distance of x[i] and vector r, by subtraction; else it is like Dots.
func (p Panel64) Squares(dst []float64, pitch int, x [][]float64) {
	p.check(dst, pitch, x)
	if len(x) > 0 {
		use().squares64(&dst[0], 8*pitch, &x[0], &p[0][0], len(p), len(x))
	}
}

func (p Panel64) check(dst []float64, pitch int, x [][]float64) {
	fits := len(p) > 0 && pitch >= Block && (len(x) == 0 || len(dst) >= (len(x)-1)*pitch+Block)
	for _, v := range x {
		fits = fits && len(v) >= len(p)
	}
	if !fits {
		panic("kernel: vectors that do not fit their panel, or results that do not fit their memory")
	}
}

// Fetch asks for x to be in the innermost cache soon, and does not wait for it.
func Fetch(x []float64) {
	if len(x) > 0 {
		use().fetch(&x[0], 8*len(x))
	}
}

// half is as many lanes as there are registers for, where Go's compiler takes one a value.
const half = Block / 2

func dots64Generic(dst *float64, pitch int, x *[]float64, from, panel *float64, n, count int) {
	shift, p := unsafe.Slice(from, n), unsafe.Slice((*[2][half]float64)(unsafe.Pointer(panel)), n)
	for i, v := range unsafe.Slice(x, count) {
		to := (*[2][half]float64)(unsafe.Add(unsafe.Pointer(dst), i*pitch))
		for h := range to {
			var s0, s1, s2, s3, s4, s5, s6, s7 float64
			for j, u := range v[:n] {
				u -= shift[j]
				c := &p[j][h]
				s0 += u * c[0]
				s1 += u * c[1]
				s2 += u * c[2]
				s3 += u * c[3]
				s4 += u * c[4]
				s5 += u * c[5]
				s6 += u * c[6]
				s7 += u * c[7]
			}
			to[h] = [half]float64{s0, s1, s2, s3, s4, s5, s6, s7}
		}
	}
}

func squares64Generic(dst *float64, pitch int, x *[]float64, panel *float64, n, count int) {
	p := unsafe.Slice((*[2][half]float64)(unsafe.Pointer(panel)), n)
	for i, v := range unsafe.Slice(x, count) {
		to := (*[2][half]float64)(unsafe.Add(unsafe.Pointer(dst), i*pitch))
		for h := range to {
			var s0, s1, s2, s3, s4, s5, s6, s7 float64
			for j, u := range v[:n] {
				c := &p[j][h]
				d0, d1, d2, d3, d4, d5, d6, d7 := u-c[0], u-c[1], u-c[2], u-c[3], u-c[4], u-c[5], u-c[6], u-c[7]
				s0 += d0 * d0
				s1 += d1 * d1
				s2 += d2 * d2
				s3 += d3 * d3
				s4 += d4 * d4
				s5 += d5 * d5
				s6 += d6 * d6
				s7 += d7 * d7
			}
			to[h] = [half]float64{s0, s1, s2, s3, s4, s5, s6, s7}
		}
	}
}
