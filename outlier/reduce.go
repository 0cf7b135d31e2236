package outlier

import (
	"context"
	"errors"
	"fmt"

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

// Principal returns the rows' coordinates on their PrincipalAxes, and the share of the variance that these explain. Equal rows have the one
// coordinate 0.
func Principal(ctx context.Context, x Matrix, share float64, most int, opts *Options) (coordinates Matrix, explained float64, err error) {
	mean := meanOf(x)
	axes, explained, err := PrincipalAxes(ctx, x, share, most, opts)
	if errors.Is(err, errNoVariance) {
		return NewMatrix(x.Rows, 1), 1, nil
	}
	if err != nil {
		return Matrix{}, 0, err
	}
	centred := centredOn(x, mean)
	coordinates = NewMatrix(x.Rows, axes.Rows)
	parallel.For(opts.workers(), x.Rows, func(i int) {
		for k := range axes.Rows {
			coordinates.Row(i)[k] = dotProduct(axes.Row(k), centred.Row(i))
		}
	})
	return coordinates, explained, nil
}

// PrincipalAxes returns the most principal directions (k,d), of length 1, that explain a share of the rows' variance, at most a number of them, and
// the share that these explain. Cost: that of the eigenvectors of min(n,d) dimensions.
func PrincipalAxes(ctx context.Context, x Matrix, share float64, most int, opts *Options) (axes Matrix, explained float64, err error) {
	if !(share > 0 && share <= 1) || most < 1 {
		return Matrix{}, 0, &fault.ConfigError{Field: "components", Value: most, Reason: "want 1 or more, and a share of more than 0 and at most 1"}
	}
	if err := finite(x); err != nil {
		return Matrix{}, 0, err
	}
	if x.Rows < 2 {
		return Matrix{}, 0, fmt.Errorf("%d rows have no principal components", x.Rows)
	}
	centred := centredOn(x, meanOf(x))
	total := dotProduct(centred.Data, centred.Data)
	if total == 0 {
		return Matrix{}, 0, errNoVariance
	}
	values, axes, err := principalAxes(ctx, centred, opts.workers())
	if err != nil {
		return Matrix{}, 0, err
	}
	keep, sum := 0, 0.0
	for keep < min(most, axes.Rows) && (keep == 0 || sum < share*total && values[keep] > 1e-12*total) {
		sum += values[keep]
		keep++
	}
	return Matrix{keep, x.Cols, axes.Data[:keep*x.Cols]}, sum / total, nil
}

func dotProduct(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
