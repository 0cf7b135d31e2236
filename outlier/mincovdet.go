package outlier

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/linalg"
)

// minCovDet estimates location and covariance by the minimum covariance determinant: those of the h rows whose covariance has the least
// determinant, made consistent at the normal distribution, and then of all rows within the 97.5 % quantile of it (Rousseeuw and Van Driessen,
// Technometrics 41, 1999). Factors and steps are scikit-learn's MinCovDet; but there are more random starts.
func (c MahalanobisConfig) minCovDet(ctx context.Context, x Matrix, opts *Options) (location, lower []float64, err error) {
	n, d := x.Rows, x.Cols
	best, h, err := c.leastDeterminant(ctx, x, opts)
	if err != nil {
		return nil, nil, err
	}
	factor := consistency(d, float64(h)/float64(n))
	limit := chiSquaredQuantile(0.975, d) * factor
	distances, err := best.distances(x)
	if err != nil {
		return nil, nil, err
	}
	var kept []int
	for i, v := range distances {
		if v < limit {
			kept = append(kept, i)
		}
	}
	location, lower = covarianceOf(x, kept)
	factor = consistency(d, 0.975)
	for i := range lower {
		lower[i] *= factor
	}
	return location, lower, nil
}

// leastDeterminant finds the h rows.
func (c MahalanobisConfig) leastDeterminant(ctx context.Context, x Matrix, opts *Options) (best subset, h int, err error) {
	n, d := x.Rows, x.Cols
	h = min((n+d+2)/2, n) // ⌈(n+d+1)/2⌉
	if c.SupportFraction > 0 {
		h = int(c.SupportFraction * float64(n))
	}
	if h <= d {
		return subset{}, 0, fmt.Errorf("robust covariance of %d columns from the %d most central of %d rows is singular: reduce the columns, raise support_fraction, or take ledoit_wolf", d, h, n)
	}
	if d == 1 {
		best, err = shortestHalf(x, h)
	} else {
		rng := rand.New(rand.NewPCG(opts.seed(), 0x6d696e636f7664)) // a stream of its own
		best, err = fastMCD(ctx, x, h, rng, opts)
	}
	return best, h, err
}

// subset is the location and covariance (packed) of some rows.
type subset struct {
	location, lower []float64
	logDet          float64
}

// errSingular says that rows lie in a plane.
var errSingular = errors.New("the covariance of the most central rows is singular, as of constant or dependent columns, or of many equal rows: " +
	"leave such columns out, raise support_fraction, or take ledoit_wolf")

func covarianceOf(x Matrix, rows []int) (mean, lower []float64) {
	chosen := NewMatrix(len(rows), x.Cols)
	for to, i := range rows {
		copy(chosen.Row(to), x.Row(i))
	}
	mean = meanOf(chosen)
	lower = make([]float64, x.Cols*(x.Cols+1)/2)
	addProducts(lower, centredOn(chosen, mean).Data, nil, x.Cols)
	for i := range lower {
		lower[i] /= float64(len(rows))
	}
	return mean, lower
}

// subsetOf fails with errSingular where a column is all but a combination of those before it.
func subsetOf(x Matrix, rows []int) (subset, error) {
	s := subset{}
	s.location, s.lower = covarianceOf(x, rows)
	factor, err := s.factor()
	if err != nil {
		return s, err
	}
	for i := range x.Cols {
		s.logDet += 2 * math.Log(factor[i*(i+1)/2+i])
	}
	return s, nil
}

// factor is the Cholesky factor of the covariance.
func (s subset) factor() ([]float64, error) {
	d := len(s.location)
	l := slices.Clone(s.lower)
	if linalg.Cholesky(l, d) != nil {
		return nil, errSingular
	}
	for i := range d {
		if p := l[i*(i+1)/2+i]; p*p <= float64(d)*0x1p-48*s.lower[i*(i+1)/2+i] {
			return nil, errSingular
		}
	}
	return l, nil
}

// distances are squared and from the subset's location.
func (s subset) distances(x Matrix) ([]float64, error) {
	l, err := s.factor()
	if err != nil {
		return nil, err
	}
	linalg.InvertLower(l, x.Cols)
	out, z := make([]float64, x.Rows), make([]float64, x.Cols)
	for i := range out {
		for j, v := range x.Row(i) {
			z[j] = v - s.location[j]
		}
		for j := range z {
			y := dotProduct(l[j*(j+1)/2:][:j+1], z)
			out[i] += y * y
		}
	}
	return out, nil
}

// nearest returns the h rows at the least distances, of equal ones the lower index.
func nearest(distances []float64, h int) []int {
	order := make([]int, len(distances))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case distances[i] < distances[j]:
			return -1
		case distances[i] > distances[j]:
			return 1
		}
		return 0
	})
	slices.Sort(order[:h])
	return order[:h]
}

// concentrate takes C-steps from s: the h rows nearest to a subset have no greater determinant than it. It ends when that stays, or after steps.
func concentrate(ctx context.Context, x Matrix, h int, s subset, steps int) (subset, error) {
	for range steps {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		distances, err := s.distances(x)
		if err != nil {
			return s, err
		}
		next, err := subsetOf(x, nearest(distances, h))
		if err != nil {
			return s, err
		}
		done := next.logDet >= s.logDet && len(s.location) > 0 && s.logDet != math.Inf(1)
		if done {
			break
		}
		s = next
	}
	return s, nil
}

// fastMCD starts often and goes on with the best: of up to 600 rows, on all of them; of more, first on up to five parts of 300 rows, then on these
// together, then on all.
func fastMCD(ctx context.Context, x Matrix, h int, rng *rand.Rand, opts *Options) (subset, error) {
	const starts, kept = 500, 10
	if x.Rows <= 600 {
		goOn := kept
		if x.Rows*x.Cols*x.Cols <= 20000 { // cheap, and few rows have many local minima: all go on
			goOn = 2 * starts
		}
		begun, err := tryStarts(ctx, x, h, append(randomStarts(x, x.Cols+1, starts, rng), randomStarts(x, h, starts, rng)...), goOn, 2, opts)
		if err != nil {
			return subset{}, err
		}
		return first(tryStarts(ctx, x, h, begun, 1, 100, opts))
	}
	parts := min(5, x.Rows/300)
	order := rng.Perm(x.Rows)[:parts*300]
	share := float64(h) / float64(x.Rows)
	var all []subset
	for p := range parts {
		part := rowsOf(x, order[p*300:(p+1)*300])
		begun, err := tryStarts(ctx, part, int(math.Ceil(300*share)), randomStarts(part, x.Cols+1, starts/parts, rng), kept, 2, opts)
		if err != nil {
			return subset{}, err
		}
		all = append(all, begun...)
	}
	merged := rowsOf(x, order)
	all, err := tryStarts(ctx, merged, int(math.Ceil(float64(merged.Rows)*share)), all, kept, 2, opts)
	if err != nil {
		return subset{}, err
	}
	return first(tryStarts(ctx, x, h, all, 1, 100, opts))
}

func first(s []subset, err error) (subset, error) {
	if err != nil {
		return subset{}, err
	}
	return s[0], nil
}

func rowsOf(x Matrix, rows []int) Matrix {
	out := NewMatrix(len(rows), x.Cols)
	for to, i := range rows {
		copy(out.Row(to), x.Row(i))
	}
	return out
}

// randomStarts draws least rows each (d+1 as in the paper; of few rows also h, as scikit-learn), and more where these lie in a plane. Their determinants are not of h rows, so they count as infinite.
func randomStarts(x Matrix, least, count int, rng *rand.Rand) []subset {
	var starts []subset
	for range count {
		order := rng.Perm(x.Rows)
		for size := least; size <= x.Rows; size += max(1, x.Cols/4) {
			if s, err := subsetOf(x, order[:size]); err == nil {
				s.logDet = math.Inf(1)
				starts = append(starts, s)
				break
			}
		}
	}
	return starts
}

// tryStarts takes steps from each start and returns those of least determinant, in order.
func tryStarts(ctx context.Context, x Matrix, h int, starts []subset, keep, steps int, opts *Options) ([]subset, error) {
	ends, errs := make([]subset, len(starts)), make([]error, len(starts))
	parallel.For(opts.workers(), len(starts), func(i int) {
		start := starts[i]
		start.logDet = math.Inf(1) // of other rows, perhaps
		ends[i], errs[i] = concentrate(ctx, x, h, start, steps)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, err := range errs {
		if err != nil {
			return nil, err // some h rows lie in a plane: the least determinant is 0
		}
	}
	if len(ends) == 0 {
		return nil, errSingular
	}
	slices.SortStableFunc(ends, func(a, b subset) int {
		switch {
		case a.logDet < b.logDet:
			return -1
		case a.logDet > b.logDet:
			return 1
		}
		return 0
	})
	return ends[:min(keep, len(ends))], nil
}

// shortestHalf is exact for one column: around the middle of the shortest interval, the mean of them where several are (Rousseeuw and Leroy,
// Robust Regression and Outlier Detection, 1987, chapter 4); the interval, as scikit-learn's, ends at the value after its h.
func shortestHalf(x Matrix, h int) (subset, error) {
	n := x.Rows
	if h == n {
		rows := make([]int, n)
		for i := range rows {
			rows[i] = i
		}
		return subsetOf(x, rows)
	}
	sorted := slices.Clone(x.Data)
	slices.Sort(sorted)
	shortest, middle, ties := math.Inf(1), 0.0, 0.0
	for i := range n - h {
		length, at := sorted[i+h]-sorted[i], (sorted[i+h]+sorted[i])/2
		if length < shortest {
			shortest, middle, ties = length, 0, 0
		}
		if length == shortest {
			middle += at
			ties++
		}
	}
	middle /= ties
	away := make([]float64, n)
	for i, v := range x.Data {
		away[i] = math.Abs(v - middle)
	}
	s, err := subsetOf(x, nearest(away, h))
	s.location = []float64{middle}
	return s, err
}

// consistency is the factor that makes the covariance of the innermost share of a normal distribution's rows that of all (Croux and Haesbroeck,
// Journal of Multivariate Analysis 71, 1999).
func consistency(d int, share float64) float64 {
	if share >= 1 {
		return 1
	}
	return share / chiSquaredCDF(chiSquaredQuantile(share, d), d+2)
}
