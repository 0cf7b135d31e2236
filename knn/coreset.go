package knn

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// CoresetOptions says how to run KCenterGreedy; it never changes what is chosen.
type CoresetOptions struct {
	Workers  int
	Progress func(done, total int) // may be nil
}

// Points are finite vectors, each of Width values (a multiple of 16; zeros may fill up a shorter vector), in any number of chunks. They are never copied.
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

const (
	refreshBatch = 8  // points a task
	refreshTasks = 8  // tasks a round
	glance       = 64 // centres that a point sees before it is asked whether to go on
)

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
	batch := make([]waiting, 0, refreshTasks*refreshBatch)
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
		batch = g.pop(batch[:0], len(chosen))
		tasks := (len(batch) + refreshBatch - 1) / refreshBatch
		var farthest atomic.Uint32 // bound, as bits, of the farthest point that has seen all centres
		parallel.For(workers, tasks, func(t int) {
			g.refresh(batch[t*refreshBatch:min((t+1)*refreshBatch, len(batch))], len(chosen), &farthest)
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
func (g *greedy) pop(batch []waiting, centres int) []waiting {
	for len(batch) < cap(batch) && len(g.queue) > 0 && int(g.queue[0].seen) < centres {
		batch = append(batch, heap.Pop(&g.queue).(waiting))
	}
	return batch
}

// refresh compares points with the centres that they have not seen. A point whose bound falls below that of one that has seen all centres is not the
// farthest: it may stop there, and go on when its turn comes.
func (g *greedy) refresh(points []waiting, centres int, farthest *atomic.Uint32) {
	for i := range points {
		w := &points[i]
		x := g.rows[w.index]
		for int(w.seen) < centres && !(w.bound < math.Float32frombits(farthest.Load())) { // so written, a NaN cannot keep it from ending
			to := min(int(w.seen)+glance, centres)
			w.bound = min(w.bound, kernel.MinSqDist(x, g.centres[int(w.seen)*g.width:to*g.width]))
			w.seen = int32(to)
		}
		if int(w.seen) < centres {
			continue
		}
		for bits := math.Float32bits(w.bound); ; { // distances are not negative: their bits order as they do
			old := farthest.Load()
			if bits <= old || farthest.CompareAndSwap(old, bits) {
				break
			}
		}
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
