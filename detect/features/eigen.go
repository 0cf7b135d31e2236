package features

import (
	"cmp"
	"math"
	"slices"
)

// symmetricEigen returns the eigenvalues of a symmetric matrix (n,n), largest first, and the eigenvectors as rows (n,n), by Jacobi's method: each
// rotation of two axes makes the entry between them zero, until all are. (Golub and Van Loan, Matrix Computations, 8.5) It spoils a.
func symmetricEigen(a []float64, n int) (values, vectors []float64) {
	v := make([]float64, n*n)
	for i := range n {
		v[i*n+i] = 1
	}
	norm := 0.0
	for _, x := range a {
		norm += x * x
	}
	for range 60 { // sweeps; about ten are enough
		off := 0.0
		for i := range n {
			for j := range i {
				off += 2 * a[i*n+j] * a[i*n+j]
			}
		}
		if off <= 1e-28*norm {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(a, v, n, p, q)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(a[j*n+j], a[i*n+i]) })
	for _, i := range order {
		values = append(values, a[i*n+i])
		vectors = append(vectors, v[i*n:][:n]...)
	}
	return values, vectors
}

// rotate makes a[p,q] zero, and turns rows p and q of v along.
func rotate(a, v []float64, n, p, q int) {
	apq := a[p*n+q]
	if apq == 0 {
		return
	}
	theta := (a[q*n+q] - a[p*n+p]) / (2 * apq)
	t := 1 / (math.Abs(theta) + math.Sqrt(theta*theta+1))
	if theta < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(t*t+1)
	s := t * c
	for k := range n { // columns
		x, y := a[k*n+p], a[k*n+q]
		a[k*n+p], a[k*n+q] = c*x-s*y, s*x+c*y
	}
	turn(a[p*n:][:n], a[q*n:][:n], c, s)
	turn(v[p*n:][:n], v[q*n:][:n], c, s)
	a[p*n+q], a[q*n+p] = 0, 0
}

func turn(x, y []float64, c, s float64) {
	for k, v := range x {
		w := y[k]
		x[k], y[k] = c*v-s*w, s*v+c*w
	}
}
