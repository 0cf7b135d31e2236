package kernel

import "math"

// Dim is the padded length of a vector of d values: the distance functions want zeros up to there.
func Dim(d int) int { return roundUp(d, Block) }

// SqDist is the squared Euclidean distance of two vectors of equal length, a multiple of Block.
func SqDist(a, b []float32) float32 {
	if len(a) != len(b) || len(a)%Block != 0 {
		panic("kernel: SqDist of vectors whose lengths differ or are no multiple of 16")
	}
	if len(a) == 0 {
		return 0
	}
	return use().sqDist(&a[0], &b[0], len(a))
}

// MinSqDist is the smallest squared Euclidean distance of x to a row of rows, len(x) values each; +Inf if there are none.
func MinSqDist(x, rows []float32) float32 {
	n := len(x)
	if n == 0 || n%Block != 0 || len(rows)%n != 0 {
		panic("kernel: MinSqDist of rows that are not of the vector's length, or of a length that is no multiple of 16")
	}
	sqDist := use().sqDist
	best := float32(math.Inf(1))
	for at := 0; at < len(rows); at += n {
		best = min(best, sqDist(&x[0], &rows[at], n))
	}
	return best
}
