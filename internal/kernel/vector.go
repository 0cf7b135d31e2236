package kernel

import "math"

var unbounded = float32(math.Inf(1))

// Affine sets dst to s·x + t·y + c, clamped to lo..hi. y may be nil; dst may be x or y.
func Affine(dst, x, y []float32, s, t, c, lo, hi float32) {
	x = x[:len(dst)]
	n := len(dst) / Block * Block
	if y == nil {
		if n > 0 {
			use().scale(&dst[0], &x[0], nil, n, s, 0, c, lo, hi)
		}
		for i, v := range x[n:] {
			dst[n+i] = min(max(s*v+c, lo), hi)
		}
		return
	}
	y = y[:len(dst)]
	if n > 0 {
		use().scale(&dst[0], &x[0], &y[0], n, s, t, c, lo, hi)
	}
	for i, v := range y[n:] {
		dst[n+i] = min(max(s*x[n+i]+(t*v+c), lo), hi)
	}
}

// Axpy adds s·x to dst.
func Axpy(dst, x []float32, s float32) { Affine(dst, x, dst, s, 1, 0, -unbounded, unbounded) }

// Scale sets dst to s·x.
func Scale(dst, x []float32, s float32) { Affine(dst, x, nil, s, 0, 0, -unbounded, unbounded) }

// Gate sets dst to keep·dst, plus x where lo < y < hi. dst is not read where keep is 0.
func Gate(dst, x, y []float32, keep, lo, hi float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	n := len(dst) / Block * Block
	if n > 0 {
		use().gate(&dst[0], &x[0], &y[0], n, keep, lo, hi)
	}
	for i := n; i < len(dst); i++ {
		v := x[i]
		if !(y[i] > lo && y[i] < hi) {
			v = 0
		}
		if keep != 0 {
			v += keep * dst[i]
		}
		dst[i] = v
	}
}

// Moments sums (y-shiftY) and (x-shiftX)·(y-shiftY): a sum, a dot product, a variance or a covariance. Blocks of 4096 values are summed
// in float32, their sums in float64.
func Moments(x, y []float32, shiftX, shiftY float32) (sum, product float64) {
	const piece = 4096
	x = x[:len(y)]
	f := use().moments
	for len(y) >= Block {
		n := min(piece, len(y)/Block*Block)
		s, p := f(&x[0], &y[0], n, shiftX, shiftY)
		sum += float64(s)
		product += float64(p)
		x, y = x[n:], y[n:]
	}
	for i, v := range y {
		d := v - shiftY
		sum += float64(d)
		product += float64((x[i] - shiftX) * d)
	}
	return sum, product
}

// Deinterleave sets even to x's values 0, 2, … and odd to its values 1, 3, ….
func Deinterleave(even, odd, x []float32) {
	for len(x) >= 8 && len(even) >= 4 && len(odd) >= 4 {
		even[0], odd[0], even[1], odd[1] = x[0], x[1], x[2], x[3]
		even[2], odd[2], even[3], odd[3] = x[4], x[5], x[6], x[7]
		even, odd, x = even[4:], odd[4:], x[8:]
	}
	for i, v := range x {
		if i%2 == 0 {
			even[i/2] = v
		} else {
			odd[i/2] = v
		}
	}
}

// Interleave sets dst's values 0, 2, … to even and its values 1, 3, … to odd.
func Interleave(dst, even, odd []float32) {
	for len(dst) >= 8 && len(even) >= 4 && len(odd) >= 4 {
		dst[0], dst[1], dst[2], dst[3] = even[0], odd[0], even[1], odd[1]
		dst[4], dst[5], dst[6], dst[7] = even[2], odd[2], even[3], odd[3]
		even, odd, dst = even[4:], odd[4:], dst[8:]
	}
	for i := range dst {
		if i%2 == 0 {
			dst[i] = even[i/2]
		} else {
			dst[i] = odd[i/2]
		}
	}
}
