package outlier

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/linalg"
)

// PCAConfig scores a row by its squared distance from the plane of the principal components, ‖x - x̂‖², where x̂ is what scikit-learn's
// PCA(svd_solver="full") gives back from transform and inverse_transform.
//
// Directions in which the rows fitted do not vary are never components, so that leaving the rows' own plane is an error, however many are kept.
type PCAConfig struct {
	NComponents   Setting `json:"n_components"`  // 1 or more: their number; between 0 and 1: the share of variance that they exceed; "full": all
	Contamination float64 `json:"contamination"` // share of the rows fitted that the threshold leaves above it
}

// DefaultPCA keeps 95 % of the variance. (scikit-learn's default keeps all: then nothing is left to judge by.)
func DefaultPCA() PCAConfig { return PCAConfig{NComponents: Number(0.95), Contamination: 0.1} }

// Validate names the first parameter that is out of range.
func (c PCAConfig) Validate() error {
	if err := c.NComponents.check("n_components", "full"); err != nil {
		return err
	}
	if v := c.NComponents.Value; v >= 1 && v != math.Floor(v) {
		return &fault.ConfigError{Field: "n_components", Value: v, Reason: "want a whole number, a share below 1, or full"}
	}
	return checkContamination(Number(c.Contamination))
}

// PCA is a fitted PCAConfig. Scores are squared distances.
type PCA struct {
	config     PCAConfig
	mean       []float64 // (d)
	components Matrix    // (k,d), orthonormal
	threshold  float64
}

// mostEigen bounds the matrix that is diagonalised.
const mostEigen = 10000

// Fit finds the components.
func (c PCAConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	if small := min(x.Rows, x.Cols); c.NComponents.Value > float64(small) {
		return nil, &fault.ConfigError{Field: "n_components", Value: c.NComponents.Value, Reason: fmt.Sprintf("want at most %d: there are %d rows of %d columns", small, x.Rows, x.Cols)}
	} else if small > mostEigen {
		return nil, &fault.LimitError{What: fmt.Sprintf("PCA of %d rows and %d columns", x.Rows, x.Cols), Limit: fmt.Sprintf("%d of either: reduce the columns", mostEigen)}
	}
	m := &PCA{config: c, mean: meanOf(x)}
	values, all, err := principalAxes(ctx, centredOn(x, m.mean), opts.workers())
	if err != nil {
		return nil, err
	}
	total := 0.0
	for _, v := range values {
		total += v
	}
	k, sum := all.Rows, 0.0
	switch n := c.NComponents.Value; {
	case n >= 1:
		k = min(k, int(n))
	case n > 0:
		for k = 0; k < all.Rows; {
			sum += values[k]
			if k++; sum/total > n {
				break
			}
		}
	}
	m.components = Matrix{k, x.Cols, all.Data[:k*x.Cols]}
	scores, err := m.score(ctx, x, opts.workers())
	if err != nil {
		return nil, err
	}
	m.threshold = quantile(scores, 1-c.Contamination)
	opts.report(x.Rows, x.Rows)
	return m, nil
}

var errNoVariance = errors.New("all rows are equal: they have no principal components")

// principalAxes returns the scatter along each direction in which the centred rows vary, the greatest first, and these directions. It diagonalises
// the smaller of ZᵀZ (d,d) and ZZᵀ (n,n).
func principalAxes(ctx context.Context, z Matrix, workers int) ([]float64, Matrix, error) {
	n, d := z.Rows, z.Cols
	small := min(n, d)
	var square []float64
	if d <= n {
		lower, err := scatter(ctx, z, workers)
		if err != nil {
			return nil, Matrix{}, err
		}
		square = squareOf(lower, d)
	} else {
		square = make([]float64, n*n)
		parallel.For(workers, n, func(i int) {
			for j := range i + 1 {
				square[i*n+j] = dotProduct(z.Row(i), z.Row(j))
			}
		})
	}
	if err := ctx.Err(); err != nil {
		return nil, Matrix{}, err
	}
	values, vectors, err := linalg.SymmetricEigen(square, small)
	if err != nil {
		return nil, Matrix{}, err
	}
	rank := 0
	for rank < small && values[rank] > max(values[0]*float64(max(n, d))*0x1p-52, 1e-300) {
		rank++
	}
	if rank == 0 {
		return nil, Matrix{}, errNoVariance
	}
	axes := Matrix{rank, d, vectors[:rank*small]}
	if d > n { // u of ZZᵀ gives Zᵀu, which is along the component
		axes.Data = make([]float64, rank*d)
		parallel.For(workers, rank, func(k int) {
			axis := axes.Row(k)
			for i, u := range vectors[k*n : (k+1)*n] {
				for j, v := range z.Row(i) {
					axis[j] += u * v
				}
			}
		})
		orthonormaliseRows(axes)
	}
	return values[:rank], axes, nil
}

// orthonormaliseRows is Gram and Schmidt's method done twice, for rows that are all but orthogonal.
func orthonormaliseRows(a Matrix) {
	for k := range a.Rows {
		row := a.Row(k)
		for range 2 {
			length := math.Sqrt(dotProduct(row, row))
			for j := range row {
				row[j] /= length
			}
			for p := range k {
				s := dotProduct(a.Row(p), row)
				for j, v := range a.Row(p) {
					row[j] -= s * v
				}
			}
		}
		length := math.Sqrt(dotProduct(row, row))
		for j := range row {
			row[j] /= length
		}
	}
}

// Score returns squared distances from the plane.
func (m *PCA) Score(ctx context.Context, x Matrix) ([]float64, error) { return m.score(ctx, x, 0) }

func (m *PCA) score(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	if err := checkNew(x, len(m.mean)); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	scores := make([]float64, x.Rows)
	err := scoreBlocks(ctx, x.Rows, workers, func(_, first, last int) {
		z, rest := make([]float64, x.Cols), make([]float64, x.Cols)
		for i := first; i < last; i++ {
			for j, v := range x.Row(i) {
				z[j] = v - m.mean[j]
			}
			copy(rest, z)
			for k := range m.components.Rows {
				axis := m.components.Row(k)
				s := dotProduct(axis, z)
				for j, v := range axis {
					rest[j] -= s * v
				}
			}
			scores[i] = dotProduct(rest, rest)
		}
	})
	return representable(scores, err)
}

// Threshold leaves the configured contamination of the rows fitted above it.
func (m *PCA) Threshold() float64 { return m.threshold }

// State is the mean, the components and the threshold.
func (m *PCA) State() (State, error) {
	return saveAs(m.config, map[string]Array{"mean": vectorOf(m.mean), "components": arrayOf(m.components), "threshold": numberOf(m.threshold)})
}

func openPCA(s State) (Detector, error) {
	c, r, err := openSaved("PCA detector", s, PCAConfig{}, 3)
	if err != nil {
		return nil, err
	}
	m := &PCA{config: c, components: r.matrix("components", -1, -1), threshold: r.number("threshold")}
	m.mean = r.array("mean", m.components.Cols).Data
	if r.err == nil && m.components.Rows > m.components.Cols {
		r.err = r.damaged("%d components of %d columns", m.components.Rows, m.components.Cols)
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}
