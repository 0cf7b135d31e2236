package knn

import (
	"container/heap"
	"context"
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// CoresetOptions says how to run KCenterGreedy; it never changes what is chosen.
type CoresetOptions struct {
	Workers  int
	Progress func(done, total int) // may be nil
}

// Points are vectors, each of Width values (a multiple of 16; zeros may fill up a shorter vector), in any number of chunks. They are never copied.
type Points struct {
	Width  int
	Chunks [][]float32
}

// Len is the number of points.
func (p Points) Len() int {
	n := 0
	for _, c := range p.Chunks {
		n += len(c) / p.Width
	}
	return n
}

func (p Points) rows() [][]float32 {
	rows := make([][]float32, 0, p.Len())
	for _, c := range p.Chunks {
		for ; len(c) > 0; c = c[p.Width:] {
			rows = append(rows, c[:p.Width:p.Width])
		}
	}
	return rows
}

// Pad copies rows of dim values into rows of a multiple of 16, zeros behind.
func Pad(vectors []float32, dim int) Points {
	width := kernel.Dim(dim)
	return Points{width, [][]float32{pad(vectors, dim, width)}}
}

// refreshBatch is how many points are brought up to date at once: they share the centres that they read.
const refreshBatch = 32

// KCenterGreedy chooses m of the points so that the largest distance of any point to its nearest chosen one is small: from a
// first one, always the point farthest from those chosen before; the lowest index where several are equally far. (Gonzalez 1985; PatchCore's coreset.)
//
// The choice is exact, but most distances are never computed: a point's distance to some of the centres bounds its distance to all. Points wait in a heap by that
// bound; only the topmost are compared with the centres they have not seen, and a point that has seen all and still is on top is the farthest.
func KCenterGreedy(ctx context.Context, points Points, m, first int, opts CoresetOptions) ([]int, error) {
	n := points.Len()
	if m < 1 || m > n || first < 0 || first >= n {
		panic(fmt.Sprintf("knn: %d centres from point %d of %d", m, first, n))
	}
	g := &greedy{rows: points.rows(), width: points.Width, centres: make([]float32, 0, m*points.Width), queue: make([]waiting, n)}
	for i := range g.queue {
		g.queue[i] = waiting{bound: float32(math.Inf(1)), index: int32(i)}
	}
	chosen := make([]int, 0, m)
	g.choose(first)
	chosen = append(chosen, first)
	batch := make([]waiting, 0, 64*refreshBatch)
	workers := parallel.Workers(opts.Workers)
	for len(chosen) < m {
		if top := g.queue[0]; int(top.seen) == len(chosen) {
			chosen = append(chosen, int(top.index))
			g.choose(int(top.index))
			if opts.Progress != nil && (len(chosen)%64 == 0 || len(chosen) == m) {
				opts.Progress(len(chosen), m)
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch = g.pop(batch[:0], len(chosen), workers*refreshBatch)
		tasks := (len(batch) + refreshBatch - 1) / refreshBatch
		parallel.For(workers, tasks, func(t int) {
			g.refresh(batch[t*refreshBatch:min((t+1)*refreshBatch, len(batch))], len(chosen))
		})
		for _, w := range batch {
			heap.Push(&g.queue, w)
		}
	}
	return chosen, nil
}

type greedy struct {
	rows    [][]float32
	centres []float32
	width   int
	queue   queue
}

// waiting is a point with the smallest squared distance to the first centres, as many as it has seen.
type waiting struct {
	bound float32
	index int32
	seen  int32
}

func (g *greedy) choose(i int) {
	g.centres = append(g.centres, g.rows[i]...)
}

// pop takes points off the heap's top: those that have not seen all centres, up to the first that has.
func (g *greedy) pop(batch []waiting, centres, most int) []waiting {
	for len(batch) < most && len(g.queue) > 0 && int(g.queue[0].seen) < centres {
		batch = append(batch, heap.Pop(&g.queue).(waiting))
	}
	return batch
}

// refresh compares points with the centres that they have not seen.
func (g *greedy) refresh(points []waiting, centres int) {
	first := centres
	for _, w := range points {
		first = min(first, int(w.seen))
	}
	for c := first; c < centres; c++ {
		centre := g.centres[c*g.width:][:g.width]
		for i := range points {
			if w := &points[i]; c >= int(w.seen) {
				w.bound = min(w.bound, kernel.SqDist(g.rows[w.index], centre))
			}
		}
	}
	for i := range points {
		points[i].seen = int32(centres)
	}
}

// queue is a heap: the largest bound on top, the lowest index where bounds are equal.
type queue []waiting

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].bound != q[j].bound {
		return q[i].bound > q[j].bound
	}
	return q[i].index < q[j].index
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(waiting)) }
func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	*q = old[:len(old)-1]
	return w
}
