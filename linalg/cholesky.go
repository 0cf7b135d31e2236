// Package linalg holds the dense linear algebra that detectors need, in float64.
//
// A lower triangle of an n x n matrix is stored row by row: entry (i,j), j <= i, is a[i·(i+1)/2+j].
package linalg

import (
	"errors"
	"math"
)

// ErrNotPositiveDefinite says that a matrix has no Cholesky factor.
var ErrNotPositiveDefinite = errors.New("the matrix is not positive definite")

// Cholesky replaces the lower triangle of a symmetric matrix by L, where A = L·Lᵀ. Cost: n³/6 products.
func Cholesky(a []float64, n int) error {
	for i := range n {
		ri := a[i*(i+1)/2:][:i+1]
		for j := range i + 1 {
			rj := a[j*(j+1)/2:][:j+1]
			sum := ri[j]
			for k, v := range rj[:j] {
				sum -= ri[k] * v
			}
			if j < i {
				ri[j] = sum / rj[j]
				continue
			}
			if !(sum > 0) || math.IsInf(sum, 0) {
				return ErrNotPositiveDefinite
			}
			ri[i] = math.Sqrt(sum)
		}
	}
	return nil
}

// InvertLower replaces a lower triangular matrix by its inverse, which is lower triangular too. Cost: n³/6 products.
func InvertLower(l []float64, n int) {
	for i := range n {
		row := l[i*(i+1)/2:][:i+1]
		inverse := 1 / row[i]
		// row i of the inverse: x_j = -1/l_ii · Σ_{j<=k<i} l_ik·inv_kj, the rows above being inverted already
		for j := range i {
			sum := 0.0
			for k := j; k < i; k++ {
				sum += row[k] * l[k*(k+1)/2+j]
			}
			row[j] = -sum * inverse // row[k] for k > j is still l_ik
		}
		row[i] = inverse
	}
}
