package outlier

import (
	"context"

	"github.com/blemish/blemish/internal/parallel"
)

// rowBlock rows are worked on together.
const rowBlock = 256

// scoreBlocks calls f with runs of rows, and with a number below the workers' for scratch memory. It stops when ctx is cancelled.
func scoreBlocks(ctx context.Context, rows, workers int, f func(worker, first, last int)) error {
	parallel.ForWorker(workers, (rows+rowBlock-1)/rowBlock, func(w, b int) {
		if ctx.Err() == nil {
			f(w, b*rowBlock, min((b+1)*rowBlock, rows))
		}
	})
	return ctx.Err()
}

// meanOf adds the rows in their order.
func meanOf(x Matrix) []float64 {
	mean := make([]float64, x.Cols)
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			mean[j] += v
		}
	}
	for j := range mean {
		mean[j] /= float64(x.Rows)
	}
	return mean
}

// centredOn is x less a row.
func centredOn(x Matrix, center []float64) Matrix {
	out := NewMatrix(x.Rows, x.Cols)
	for i := range x.Rows {
		row := out.Row(i)
		for j, v := range x.Row(i) {
			row[j] = v - center[j]
		}
	}
	return out
}

// scatter is the lower triangle of Σ row·rowᵀ, in linalg's packing. Runs of rows are added up apart, then in order, whatever the workers.
func scatter(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	size := x.Cols * (x.Cols + 1) / 2
	parts := max(1, min(32, x.Rows/rowBlock, 1<<22/size)) // bounds the memory to 32 MB beyond the result
	sums := make([]float64, parts*size)
	parallel.For(workers, parts, func(p int) {
		last := (p + 1) * x.Rows / parts
		for at := p * x.Rows / parts; at < last && ctx.Err() == nil; at += rowBlock {
			addProducts(sums[p*size:(p+1)*size], x.Data[at*x.Cols:min(at+rowBlock, last)*x.Cols], nil, x.Cols)
		}
	})
	total := sums[:size]
	for p := 1; p < parts; p++ {
		for i, v := range sums[p*size : (p+1)*size] {
			total[i] += v
		}
	}
	return total, ctx.Err()
}

// addProducts adds Σ weight·row·rowᵀ to a lower triangle, four rows at a time. rows are (n,d); nil weights are 1.
func addProducts(lower, rows, weights []float64, d int) {
	n := len(rows) / d
	weight := func(i int) float64 {
		if weights == nil {
			return 1
		}
		return weights[i]
	}
	i := 0
	for ; i+4 <= n; i += 4 {
		a, b, c, e := rows[i*d:][:d], rows[(i+1)*d:][:d], rows[(i+2)*d:][:d], rows[(i+3)*d:][:d]
		wa, wb, wc, we := weight(i), weight(i+1), weight(i+2), weight(i+3)
		at := 0
		for j := range d {
			va, vb, vc, ve := wa*a[j], wb*b[j], wc*c[j], we*e[j]
			to := lower[at : at+j+1]
			pa, pb, pc, pe := a[:len(to)], b[:len(to)], c[:len(to)], e[:len(to)]
			for k := range to {
				to[k] += va*pa[k] + vb*pb[k] + (vc*pc[k] + ve*pe[k])
			}
			at += j + 1
		}
	}
	for ; i < n; i++ {
		a := rows[i*d:][:d]
		w, at := weight(i), 0
		for j := range d {
			v := w * a[j]
			to := lower[at : at+j+1]
			for k, u := range a[:len(to)] {
				to[k] += v * u
			}
			at += j + 1
		}
	}
}

// squareOf unpacks a lower triangle.
func squareOf(lower []float64, d int) []float64 {
	full := make([]float64, d*d)
	for i := range d {
		for j := range i + 1 {
			v := lower[i*(i+1)/2+j]
			full[i*d+j], full[j*d+i] = v, v
		}
	}
	return full
}

// empiricalCovariance is the maximum likelihood estimate (divided by n, not n-1), packed.
func empiricalCovariance(ctx context.Context, x Matrix, workers int) (mean, lower []float64, err error) {
	mean = meanOf(x)
	lower, err = scatter(ctx, centredOn(x, mean), workers)
	for i := range lower {
		lower[i] /= float64(x.Rows)
	}
	return mean, lower, err
}

// traces returns the mean of the eigenvalues and Σ of all squared entries of a packed symmetric matrix.
func traces(lower []float64, d int) (mu, squares float64) {
	for i := range d {
		row := lower[i*(i+1)/2:][:i+1]
		mu += row[i] / float64(d)
		for _, v := range row[:i] {
			squares += 2 * v * v
		}
		squares += row[i] * row[i]
	}
	return mu, squares
}

// shrink moves the covariance towards mu·I.
func shrink(lower []float64, d int, shrinkage float64) {
	mu, _ := traces(lower, d)
	for i := range lower {
		lower[i] *= 1 - shrinkage
	}
	for i := range d {
		lower[i*(i+1)/2+i] += shrinkage * mu
	}
}

// ledoitWolfShrinkage minimises the expected squared error of the covariance (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004). x is
// centred.
func ledoitWolfShrinkage(x Matrix, lower []float64) float64 {
	n, d := float64(x.Rows), float64(x.Cols)
	if x.Cols == 1 {
		return 0
	}
	mu, delta := traces(lower, x.Cols)
	fourth := 0.0 // Σ over rows of |row|⁴
	for i := range x.Rows {
		square := 0.0
		for _, v := range x.Row(i) {
			square += v * v
		}
		fourth += square * square
	}
	beta := (fourth/n - delta) / (d * n)
	delta = (delta - d*mu*mu) / d
	if beta = min(beta, delta); beta == 0 {
		return 0
	}
	return beta / delta
}

// oasShrinkage converges to the oracle's shrinkage of normal rows (Chen, Wiesel, Eldar and Hero, IEEE Transactions on Signal Processing 58,
// 2010), as scikit-learn computes it.
func oasShrinkage(n int, lower []float64, d int) float64 {
	if d == 1 {
		return 0
	}
	mu, squares := traces(lower, d)
	alpha := squares / float64(d*d)
	den := float64(n+1) * (alpha - mu*mu/float64(d))
	if den == 0 {
		return 1
	}
	return min((alpha+mu*mu)/den, 1)
}
