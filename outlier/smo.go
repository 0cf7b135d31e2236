package outlier

import (
	"container/list"
	"context"
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/parallel"
)

// smo minimises ½αᵀQα for 0 ≤ α ≤ 1 and Σα constant by sequential minimal optimisation, as LIBSVM (Chang and Lin, ACM TIST 2, 2011): the pair
// to change is chosen by second-order information (Fan, Chen and Lin, JMLR 6, 2005), variables that will stay at a bound are set aside
// (shrinking), and the kernel's rows are kept while they fit the cache.
type smo struct {
	q         *rowCache
	diagonal  []float64
	alpha     []float64
	gradient  []float64 // Qα; of active variables alone between reconstructions
	atUpper   []float64 // what variables at 1 contribute to the gradient
	active    []int32   // in order
	shrinking bool
	unshrunk  bool // near the end, everything was looked at again once
	tolerance float64
	maxIter   int // -1: none
	workers   int
}

const leastCurvature = 1e-12 // where Q is not positive definite

// begin computes the gradient of the alpha given.
func (s *smo) begin(ctx context.Context) error {
	n := len(s.alpha)
	s.gradient, s.atUpper = make([]float64, n), make([]float64, n)
	s.activateAll()
	const together = 64 // rows
	for at := 0; at < n; {
		var batch []int
		for ; at < n && len(batch) < together; at++ {
			if s.alpha[at] > 0 {
				batch = append(batch, at)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := s.q.rows(batch)
		const columns = 1024
		parallel.For(s.workers, (n+columns-1)/columns, func(b int) {
			from, to := b*columns, min((b+1)*columns, n)
			for k, i := range batch {
				add(s.gradient[from:to], rows[k][from:to], s.alpha[i])
				if s.alpha[i] >= 1 {
					add(s.atUpper[from:to], rows[k][from:to], 1)
				}
			}
		})
	}
	return nil
}

// add is y += scale·x.
func add(y []float64, x []float32, scale float64) {
	x = x[:len(y)]
	for i := range y {
		y[i] += scale * float64(x[i])
	}
}

func (s *smo) activateAll() {
	s.active = s.active[:0]
	for i := range s.alpha {
		s.active = append(s.active, int32(i))
	}
}

// run changes pairs until the largest violation of optimality is below the tolerance, and returns how many it has changed.
func (s *smo) run(ctx context.Context) (iterations int, err error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	period := min(len(s.alpha), 1000)
	for untilShrink := period; s.maxIter < 0 || iterations < s.maxIter; iterations++ {
		if iterations%64 == 0 && ctx.Err() != nil {
			return iterations, ctx.Err()
		}
		if untilShrink--; untilShrink == 0 {
			untilShrink = period
			if s.shrinking {
				s.shrink()
			}
		}
		i, j, ok := s.pair()
		if !ok {
			s.reconstruct()
			if i, j, ok = s.pair(); !ok {
				return iterations, nil
			}
			untilShrink = 1
		}
		s.change(i, j)
	}
	s.reconstruct()
	return iterations, fmt.Errorf("no solution within %d iterations: raise max_iter or tol, or scale the columns", s.maxIter)
}

// pair chooses i to grow and j to shrink, or says that none violates optimality by the tolerance.
func (s *smo) pair() (i, j int, ok bool) {
	i, j = -1, -1
	most, least := math.Inf(-1), math.Inf(-1)
	for _, t := range s.active {
		if s.alpha[t] < 1 && -s.gradient[t] >= most {
			most, i = -s.gradient[t], int(t)
		}
	}
	if i < 0 {
		return 0, 0, false
	}
	row := s.q.rows([]int{i})[0]
	best := math.Inf(1)
	for _, t := range s.active {
		if s.alpha[t] <= 0 {
			continue
		}
		g := s.gradient[t]
		least = max(least, g)
		if d := most + g; d > 0 {
			curvature := s.diagonal[i] + s.diagonal[t] - 2*float64(row[t])
			if curvature <= 0 {
				curvature = leastCurvature
			}
			if gain := -d * d / curvature; gain <= best {
				best, j = gain, int(t)
			}
		}
	}
	return i, j, j >= 0 && most+least >= s.tolerance
}

// change moves as much from j to i as is best.
func (s *smo) change(i, j int) {
	rows := s.q.rows([]int{i, j})
	curvature := s.diagonal[i] + s.diagonal[j] - 2*float64(rows[0][j])
	if curvature <= 0 {
		curvature = leastCurvature
	}
	before := [2]float64{s.alpha[i], s.alpha[j]}
	sum := before[0] + before[1]
	a := before[0] - (s.gradient[i]-s.gradient[j])/curvature
	a = min(max(a, sum-1, 0), 1, sum)
	s.alpha[i], s.alpha[j] = a, sum-a
	if s.alpha[j] < 0 || sum-1 == a {
		s.alpha[j] = min(max(s.alpha[j], 0), 1)
	}
	di, dj := s.alpha[i]-before[0], s.alpha[j]-before[1]
	for _, t := range s.active {
		s.gradient[t] += float64(rows[0][t])*di + float64(rows[1][t])*dj
	}
	for k, v := range [2]float64{s.alpha[i], s.alpha[j]} {
		if was, is := before[k] >= 1, v >= 1; was && !is {
			add(s.atUpper, rows[k], -1)
		} else if is && !was {
			add(s.atUpper, rows[k], 1)
		}
	}
}

// shrink sets aside variables at a bound whose gradient says that they will stay there.
func (s *smo) shrink() {
	most, least := math.Inf(-1), math.Inf(-1)
	for _, t := range s.active {
		if s.alpha[t] < 1 {
			most = max(most, -s.gradient[t])
		}
		if s.alpha[t] > 0 {
			least = max(least, s.gradient[t])
		}
	}
	if !s.unshrunk && most+least <= 10*s.tolerance {
		s.unshrunk = true
		s.reconstruct()
	}
	kept := s.active[:0]
	for _, t := range s.active {
		g := s.gradient[t]
		if s.alpha[t] >= 1 && -g > most || s.alpha[t] <= 0 && g > least {
			continue
		}
		kept = append(kept, t)
	}
	s.active = kept
}

// reconstruct makes all variables active, and computes the gradient of those that were not.
func (s *smo) reconstruct() {
	n := len(s.alpha)
	if len(s.active) == n {
		return
	}
	aside := make([]bool, n)
	for i := range aside {
		aside[i] = true
	}
	for _, t := range s.active {
		aside[t] = false
	}
	for i := range n {
		if aside[i] {
			s.gradient[i] = s.atUpper[i]
		}
	}
	for i, a := range s.alpha {
		if a > 0 && a < 1 {
			row := s.q.rows([]int{i})[0]
			for t := range n {
				if aside[t] {
					s.gradient[t] += a * float64(row[t])
				}
			}
		}
	}
	s.activateAll()
}

// rho is the gradient of free variables, which optimality makes one value; without any, the middle of what it allows.
func (s *smo) rho() float64 {
	free, sum := 0, 0.0
	upper, lower := math.Inf(1), math.Inf(-1)
	for i, g := range s.gradient {
		switch {
		case s.alpha[i] >= 1:
			lower = max(lower, g)
		case s.alpha[i] <= 0:
			upper = min(upper, g)
		default:
			free++
			sum += g
		}
	}
	if free > 0 {
		return sum / float64(free)
	}
	return (upper + lower) / 2
}

// rowCache computes rows of a kernel matrix, and forgets those used least recently.
type rowCache struct {
	kernel  *mapped
	mapped  []float32 // (n, width)
	n       int
	room    int // rows
	kept    map[int]*list.Element
	order   *list.List // of cachedRow, last used first
	workers int
}

type cachedRow struct {
	index  int
	values []float32
}

func newRowCache(k *mapped, rows []float32, megabytes float64, workers int) *rowCache {
	n := len(rows) / k.width
	room := int(megabytes * (1 << 20) / float64(4*n))
	return &rowCache{kernel: k, mapped: rows, n: n, room: max(2, min(room, n)), kept: map[int]*list.Element{}, order: list.New(), workers: workers}
}

func (c *rowCache) row(i int) []float32 { return c.mapped[i*c.kernel.width:][:c.kernel.width] }

// rows returns rows of the kernel matrix, valid until room further ones have been asked for, or until the next call if there are more of them.
func (c *rowCache) rows(index []int) [][]float32 {
	out := make([][]float32, len(index))
	var missing []int
	for k, i := range index {
		if e, ok := c.kept[i]; ok {
			c.order.MoveToFront(e)
			out[k] = e.Value.(cachedRow).values
		} else {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return out
	}
	for _, k := range missing {
		out[k] = make([]float32, c.n)
	}
	const columns = 512
	blocks := (c.n + columns - 1) / columns
	parallel.For(c.workers, len(missing)*blocks, func(task int) {
		k, b := missing[task/blocks], task%blocks
		from, to := b*columns, min((b+1)*columns, c.n)
		c.kernel.values(out[k][from:to], c.row(index[k]), c.mapped[from*c.kernel.width:to*c.kernel.width])
	})
	for _, k := range missing {
		for c.order.Len() >= c.room {
			last := c.order.Back()
			delete(c.kept, c.order.Remove(last).(cachedRow).index)
		}
		c.kept[index[k]] = c.order.PushFront(cachedRow{index[k], out[k]})
	}
	return out
}
