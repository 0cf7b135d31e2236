package outlier

import (
	"context"

	"github.com/blemish/blemish/internal/kernel"
)

// featureMap takes rows to a space in which a plane separates them as a kernel's boundary does. A map has two steps: values that are not linear
// (kernel values, cosines), and a matrix on them. A plane's weights can be folded through the matrix: then judging a row takes the values alone.
// What is found of a row does not depend on the rows beside it.
type featureMap interface {
	// values is how many values the first step gives, features how many the second does.
	values() int
	features() int
	// first writes values() numbers for each of up to mappedTogether rows, which have as many columns as the rows fitted.
	first(dst, rows [][]float64)
	// second writes features() numbers for each row's values of the first step.
	second(dst, values [][]float64)
	// folded returns the weights of the values, for those of the features.
	folded(weights []float64) []float64
	// arrays is what a file keeps.
	arrays() map[string]Array
}

// mappedTogether rows are mapped at a time, as many as the innermost cache holds beside a panel.
const mappedTogether = 32

// eachMapped calls f with the values of runs of rows, and with the first row's number. f must not keep them.
func eachMapped(ctx context.Context, m featureMap, x Matrix, workers int, f func(first int, values [][]float64)) error {
	return scoreBlocks(ctx, x.Rows, workers, func(_, first, last int) {
		values := NewMatrix(mappedTogether, m.values())
		for ; first < last; first += mappedTogether {
			n := min(mappedTogether, last-first)
			v := values.rows(0, n)
			m.first(v, x.rows(first, first+n))
			f(first, v)
		}
	})
}

// rows are rows first to last-1, sharing their memory.
func (m Matrix) rows(first, last int) [][]float64 {
	rows := make([][]float64, last-first)
	for i := range rows {
		rows[i] = m.Row(first + i)
	}
	return rows
}

// identity is the map of linear planes: rows as they are.
type identity int

func (m identity) values() int   { return int(m) }
func (m identity) features() int { return int(m) }
func (identity) first(dst, rows [][]float64) {
	for i, row := range rows {
		copy(dst[i], row)
	}
}
func (m identity) second(dst, values [][]float64)   { m.first(dst, values) }
func (identity) folded(weights []float64) []float64 { return weights }
func (identity) arrays() map[string]Array           { return map[string]Array{} }

// packed holds the rows of a matrix in panels, for products and distances with many others.
type packed struct {
	rows   int
	panels []kernel.Panel64
	origin []float64
}

func packedOf(m Matrix) packed {
	p := packed{m.Rows, nil, make([]float64, m.Cols)}
	for from := 0; from < m.Rows; from += kernel.Block {
		panel := kernel.NewPanel64(m.Cols)
		for i := from; i < min(from+kernel.Block, m.Rows); i++ {
			panel.Set(i-from, m.Row(i))
		}
		p.panels = append(p.panels, panel)
	}
	return p
}

// dots writes the dot product of each x with each row.
func (p packed) dots(dst, x [][]float64) {
	p.each(dst, func(panel kernel.Panel64, to []float64) { panel.Dots(to, kernel.Block, x, p.origin) })
}

// squares writes the squared distance of each x from each row, by direct subtraction.
func (p packed) squares(dst, x [][]float64) {
	p.each(dst, func(panel kernel.Panel64, to []float64) { panel.Squares(to, kernel.Block, x) })
}

// absolutes writes Σ|x - row| of each x and each row.
func (p packed) absolutes(dst, x [][]float64) {
	p.each(dst, func(panel kernel.Panel64, to []float64) {
		for i, row := range x {
			sums := (*[kernel.Block]float64)(to[i*kernel.Block:])
			*sums = [kernel.Block]float64{}
			for j, v := range row {
				for r, u := range panel[j] {
					sums[r] += max(v-u, u-v)
				}
			}
		}
	})
}

// each gives meet memory for what it finds of each panel, kernel.Block numbers an x.
func (p packed) each(dst [][]float64, meet func(panel kernel.Panel64, to []float64)) {
	found := make([]float64, len(dst)*kernel.Block)
	for g, panel := range p.panels {
		meet(panel, found)
		from := g * kernel.Block
		for i, to := range dst {
			copy(to[from:min(from+kernel.Block, p.rows)], found[i*kernel.Block:])
		}
	}
}
