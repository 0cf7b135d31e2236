package outlier

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
)

// RobustScale returns x with each column less its median and divided by its interquartile range, as scikit-learn's RobustScaler: outliers move
// neither. A column whose range is 0, though it is not constant, is divided by its standard deviation; a constant one becomes 0.
func RobustScale(x Matrix) Matrix {
	scaled := NewMatrix(x.Rows, x.Cols)
	column := make([]float64, x.Rows)
	for j := range x.Cols {
		for i := range x.Rows {
			column[i] = x.Row(i)[j]
		}
		median := quantile(column, 0.5)
		spread := quantile(column, 0.75) - quantile(column, 0.25)
		if spread == 0 {
			_, spread = columnScale("standard", x, j)
		}
		for i, v := range column {
			scaled.Row(i)[j] = (v - median) / spread
		}
	}
	return scaled
}

// StandardScale returns x with each column less its mean and divided by its standard deviation; a constant one becomes 0. Principal coordinates
// are whitened by it: a direction in which rows seldom differ then counts as much as one in which they always do.
func StandardScale(x Matrix) Matrix {
	scaled := NewMatrix(x.Rows, x.Cols)
	for j := range x.Cols {
		mean, deviation := columnScale("standard", x, j)
		for i := range x.Rows {
			scaled.Row(i)[j] = (x.Row(i)[j] - mean) / deviation
		}
	}
	return scaled
}

// Principal returns the rows' coordinates on the most principal components that explain a share of the variance, at most a number of them,
// and the share that these explain. Components come from a randomised range finder with power iterations (Halko, Martinsson and Tropp, SIAM
// Review 53, 2011), which never makes a matrix of d x d.
func Principal(ctx context.Context, x Matrix, share float64, most int, opts *Options) (coordinates Matrix, explained float64, err error) {
	if !(share > 0 && share <= 1) || most < 1 {
		return Matrix{}, 0, &fault.ConfigError{Field: "components", Value: most, Reason: "want 1 or more, and a share of more than 0 and at most 1"}
	}
	if err := finite(x); err != nil {
		return Matrix{}, 0, err
	}
	n, d := x.Rows, x.Cols
	if n < 2 {
		return Matrix{}, 0, fmt.Errorf("%d rows have no principal components", n)
	}
	centred := NewMatrix(n, d)
	total := 0.0
	for j := range d {
		mean := 0.0
		for i := range n {
			mean += x.Row(i)[j] / float64(n)
		}
		for i := range n {
			v := x.Row(i)[j] - mean
			centred.Row(i)[j] = v
			total += v * v
		}
	}
	if total == 0 {
		return NewMatrix(n, 1), 1, nil // all rows are equal
	}
	const oversampling, powers = 10, 7
	k := min(most+oversampling, n, d)
	rng := rand.New(rand.NewPCG(opts.seed(), 0x7072696e63697061))
	q := NewMatrix(d, k)
	for i := range q.Data {
		q.Data[i] = rng.NormFloat64()
	}
	workers := opts.workers()
	for range powers {
		if err := ctx.Err(); err != nil {
			return Matrix{}, 0, err
		}
		q = transposedTimes(centred, times(centred, q, workers), workers)
		orthonormalise(q)
	}
	y := times(centred, q, workers) // (n, k): the Gram matrix's eigenvectors turn it to the components
	gram := transposedTimes(y, y, workers)
	values, vectors := symmetricEigen(gram)
	keep, sum := 0, 0.0
	for keep < min(most, k) && (keep == 0 || sum < share*total) && values[keep] > 1e-12*total {
		sum += values[keep]
		keep++
	}
	turn := NewMatrix(k, max(keep, 1))
	for i := range k {
		copy(turn.Row(i), vectors.Row(i)[:turn.Cols])
	}
	return times(y, turn, workers), sum / total, nil
}

// times is a·b: (n,k)·(k,m). Each row is computed by one goroutine, in one order.
func times(a, b Matrix, workers int) Matrix {
	c := NewMatrix(a.Rows, b.Cols)
	parallel.For(workers, a.Rows, func(i int) {
		row := c.Row(i)
		for p, v := range a.Row(i) {
			for j, w := range b.Row(p) {
				row[j] += v * w
			}
		}
	})
	return c
}

// transposedTimes is aᵀ·b: (n,k)ᵀ·(n,m). Runs of rows are summed apart, then in their order.
func transposedTimes(a, b Matrix, workers int) Matrix {
	const run = 256
	partial := make([]Matrix, (a.Rows+run-1)/run)
	c := NewMatrix(a.Cols, b.Cols)
	for from := 0; from < len(partial); from += 16 { // a few at a time, for memory's sake
		group := partial[from:min(from+16, len(partial))]
		parallel.For(workers, len(group), func(g int) {
			sum := NewMatrix(a.Cols, b.Cols)
			for i := (from + g) * run; i < min((from+g+1)*run, a.Rows); i++ {
				for p, v := range a.Row(i) {
					row := sum.Row(p)
					for j, w := range b.Row(i) {
						row[j] += v * w
					}
				}
			}
			group[g] = sum
		})
		for g := range group {
			for i, v := range group[g].Data {
				c.Data[i] += v
			}
			group[g] = Matrix{}
		}
	}
	return c
}

// orthonormalise makes q's columns orthonormal, by modified Gram-Schmidt done twice. A column that depends on those before it becomes 0.
func orthonormalise(q Matrix) {
	t := NewMatrix(q.Cols, q.Rows)
	for i := range q.Rows {
		for j, v := range q.Row(i) {
			t.Row(j)[i] = v
		}
	}
	for j := range t.Rows {
		v := t.Row(j)
		before := math.Sqrt(dotProduct(v, v))
		for range 2 {
			for p := range j {
				u := t.Row(p)
				s := dotProduct(u, v)
				for i := range v {
					v[i] -= s * u[i]
				}
			}
		}
		length := math.Sqrt(dotProduct(v, v))
		for i := range v {
			if length > 1e-12*before {
				v[i] /= length
			} else {
				v[i] = 0
			}
		}
	}
	for i := range q.Rows {
		for j := range q.Cols {
			q.Row(i)[j] = t.Row(j)[i]
		}
	}
}

func dotProduct(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// symmetricEigen returns the eigenvalues of a small symmetric matrix, the greatest first, and its eigenvectors as columns, by cyclic Jacobi
// rotations (Golub and Van Loan, Matrix Computations, 8.5).
func symmetricEigen(a Matrix) ([]float64, Matrix) {
	n := a.Rows
	a = Matrix{n, n, slices.Clone(a.Data)}
	v := NewMatrix(n, n)
	for i := range n {
		v.Row(i)[i] = 1
	}
	for range 60 {
		off, all := 0.0, 0.0
		for i := range n {
			for j, x := range a.Row(i) {
				all += x * x
				if i != j {
					off += x * x
				}
			}
		}
		if off <= 1e-28*all {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(a, v, p, q)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch x, y := a.Row(i)[i], a.Row(j)[j]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	values, vectors := make([]float64, n), NewMatrix(n, n)
	for to, from := range order {
		values[to] = a.Row(from)[from]
		for i := range n {
			vectors.Row(i)[to] = v.Row(i)[from]
		}
	}
	return values, vectors
}

// rotate makes a[p][q] zero.
func rotate(a, v Matrix, p, q int) {
	x := a.Row(p)[q]
	if x == 0 {
		return
	}
	tau := (a.Row(q)[q] - a.Row(p)[p]) / (2 * x)
	t := 1 / (math.Abs(tau) + math.Hypot(1, tau))
	if tau < 0 {
		t = -t
	}
	c := 1 / math.Hypot(1, t)
	s := t * c
	for k := range a.Rows {
		kp, kq := a.Row(k)[p], a.Row(k)[q]
		a.Row(k)[p], a.Row(k)[q] = c*kp-s*kq, s*kp+c*kq
	}
	for k := range a.Rows {
		pk, qk := a.Row(p)[k], a.Row(q)[k]
		a.Row(p)[k], a.Row(q)[k] = c*pk-s*qk, s*pk+c*qk
		kp, kq := v.Row(k)[p], v.Row(k)[q]
		v.Row(k)[p], v.Row(k)[q] = c*kp-s*kq, s*kp+c*kq
	}
}
