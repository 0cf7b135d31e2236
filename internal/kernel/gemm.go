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

// panels packs rows r.k0..r.k1 of some panels of B, each as (roundUp(k1-k0, 4), its width), zero beyond its columns and k1. dst holds them
// size apart.
type panels interface {
	pack(dst []float32, size int, r packing)
}

// packing says which part of B to pack: panels j0..j1 of width columns, the last one of what is left of total, and rows k0..k1.
type packing struct{ width, total, j0, j1, k0, k1 int }

// panel is the first column of panel j, how many it has, and how many it is packed as: whole blocks.
func (r *packing) panel(j int) (first, n, width int) {
	first = j * r.width
	n = min(r.width, r.total-first)
	return first, n, roundUp(n, Block)
}

// packedTogether is how many rows are packed for all panels before the next ones: neighbouring panels read on where the last one stopped,
// while these rows' pages and cache lines are at hand.
const packedTogether = 32

// productTask is what one goroutine needs.
type productTask struct {
	args   tileArgs
	offset int64
	b      []float32                      // packed panels
	a      []float32                      // rows of A, for the caches' sake
	c      [maxPixels * 2 * Block]float32 // of a tile that does not lie in one piece in C
}

const (
	maxPixels   = 14        // of a tile
	depth       = 512       // rows of B packed at once: a block of them and of A's rows stays in the innermost cache
	panelFloats = 128 << 10 // packed at once by a goroutine: what the second cache keeps
	alike       = 512       // floats: rows so far apart, or as many times, share few sets of the innermost cache, and push one another out
	gathered    = depth + Block
	fewPanels   = 4       // that do not make up for copying rows
	smallWork   = 1 << 17 // multiplications below which goroutines cost more than they save
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
		p.b.pack(t.b, size, packing{width, total, j0, j1, k0, k1})
		for r := r0; r < r1; {
			tile := s.tileFor(r1 - r)
			a, pitch := p.a[r*p.lda+k0:], p.lda
			if p.lda%alike == 0 && j1-j0 >= fewPanels {
				a, pitch = t.gather(a, p.lda, tile.pixels, roundUp(k1-k0, 4)), gathered
			}
			t.args.in, t.args.stride = unsafe.Pointer(&a[0]), 4*pitch
			for j := j0; j < j1; j++ {
				p.tile(t, tile, t.b[(j-j0)*size:], r, j*width, min(width, total-j*width), k0, k1)
			}
			r += tile.pixels
		}
	}
}

// gather copies the beginnings of rows, pitch apart, to where they are gathered apart.
func (t *productTask) gather(a []float32, pitch, rows, columns int) []float32 {
	if t.a == nil {
		t.a = aligned(maxPixels * gathered)
	}
	for r := range rows {
		copy(t.a[r*gathered:][:columns], a[r*pitch:])
	}
	return t.a
}

// tileFor is the function for the next of n rows: as few tiles as can be, of about equal height, none overlapping.
func (s *set) tileFor(n int) tileFunc { return highest(s.tiles, n) }

func highest(tiles []tileFunc, n int) tileFunc {
	widest := tiles[len(tiles)-1].pixels
	count := (n + widest - 1) / widest
	want := (n + count - 1) / count
	best := tiles[0]
	for _, t := range tiles {
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

// tile computes a tile's rows, which t.args name already, of n columns from column j on, as far as rows k0..k1 of B contribute.
func (p *product) tile(t *productTask, f tileFunc, b []float32, row, j, n, k0, k1 int) {
	a := &t.args
	blocks := roundUp(n, Block) / Block
	a.offsets, a.steps, a.quads = &t.offset, 1, roundUp(k1-k0, 4)/4
	a.weights, a.bias = &b[0], &noBias[0]
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
	if m <= fewRows && !b.T && n >= fewColumns && n%Block == 0 {
		multiplyRows(workers, c, a, b, accumulate)
		return
	}
	p := products.Get().(*product)
	defer products.Put(p)
	p.m, p.k, p.images, p.cols, p.channels, p.c, p.accumulate = m, k, 1, n, m, c, accumulate
	p.rowsOf(workers, a)
	p.plain.of(b)
	p.b = &p.plain
	p.run(workers)
	p.forget()
}

const (
	fewRows    = 4    // of A for which packing B costs more than it saves
	fewColumns = 256  // of B, and its rows are long enough to be added one by one
	strip      = 2048 // columns of C that stay in the innermost cache while B's rows pass by
)

// multiplyRows is MatMul of few rows: it reads B once, where it lies. The bits are those of product.run: each value is one chain of fused
// multiply-adds for each depth block.
func multiplyRows(workers int, c []float32, a, b Matrix, accumulate bool) {
	strips := (b.Cols + strip - 1) / strip
	if a.rows()*len(b.Data) < smallWork {
		workers = 1
	}
	if workers = parallel.Workers(workers); workers == 1 {
		for i := range strips {
			multiplyStrip(c, a, b, i*strip, min(b.Cols, (i+1)*strip), accumulate)
		}
		return
	}
	parallel.For(workers, strips, func(i int) { multiplyStrip(c, a, b, i*strip, min(b.Cols, (i+1)*strip), accumulate) })
}

// multiplyStrip computes columns j0..j1 of C.
func multiplyStrip(c []float32, a, b Matrix, j0, j1 int, accumulate bool) {
	var memory [fewRows][strip]float32
	m, n := a.rows(), b.Cols
	for k0 := 0; k0 < b.Rows; k0 += depth {
		for r := range m {
			clear(memory[r][:j1-j0])
		}
		for k := k0; k < min(b.Rows, k0+depth); k++ {
			row := b.Data[k*n+j0 : k*n+j1]
			for r := range m {
				at := r*a.Cols + k
				if a.T {
					at = k*a.Cols + r
				}
				Axpy(memory[r][:j1-j0], row, a.Data[at])
			}
		}
		for r := range m {
			to, sum := c[r*n+j0:r*n+j1], memory[r][:j1-j0]
			if accumulate || k0 > 0 {
				Axpy(to, sum, 1)
			} else {
				copy(to, sum)
			}
		}
	}
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
	if k <= 2*Block { // a row of dst is short: write it in one go
		for r := r0; r < r1; r++ {
			row := dst[r*pitch:][:pitch]
			for c, at := 0, r; c < k; c, at = c+1, at+m {
				row[c] = src[at]
			}
			for c := k; c < len(row); c++ {
				row[c] = 0
			}
		}
		return
	}
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

// Transpose sets dst (columns, rows) to src (rows, columns).
func Transpose(workers int, dst, src []float32, rows, columns int) {
	const together = 64
	if rows*columns < smallWork {
		transpose(dst, src, 0, columns, rows, columns, rows)
		return
	}
	parallel.For(workers, (columns+together-1)/together, func(i int) {
		transpose(dst, src, i*together, min(columns, (i+1)*together), rows, columns, rows)
	})
}

type matrixPanels struct {
	m        Matrix
	offsets  []int64 // of rows, in bytes
	copyRows func(dst, src *float32, offsets *int64, steps, pitch, n int)
}

// of makes the panels those of m.
func (b *matrixPanels) of(m Matrix) {
	b.m, b.copyRows = m, use().copyRows
	if m.T {
		return
	}
	b.offsets = b.offsets[:0]
	for k := range packedTogether {
		b.offsets = append(b.offsets, int64(4*k*m.Cols))
	}
}

func (b *matrixPanels) pack(dst []float32, size int, r packing) {
	if b.m.T {
		for j := r.j0; j < r.j1; j++ {
			b.packColumns(dst[(j-r.j0)*size:], j, r)
		}
		return
	}
	pitch := b.m.Cols
	for k := r.k0; k < r.k1; k += packedTogether {
		steps := min(packedTogether, r.k1-k)
		for j := r.j0; j < r.j1; j++ {
			first, n, width := r.panel(j)
			to := dst[(j-r.j0)*size+(k-r.k0)*width:][:steps*width]
			if n == width {
				b.copyRows(&to[0], &b.m.Data[k*pitch+first], &b.offsets[0], steps, 4*width, n)
				continue
			}
			for i := range steps {
				row := to[i*width:][:width]
				copy(row[:n], b.m.Data[(k+i)*pitch+first:][:n])
				clear(row[n:])
			}
		}
	}
	r.pad(dst, size)
}

// pad clears the rows that make k1-k0 a multiple of 4.
func (r *packing) pad(dst []float32, size int) {
	for j := r.j0; j < r.j1; j++ {
		_, _, width := r.panel(j)
		clear(dst[(j-r.j0)*size+(r.k1-r.k0)*width:][:(roundUp(r.k1-r.k0, 4)-(r.k1-r.k0))*width])
	}
}

// packColumns packs panel j of a matrix that is read transposed: B's column is a row of it.
func (b *matrixPanels) packColumns(dst []float32, j int, r packing) {
	first, n, width := r.panel(j)
	k0, k1 := r.k0, r.k1
	dst = dst[:roundUp(k1-k0, 4)*width]
	if n < width {
		clear(dst)
	}
	clear(dst[(k1-k0)*width:])
	pitch := b.m.Cols
	for i := range n {
		row := b.m.Data[(first+i)*pitch+k0 : (first+i)*pitch+k1]
		at := i
		for _, v := range row {
			dst[at] = v
			at += width
		}
	}
}
