package outlier

import (
	"context"
	"math"
	"slices"

	"github.com/blemish/blemish/internal/parallel"
)

// ECODConfig scores a row by how far out it is in the tails of each column's empirical distribution (Li, Zhao, Hu, Botta, Ionescu and Chen, IEEE
// Transactions on Knowledge and Data Engineering 35, 2022), as PyOD's ECOD.
//
// PyOD judges new rows by the distribution of the rows fitted and all new rows together, so that a row's score depends on its company. Here each
// new row joins the rows fitted alone: Score is PyOD's decision_function of one row, and Rank is its decision_scores_.
type ECODConfig struct {
	Contamination float64 `json:"contamination"` // share of the rows fitted that the threshold leaves above it
}

// DefaultECOD is PyOD's.
func DefaultECOD() ECODConfig { return ECODConfig{Contamination: 0.1} }

// Validate names the first parameter that is out of range.
func (c ECODConfig) Validate() error { return checkContamination(Number(c.Contamination)) }

// Fit sorts the columns.
func (c ECODConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	t, _, err := rankTails(ctx, c, x, ecodTail, c.Contamination, opts)
	if err != nil {
		return nil, err
	}
	return &ECOD{c, t}, nil
}

// RankRows scores the rows among themselves.
func (c ECODConfig) RankRows(ctx context.Context, x Matrix, opts *Options) ([]float64, float64, error) {
	t, scores, err := rankTails(ctx, c, x, ecodTail, c.Contamination, opts)
	if err != nil {
		return nil, 0, err
	}
	return scores, t.threshold, nil
}

// ECOD is a fitted ECODConfig. Scores are sums of negative natural logarithms of tail probabilities.
type ECOD struct {
	config ECODConfig
	tails
}

// State is the sorted columns and the threshold.
func (m *ECOD) State() (State, error) { return saveAs(m.config, m.arrays()) }

func openECOD(s State) (Detector, error) {
	c, r, err := openSaved("ECOD detector", s, ECODConfig{}, 2)
	if err != nil {
		return nil, err
	}
	t, err := readTails(r, ecodTail)
	if err != nil {
		return nil, err
	}
	return &ECOD{c, t}, nil
}

// ecodTail takes the greatest of both tails and the tail on the side of the column's skewness (their sum where it has none).
func ecodTail(left, right, skewed float64) float64 { return max(left, right, skewed) }

// tails are the columns' empirical distributions.
type tails struct {
	sorted    Matrix // (d,n): column j of the rows fitted, sorted, is row j
	moments   []moments
	tail      func(left, right, skewed float64) float64
	threshold float64
}

// moments are Σ(v-mean)², Σ(v-mean)³ and Σ|v-mean|³.
type moments struct{ mean, second, third, size float64 }

func rankTails(ctx context.Context, c Config, x Matrix, tail func(l, r, s float64) float64, contamination float64, opts *Options) (tails, []float64, error) {
	if err := check(c, x); err != nil {
		return tails{}, nil, err
	}
	sorted := NewMatrix(x.Cols, x.Rows)
	parallel.For(opts.workers(), x.Cols, func(j int) {
		if ctx.Err() != nil {
			return
		}
		for i := range x.Rows {
			sorted.Row(j)[i] = x.Row(i)[j]
		}
		slices.Sort(sorted.Row(j))
	})
	if err := ctx.Err(); err != nil {
		return tails{}, nil, err
	}
	t := tailsOf(sorted, tail)
	scores, err := t.score(ctx, x, 0, opts.workers())
	if err != nil {
		return tails{}, nil, err
	}
	t.threshold = quantile(scores, 1-contamination)
	opts.report(x.Rows, x.Rows)
	return t, scores, nil
}

func tailsOf(sorted Matrix, tail func(l, r, s float64) float64) tails {
	t := tails{sorted: sorted, tail: tail, moments: make([]moments, sorted.Rows)}
	n := float64(sorted.Cols)
	for j := range t.moments {
		m := &t.moments[j]
		for _, v := range sorted.Row(j) {
			m.mean += v / n
		}
		for _, v := range sorted.Row(j) {
			d := v - m.mean
			m.second += d * d
			m.third += d * d * d
			m.size += math.Abs(d * d * d)
		}
	}
	return t
}

// skewness returns the sign of the third central moment, of the rows fitted and of more values v (none or one). What is within rounding is 0.
func (m moments) skewness(v float64, more, n int) float64 {
	third, size := m.third, m.size
	if more == 1 {
		d, all := v-m.mean, float64(n+1)
		third += d*d*d*float64(n)*float64(n-1)/(all*all) - 3*d*m.second/all
		size += math.Abs(d*d*d) + math.Abs(3*d*m.second/all)
	}
	switch {
	case !(math.Abs(third) > 1e-13*size):
		return 0
	case third > 0:
		return 1
	}
	return -1
}

// score judges rows that are among those fitted (more 0), or join them one by one (more 1).
func (t tails) score(ctx context.Context, x Matrix, more, workers int) ([]float64, error) {
	if err := checkNew(x, t.sorted.Rows); err != nil {
		return nil, err
	}
	n := t.sorted.Cols
	all := float64(n + more)
	scores := make([]float64, x.Rows)
	err := scoreBlocks(ctx, x.Rows, workers, func(_, first, last int) {
		for i := first; i < last; i++ {
			for j, v := range x.Row(i) {
				column := t.sorted.Row(j)
				below, _ := slices.BinarySearch(column, v)
				upTo := below
				if below < n && column[below] == v {
					upTo = n - firstFromEnd(column, v)
				}
				left, right := -math.Log(float64(upTo+more)/all), -math.Log(float64(n-below+more)/all)
				var skewed float64
				switch t.moments[j].skewness(v, more, n) {
				case 1:
					skewed = right
				case -1:
					skewed = left
				default:
					skewed = left + right
				}
				scores[i] += t.tail(left, right, skewed)
			}
		}
	})
	return scores, err
}

// firstFromEnd counts the values above v.
func firstFromEnd(sorted []float64, v float64) int {
	low, high := 0, len(sorted)
	for low < high {
		if middle := (low + high) / 2; sorted[middle] <= v {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return len(sorted) - low
}

// Score judges each row as if it alone had joined the rows fitted.
func (t tails) Score(ctx context.Context, x Matrix) ([]float64, error) { return t.score(ctx, x, 1, 0) }

// Threshold leaves the configured contamination of the rows fitted above it.
func (t tails) Threshold() float64 { return t.threshold }

func (t tails) arrays() map[string]Array {
	return map[string]Array{"sorted": arrayOf(t.sorted), "threshold": numberOf(t.threshold)}
}

func readTails(r *saved, tail func(l, r, s float64) float64) (tails, error) {
	sorted, threshold := r.matrix("sorted", -1, -1), r.number("threshold")
	for j := 0; r.err == nil && j < sorted.Rows; j++ {
		if sorted.Cols < 2 || !slices.IsSorted(sorted.Row(j)) {
			r.err = r.damaged("column %d is not sorted values of 2 rows or more", j)
		}
	}
	if r.err != nil {
		return tails{}, r.err
	}
	t := tailsOf(sorted, tail)
	t.threshold = threshold
	return t, nil
}
