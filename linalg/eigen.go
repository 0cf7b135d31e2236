package linalg

import (
	"errors"
	"math"
)

// ErrNoConvergence says that the QL iteration did not end. It does for every finite symmetric matrix seen so far.
var ErrNoConvergence = errors.New("the eigenvalue iteration did not converge: are all values finite?")

// SymmetricEigen returns the eigenvalues of a symmetric matrix a (n,n), row-major, the greatest first, and their unit eigenvectors as the rows
// of an (n,n) matrix. Only a's lower triangle is read, and a is kept. Each vector's entry of greatest magnitude is positive.
//
// It reduces a to tridiagonal form by Householder reflections and diagonalises that by implicit QL steps with Wilkinson's shift (Golub and Van
// Loan, Matrix Computations, 8.3). Cost: about 6·n³ products.
func SymmetricEigen(a []float64, n int) (values, vectors []float64, err error) {
	work := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			work[i*n+j], work[j*n+i] = a[i*n+j], a[i*n+j]
		}
	}
	diagonal, below, z := tridiagonal(work, n)
	if err := implicitQL(diagonal, below, z, n); err != nil {
		return nil, nil, err
	}
	sortVectors(diagonal, z, n)
	return diagonal, z, nil
}

// tridiagonal reduces a, which it overwrites, to T = Z·A·Zᵀ with T's diagonal and the entries below it (the last of which is 0).
func tridiagonal(a []float64, n int) (diagonal, below, z []float64) {
	diagonal, below = make([]float64, n), make([]float64, n)
	scales := make([]float64, n) // of reflection k: H = I - scale·v·vᵀ, v in row k of a from column k+1
	p := make([]float64, n)
	for k := range n - 1 {
		v := a[k*n+k+1 : (k+1)*n]
		length := norm(v)
		if k == n-2 || length == 0 {
			below[k] = v[0]
			continue
		}
		if v[0] > 0 {
			length = -length
		}
		below[k] = length
		v[0] -= length
		scale := -1 / (length * v[0]) // 2/vᵀv
		scales[k] = scale
		// the trailing matrix B becomes B - v·wᵀ - w·vᵀ, where w = p - (scale/2·pᵀv)·v and p = scale·B·v
		w := p[:len(v)]
		for i := range v {
			w[i] = scale * dot(a[(k+1+i)*n+k+1:(k+2+i)*n], v)
		}
		half := scale / 2 * dot(w, v)
		for i, x := range v {
			w[i] -= half * x
		}
		for i := range v {
			row := a[(k+1+i)*n+k+1 : (k+2+i)*n]
			vi, wi := v[i], w[i]
			for j, x := range v {
				row[j] -= vi*w[j] + wi*x
			}
		}
	}
	for i := range n {
		diagonal[i] = a[i*n+i]
	}
	// Z = H_last···H_1·H_0, multiplied up from the left end, so that row and column k are still those of the identity
	z = make([]float64, n*n)
	for i := range n {
		z[i*n+i] = 1
	}
	for k := n - 3; k >= 0; k-- {
		if scales[k] == 0 {
			continue
		}
		v := a[k*n+k+1 : (k+1)*n]
		for i := k + 1; i < n; i++ {
			row := z[i*n+k+1 : (i+1)*n]
			s := scales[k] * dot(row, v)
			for j, x := range v {
				row[j] -= s * x
			}
		}
	}
	return diagonal, below, z
}

// implicitQL makes the tridiagonal matrix diagonal, and turns the rows of z with it.
func implicitQL(d, e, z []float64, n int) error {
	size := 0.0
	for i := range n {
		size = max(size, math.Abs(d[i])+math.Abs(e[i]))
	}
	if size-size != 0 {
		return ErrNoConvergence
	}
	const eps = 0x1p-53
	for first := range n {
		for steps := 0; ; steps++ {
			last := first
			for last < n-1 && math.Abs(e[last]) > eps*(math.Abs(d[last])+math.Abs(d[last+1])) && math.Abs(e[last]) > eps/4*size {
				last++
			}
			if last == first {
				break
			}
			if steps > 60 {
				return ErrNoConvergence
			}
			// Wilkinson's shift: the eigenvalue of the leading 2x2 block that is nearer to d[first]
			g := (d[first+1] - d[first]) / (2 * e[first])
			r := math.Hypot(g, 1)
			g = d[last] - d[first] + e[first]/(g+math.Copysign(r, g))
			s, c, shift := 1.0, 1.0, 0.0
			i := last - 1
			for ; i >= first; i-- {
				f, b := s*e[i], c*e[i]
				r = math.Hypot(f, g)
				e[i+1] = r
				if r == 0 { // the block splits here
					d[i+1] -= shift
					e[last] = 0
					break
				}
				s, c = f/r, g/r
				g = d[i+1] - shift
				r = (d[i]-g)*s + 2*c*b
				shift = s * r
				d[i+1] = g + shift
				g = c*r - b
				turn(z[i*n:(i+1)*n], z[(i+1)*n:(i+2)*n], c, s)
			}
			if i >= first {
				continue
			}
			d[first] -= shift
			e[first] = g
			e[last] = 0
		}
	}
	return nil
}

// turn replaces (a,b) by (c·a - s·b, s·a + c·b).
func turn(a, b []float64, c, s float64) {
	b = b[:len(a)]
	for k, x := range a {
		y := b[k]
		a[k], b[k] = c*x-s*y, s*x+c*y
	}
}

// sortVectors orders values and the rows of z by value, the greatest first, and fixes the rows' signs.
func sortVectors(values, z []float64, n int) {
	for i := range n {
		best := i
		for j := i + 1; j < n; j++ {
			if values[j] > values[best] {
				best = j
			}
		}
		row, other := z[i*n:(i+1)*n], z[best*n:(best+1)*n]
		if best != i {
			values[i], values[best] = values[best], values[i]
			for k := range row {
				row[k], other[k] = other[k], row[k]
			}
		}
		largest := 0.0
		for _, v := range row {
			if math.Abs(v) > math.Abs(largest) {
				largest = v
			}
		}
		if largest < 0 {
			for k := range row {
				row[k] = -row[k]
			}
		}
	}
}

func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// norm is the Euclidean length, safe from overflow.
func norm(v []float64) float64 {
	largest := 0.0
	for _, x := range v {
		largest = max(largest, math.Abs(x))
	}
	if largest == 0 || largest-largest != 0 {
		return largest
	}
	sum := 0.0
	for _, x := range v {
		x /= largest
		sum += x * x
	}
	return largest * math.Sqrt(sum)
}
