package kernel

import (
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// product is C = A·B, or C += A·B. A is read where it lies, row by row; B comes in packed panels of 16 or 32 columns, made as they are
// needed, so that a convolution's B (its windows) never exists as a whole. C's columns are numbered image by image.
type product struct {
	m, k       int       // rows of A and C; columns of A, rows of B
	images     int       // C is (images, channels, cols)
	cols       int       // columns of an image
	channels   int       // rows of C from one image to the next, at least m
	a          []float32 // (m, lda), zero from column k to lda
	lda        int       // a multiple of 4
	c          []float32 // from the first row on
	accumulate bool
	b          panels
	plain      matrixPanels // what b points to for matrices
	windows    windowPanels // and for convolutions
	copyOfA    []float32    // where A had to be copied
	tasks      []productTask
}

// panels packs rows k0..k1 and columns j..j+n of B as (roundUp(k1-k0, 4), width), zero beyond n and k1.
type panels interface {
	pack(dst []float32, width, j, n, k0, k1 int)
}

// productTask is what one goroutine needs.
type productTask struct {
	args   tileArgs
	offset int64
	b      []float32                      // packed panels
	c      [maxPixels * 2 * Block]float32 // of a tile that does not lie in one piece in C
}

const (
	maxPixels   = 14        // of a tile
	depth       = 512       // rows of B packed at once: a block of them and of A's rows stays in the innermost cache
	panelFloats = 128 << 10 // packed at once by a goroutine: what the second cache keeps
	smallWork   = 1 << 17   // multiplications below which goroutines cost more than they save
)

var products = sync.Pool{New: func() any { return new(product) }}

var noBias [2 * Block]float32

// run computes C. Each value is one chain of fused multiply-adds for each depth block, whatever the tiles and the workers.
func (p *product) run(workers int) {
	s := use()
	width := s.blocks * Block
	total := p.images * p.cols
	count := (total + width - 1) / width // panels
	workers = parallel.Workers(workers)
	if p.m*p.k*total < smallWork {
		workers = 1
	}
	group := max(1, panelFloats/(min(roundUp(p.k, 4), depth)*width))
	group = min(group, (count+workers-1)/workers)
	groups := (count + group - 1) / group
	rows := p.m
	if groups < 2*workers && workers > 1 {
		split := (2*workers + groups - 1) / groups
		rows = max(maxPixels, roundUp((p.m+split-1)/split, s.blocks))
	}
	chunks := (p.m + rows - 1) / rows
	if len(p.tasks) < workers {
		p.tasks = make([]productTask, workers)
	}
	if workers == 1 {
		for i := range groups {
			p.block(s, &p.tasks[0], i*group, min(count, (i+1)*group), 0, p.m)
		}
		return
	}
	p.spread(s, workers, groups, group, count, chunks, rows)
}

// spread is apart from run because what a closure captures is allocated.
func (p *product) spread(s *set, workers, groups, group, count, chunks, rows int) {
	parallel.ForWorker(workers, groups*chunks, func(w, i int) {
		g, r := i/chunks, i%chunks
		p.block(s, &p.tasks[w], g*group, min(count, (g+1)*group), r*rows, min(p.m, (r+1)*rows))
	})
}

// block computes rows r0..r1 of panels j0..j1.
func (p *product) block(s *set, t *productTask, j0, j1, r0, r1 int) {
	width := s.blocks * Block
	total := p.images * p.cols
	size := min(roundUp(p.k, 4), depth) * width
	if need := size * (j1 - j0); len(t.b) < need {
		t.b = aligned(need)
	}
	for k0 := 0; k0 < p.k; k0 += depth {
		k1 := min(p.k, k0+depth)
		for j := j0; j < j1; j++ {
			n := min(width, total-j*width)
			p.b.pack(t.b[(j-j0)*size:], roundUp(n, Block), j*width, n, k0, k1)
		}
		for r := r0; r < r1; {
			tile := s.tileFor(r1 - r)
			for j := j0; j < j1; j++ {
				p.tile(t, tile, t.b[(j-j0)*size:], r, j*width, min(width, total-j*width), k0, k1)
			}
			r += tile.pixels
		}
	}
}

// tileFor is the function for the next of n rows: as few tiles as can be, of about equal height, none overlapping.
func (s *set) tileFor(n int) tileFunc {
	widest := s.tiles[len(s.tiles)-1].pixels
	count := (n + widest - 1) / widest
	want := (n + count - 1) / count
	best := s.tiles[0]
	for _, t := range s.tiles {
		if t.pixels > n {
			break
		}
		best = t
		if t.pixels >= want {
			break
		}
	}
	return best
}

// tile computes a tile's rows of n columns from column j on, as far as rows k0..k1 of B contribute.
func (p *product) tile(t *productTask, f tileFunc, b []float32, row, j, n, k0, k1 int) {
	a := &t.args
	blocks := roundUp(n, Block) / Block
	a.in = unsafe.Pointer(&p.a[row*p.lda+k0])
	a.offsets, a.steps, a.quads = &t.offset, 1, roundUp(k1-k0, 4)/4
	a.weights, a.bias = &b[0], &noBias[0]
	a.stride = 4 * p.lda
	a.lo, a.hi = -unbounded, unbounded
	a.residual = [2]unsafe.Pointer{}
	add := p.accumulate || k0 > 0
	image, at := j/p.cols, j%p.cols
	if at+n <= p.cols && n == blocks*Block { // one piece of C
		a.pitch = 4 * p.cols
		a.out0 = unsafe.Pointer(&p.c[(image*p.channels+row)*p.cols+at])
		a.out1 = nil
		if blocks == 2 {
			a.out1 = unsafe.Add(a.out0, 4*Block)
		}
		if add {
			a.residual = [2]unsafe.Pointer{a.out0, a.out1}
		}
		f.run[blocks-1](a)
		return
	}
	a.pitch = 4 * 2 * Block
	a.out0, a.out1 = unsafe.Pointer(&t.c[0]), unsafe.Pointer(&t.c[Block])
	f.run[blocks-1](a)
	for column := 0; column < n; {
		length := min(n-column, p.cols-at)
		for r := range f.pixels {
			from := t.c[r*2*Block+column:][:length]
			to := p.c[(image*p.channels+row+r)*p.cols+at:][:length]
			if add {
				for i, v := range from {
					to[i] += v
				}
			} else {
				copy(to, from)
			}
		}
		column += length
		image, at = image+1, 0
	}
}

// Matrix is (Rows, Cols) row-major, read transposed if T: then it stands for (Cols, Rows).
type Matrix struct {
	Data       []float32
	Rows, Cols int
	T          bool
}

func (m Matrix) rows() int {
	if m.T {
		return m.Cols
	}
	return m.Rows
}

func (m Matrix) cols() int {
	if m.T {
		return m.Rows
	}
	return m.Cols
}

// MatMul computes c = a·b, or c += a·b; c is (a's rows, b's columns), row-major. It works fastest where a is the larger matrix and is not
// transposed: b is packed.
func MatMul(workers int, c []float32, a, b Matrix, accumulate bool) {
	m, k, n := a.rows(), a.cols(), b.cols()
	if b.rows() != k || len(c) != m*n || len(a.Data) != m*k || len(b.Data) != k*n {
		panic("kernel: MatMul of matrices that do not fit")
	}
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		if !accumulate {
			clear(c)
		}
		return
	}
	p := products.Get().(*product)
	defer products.Put(p)
	p.m, p.k, p.images, p.cols, p.channels, p.c, p.accumulate = m, k, 1, n, m, c, accumulate
	p.rowsOf(workers, a)
	p.plain.m = b
	p.b = &p.plain
	p.run(workers)
	p.forget()
}

// forget drops what belongs to the caller.
func (p *product) forget() {
	p.a, p.c, p.plain.m.Data = nil, nil, nil
	p.windows.p = nil
}

// rowsOf makes a's rows contiguous and a multiple of 4 long, in a copy where they are not.
func (p *product) rowsOf(workers int, a Matrix) {
	m, k := a.rows(), a.cols()
	if !a.T && k%4 == 0 {
		p.a, p.lda = a.Data, k
		return
	}
	p.lda = roundUp(k, 4)
	p.a = p.scratch(m * p.lda)
	if !a.T {
		for i := range m {
			row := p.a[i*p.lda:][:p.lda]
			copy(row, a.Data[i*k:][:k])
			clear(row[k:])
		}
		return
	}
	if m*k < smallWork {
		transpose(p.a, a.Data, 0, m, k, m, p.lda)
		return
	}
	p.transposeRows(workers, a.Data, m, k)
}

func (p *product) transposeRows(workers int, data []float32, m, k int) {
	const rows = 64
	parallel.For(workers, (m+rows-1)/rows, func(i int) {
		transpose(p.a, data, i*rows, min(m, (i+1)*rows), k, m, p.lda)
	})
}

func (p *product) scratch(n int) []float32 {
	if len(p.copyOfA) < n {
		p.copyOfA = aligned(n)
	}
	return p.copyOfA[:n]
}

// transpose sets rows r0..r1 of dst (·, pitch) to columns r0..r1 of src (k, m), and what is beyond k to zero.
func transpose(dst, src []float32, r0, r1, k, m, pitch int) {
	const side = 8 // of the squares that are transposed at once, to use whole cache lines
	for r := r0; r < r1; r += side {
		end := min(r+side, r1)
		for c := 0; c < k; c++ {
			for i, v := range src[c*m+r : c*m+end] {
				dst[(r+i)*pitch+c] = v
			}
		}
		for i := r; i < end; i++ {
			clear(dst[i*pitch+k : (i+1)*pitch])
		}
	}
}

type matrixPanels struct{ m Matrix }

func (b *matrixPanels) pack(dst []float32, width, j, n, k0, k1 int) {
	dst = dst[:roundUp(k1-k0, 4)*width]
	if b.m.T { // B's column is a row of the matrix
		if n < width {
			clear(dst)
		}
		clear(dst[(k1-k0)*width:])
		pitch := b.m.Cols
		for i := range n {
			row := b.m.Data[(j+i)*pitch+k0 : (j+i)*pitch+k1]
			at := i
			for _, v := range row {
				dst[at] = v
				at += width
			}
		}
		return
	}
	pitch := b.m.Cols
	for k := k0; k < k1; k++ {
		row := dst[(k-k0)*width:][:width]
		copy(row[:n], b.m.Data[k*pitch+j:][:n])
		clear(row[n:])
	}
	clear(dst[(k1-k0)*width:])
}
