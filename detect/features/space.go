package features

import (
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
func newSpace(p Pooled, x outlier.Matrix) space {
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
		s.axes = components(s.apply(x), p.KeepVariance)
	}
	return s
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

// components are the fewest principal axes (k,d) that make up a share of the variance of rows. Each points to where its largest entry is positive.
// The smaller of the two products of the centred rows with themselves is decomposed.
func components(x outlier.Matrix, share float64) []float64 {
	n, d := x.Rows, x.Cols
	centred := outlier.NewMatrix(n, d)
	for j := range d {
		mean := 0.0
		for i := range n {
			mean += x.Row(i)[j] / float64(n)
		}
		for i := range n {
			centred.Row(i)[j] = x.Row(i)[j] - mean
		}
	}
	small := centred // rows whose products with each other are decomposed
	if d < n {
		small = outlier.NewMatrix(d, n)
		for i := range n {
			for j, v := range centred.Row(i) {
				small.Row(j)[i] = v
			}
		}
	}
	m := small.Rows
	gram := make([]float64, m*m)
	for i := range m {
		for j := range i + 1 {
			sum := 0.0
			for t, v := range small.Row(i) {
				sum += v * small.Row(j)[t]
			}
			gram[i*m+j], gram[j*m+i] = sum, sum
		}
	}
	values, vectors := symmetricEigen(gram, m)
	total := 0.0
	for _, v := range values {
		total += max(v, 0)
	}
	var axes []float64
	kept := 0.0
	for c, v := range values {
		if c > 0 && (kept >= share*total || v <= 1e-10*values[0]) {
			break
		}
		kept += v
		axis := make([]float64, d)
		if d < n {
			copy(axis, vectors[c*m:][:m])
		} else {
			for i, f := range vectors[c*m:][:m] {
				for j, v := range centred.Row(i) {
					axis[j] += f * v
				}
			}
		}
		axes = append(axes, direct(axis)...)
	}
	return axes
}

// direct makes an axis one long, its largest entry positive.
func direct(axis []float64) []float64 {
	square, largest := 0.0, 0.0
	for _, v := range axis {
		square += v * v
		if math.Abs(v) > math.Abs(largest) {
			largest = v
		}
	}
	f := 1 / math.Sqrt(square)
	if square == 0 {
		f = 0
	}
	if largest < 0 {
		f = -f
	}
	for j := range axis {
		axis[j] *= f
	}
	return axis
}
