package features

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/outlier"
)

// space is where vectors are compared: (x - center)·scale, and then its components.
type space struct {
	center, scale []float64 // (d)
	axes          []float64 // (k, d), orthonormal rows; nil leaves the vector as it is
}

// newSpace learns the scales, and then the components, of rows.
func newSpace(ctx context.Context, p Pooled, x outlier.Matrix, workers int) (space, error) {
	d := x.Cols
	s := space{center: make([]float64, d), scale: make([]float64, d)}
	column := make([]float64, x.Rows)
	for j := range d {
		for i := range x.Rows {
			column[i] = x.Row(i)[j]
		}
		s.center[j], s.scale[j] = scaling(p.Scaling, column)
	}
	if p.KeepVariance < 1 {
		axes, _, err := outlier.PrincipalAxes(ctx, s.apply(x), p.KeepVariance, d, &outlier.Options{Workers: workers})
		if err != nil {
			return space{}, fmt.Errorf("pooled features: %w", err)
		}
		s.axes = axes.Data
	}
	return s, nil
}

// scaling returns what is subtracted of a column, and what the rest is multiplied by. A column without spread keeps its unit, as in scikit-learn.
func scaling(by Scaling, column []float64) (center, scale float64) {
	spread := 1.0
	switch by {
	case Standard:
		for _, v := range column {
			center += v / float64(len(column))
		}
		square := 0.0
		for _, v := range column {
			square += (v - center) * (v - center)
		}
		spread = math.Sqrt(square / float64(len(column)))
	case Robust:
		slices.Sort(column)
		center = quantile(column, 0.5)
		spread = quantile(column, 0.75) - quantile(column, 0.25)
	}
	if spread <= 1e-12*math.Abs(center) || spread == 0 { // rounding, not spread
		spread = 1
	}
	return center, 1 / spread
}

// quantile interpolates between the order statistics of sorted values, as numpy.quantile.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// apply brings rows into the space.
func (s space) apply(x outlier.Matrix) outlier.Matrix {
	d, k := x.Cols, x.Cols
	if s.axes != nil {
		k = len(s.axes) / d
	}
	out := outlier.NewMatrix(x.Rows, k)
	scaled := make([]float64, d)
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			scaled[j] = (v - s.center[j]) * s.scale[j]
		}
		row := out.Row(i)
		if s.axes == nil {
			copy(row, scaled)
			continue
		}
		for c := range row {
			for j, a := range s.axes[c*d:][:d] {
				row[c] += a * scaled[j]
			}
		}
	}
	return out
}
