package outlier

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/blemish/blemish/internal/parallel"
)

// spread chooses k rows far from each other: greedy k-means++ with 2+log(k) candidates a row, as scikit-learn (Arthur and Vassilvitskii, SODA 2007).
func spread(ctx context.Context, x Matrix, k int, rng *rand.Rand, workers int) ([]int, error) {
	candidates := 2 + int(math.Log(float64(k)))
	chosen := []int{rng.IntN(x.Rows)}
	nearest := make([]float64, x.Rows)
	parallel.For(workers, x.Rows, func(i int) { nearest[i] = squaredDistance(x.Row(i), x.Row(chosen[0])) })
	running, trials := make([]float64, x.Rows), make([][]float64, candidates)
	for len(chosen) < k {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		total := 0.0
		for i, v := range nearest {
			total += v
			running[i] = total
		}
		picks := make([]int, candidates)
		for t := range picks {
			picks[t] = min(sort.SearchFloat64s(running, rng.Float64()*total), x.Rows-1)
		}
		sums := make([]float64, candidates)
		parallel.For(workers, candidates, func(t int) {
			trials[t] = make([]float64, x.Rows)
			for i, v := range nearest {
				trials[t][i] = min(v, squaredDistance(x.Row(i), x.Row(picks[t])))
				sums[t] += trials[t][i]
			}
		})
		best := 0
		for t, v := range sums {
			if v < sums[best] {
				best = t
			}
		}
		chosen, nearest = append(chosen, picks[best]), trials[best]
	}
	return chosen, nil
}

// kMeans returns each row's nearest center after Lloyd's iteration, which ends as scikit-learn's KMeans: when no label changes, the centers move by
// less than 1e-4 of the mean variance, or after 300 rounds. A center that loses its rows takes the row farthest from its own.
func kMeans(ctx context.Context, x, centers Matrix, workers int) ([]int, error) {
	n, d, k := x.Rows, x.Cols, centers.Rows
	labels, previous := make([]int, n), make([]int, n)
	away := make([]float64, n)
	tolerance := 0.0
	mean := meanOf(x)
	for i := range n {
		tolerance += squaredDistance(x.Row(i), mean) / float64(n*d) * 1e-4
	}
	assign := func() error {
		return scoreBlocks(ctx, n, workers, func(_, first, last int) {
			for i := first; i < last; i++ {
				away[i] = math.Inf(1)
				for c := range k {
					if s := squaredDistance(x.Row(i), centers.Row(c)); s < away[i] {
						away[i], labels[i] = s, c
					}
				}
			}
		})
	}
	for round := range 300 {
		copy(previous, labels)
		if err := assign(); err != nil {
			return nil, err
		}
		if round > 0 && slices.Equal(labels, previous) {
			return labels, nil
		}
		next, counts := NewMatrix(k, d), make([]float64, k)
		for i, c := range labels {
			counts[c]++
			row := next.Row(c)
			for j, v := range x.Row(i) {
				row[j] += v
			}
		}
		moved := 0.0
		for c := range k {
			row := next.Row(c)
			if counts[c] == 0 {
				farthest := 0
				for i, v := range away {
					if v > away[farthest] {
						farthest = i
					}
				}
				away[farthest] = 0
				copy(row, x.Row(farthest))
			} else {
				for j := range row {
					row[j] /= counts[c]
				}
			}
			moved += squaredDistance(row, centers.Row(c))
		}
		centers = next
		if moved <= tolerance {
			break
		}
	}
	return labels, assign()
}

func squaredDistance(a, b []float64) float64 {
	b = b[:len(a)]
	sum := 0.0
	for j, v := range a {
		v -= b[j]
		sum += v * v
	}
	return sum
}
