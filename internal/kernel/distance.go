package kernel

import (
	"math"
	"unsafe"
)

// Dim is the padded length of a vector of d values: the distance functions want zeros up to there.
func Dim(d int) int { return roundUp(d, Block) }

// SqDist is the squared Euclidean distance of two vectors of equal length, a multiple of Block.
func SqDist(a, b []float32) float32 {
	if len(a) != len(b) || len(a)%Block != 0 {
		panic("kernel: SqDist of vectors whose lengths differ or are no multiple of 16")
	}
	if len(a) == 0 {
		return 0
	}
	return use().sqDist(&a[0], &b[0], len(a))
}

// MinSqDist is the smallest squared Euclidean distance of x to a row of rows, len(x) values each; +Inf if there are none.
func MinSqDist(x, rows []float32) float32 {
	n := len(x)
	if n == 0 || n%Block != 0 || len(rows)%n != 0 {
		panic("kernel: MinSqDist of rows that are not of the vector's length, or of a length that is no multiple of 16")
	}
	sqDist := use().sqDist
	best := float32(math.Inf(1))
	for at := 0; at < len(rows); at += n {
		best = min(best, sqDist(&x[0], &rows[at], n))
	}
	return best
}

// Bank is a set of vectors packed for fast comparison with many queries.
type Bank struct {
	Len, Dim int // vectors; values in each, a multiple of Block
	set      *set
	weights  []float32 // -2·y, in groups of columns
	norms    []float32 // ‖y‖², +Inf beyond the last vector
}

// NewBank packs vectors (n, dim), dim a multiple of Block.
func NewBank(vectors []float32, dim int) *Bank {
	n := len(vectors) / dim
	b := &Bank{Len: n, Dim: dim, set: use()}
	blocks := roundUp(n, Block) / Block
	b.weights = aligned(blocks * Block * dim)
	b.norms = aligned(blocks * Block)
	for i := range b.norms {
		b.norms[i] = float32(math.Inf(1))
	}
	at := 0
	for block := 0; block < blocks; block += b.set.blocks {
		width := min(b.set.blocks, blocks-block) * Block
		for j := range width {
			i := block*Block + j
			if i >= n {
				break
			}
			y := vectors[i*dim:][:dim]
			sum := 0.0
			for c, v := range y {
				b.weights[at+c*width+j] = -2 * v
				sum += float64(v) * float64(v)
			}
			b.norms[i] = float32(sum)
		}
		at += width * dim
	}
	return b
}

// MaxQueries is the largest number of queries that Minima takes at once.
const MaxQueries = 14

// Queries is the number of queries that Minima takes fastest: as many of the widest tiles as MaxQueries holds, and no narrower one.
func (b *Bank) Queries() int {
	widest := b.set.tiles[len(b.set.tiles)-1].pixels
	return MaxQueries / widest * widest
}

// Minima sets mins[q] to the smallest ‖y‖²-2·q·y over the bank's vectors [first,last), for each query (len(mins), Dim).
// first and last are multiples of 32, or last is the bank's length.
func (b *Bank) Minima(queries []float32, first, last int, mins []float32) {
	var scratch [2 * MaxQueries * Block]float32
	var lanes [MaxQueries * Block]float32
	offset := int64(0)
	inf := float32(math.Inf(1))
	for done := 0; done < len(mins); {
		t := b.set.tiles[0]
		for _, candidate := range b.set.tiles {
			if candidate.pixels <= len(mins)-done {
				t = candidate
			}
		}
		n := t.pixels * Block
		for i := range n {
			lanes[i] = inf
		}
		a := tileArgs{
			in: unsafe.Pointer(&queries[done*b.Dim]), offsets: &offset, steps: 1, quads: b.Dim / 4,
			out0: unsafe.Pointer(&scratch[0]), out1: unsafe.Pointer(&scratch[MaxQueries*Block]),
			stride: 4 * b.Dim, lo: -inf, hi: inf, pitch: 4 * Block,
		}
		step := b.set.blocks * Block
		for y := first; y < last; y += step {
			blocks := min(b.set.blocks, (len(b.norms)-y)/Block)
			a.weights, a.bias = &b.weights[y*b.Dim], &b.norms[y]
			t.run[blocks-1](&a)
			b.set.minInto(&lanes[0], &scratch[0], n)
			if blocks > 1 {
				b.set.minInto(&lanes[0], &scratch[MaxQueries*Block], n)
			}
		}
		for q := range t.pixels {
			best := inf
			for _, v := range lanes[q*Block:][:Block] {
				best = min(best, v)
			}
			mins[done+q] = best
		}
		done += t.pixels
	}
}
