package padim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/linalg"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// Fit estimates a Gaussian for every position of a grid. The grid is the first tap's map of a picture of the samples' median height and median width (the upper
// ones of an even number); maps of samples that differ in size are resized to it bilinearly, so that a position is the same relative place in each.
// Memory: positions·d²/2·8 bytes.
func (c Config) Fit(ctx context.Context, train detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o := opts.WithDefaults()
	if o.Extractor == nil {
		return nil, detect.ErrNoExtractor
	}
	total := 0
	for _, t := range o.Extractor.Taps() {
		total += t.Channels
	}
	dims := chooseDims(total, c.Dimensions, o.Seed)
	height, width, err := medianGrid(ctx, train, o)
	if err != nil {
		return nil, err
	}
	g := newGaussians(height*width, len(dims))
	done := 0
	var batch [][]float32
	flush := func() {
		g.add(batch, o.Workers)
		batch = batch[:0]
	}
	for x, err := range detect.Extract(ctx, train, o) {
		if err != nil {
			return nil, err
		}
		batch = append(batch, grid(x.Maps, dims, height, width))
		if len(batch) == accumulate {
			flush()
		}
		done++
		o.Progress(detect.Progress{Stage: "features", Done: done, Total: train.Len()})
	}
	flush()
	mean, whitening, err := g.finish(ctx, c.Regularization, o)
	if err != nil {
		return nil, err
	}
	d := len(dims)
	return &detector{
		config: c, dims: dims, height: height, width: width, extractor: o.Extractor,
		mean: tensor.From(mean, height, width, d), whitening: tensor.From(whitening, height, width, d*(d+1)/2),
	}, nil
}

// accumulate embeddings are accumulated together: positions then run in parallel with little waiting.
const accumulate = 16

// chooseDims draws want of total dimensions, in ascending order.
func chooseDims(total, want int, seed uint64) []int {
	if want == 0 || want > total {
		want = total
	}
	dims := rand.New(rand.NewPCG(seed, 0)).Perm(total)[:want]
	slices.Sort(dims)
	return dims
}

// medianGrid reads the samples' sizes and returns the first tap's map size for their medians. Networks round sizes up or down, so it asks the extractor.
func medianGrid(ctx context.Context, train detect.Source, o *detect.FitOptions) (height, width int, err error) {
	var hs, ws []int
	for s, err := range train.Samples(ctx) {
		if err != nil {
			return 0, 0, err
		}
		if len(s.Image.Shape) != 3 {
			return 0, 0, fmt.Errorf("%s: %w", s.Name, &fault.ShapeError{What: "picture", Want: "(3,H,W)", Got: s.Image.Shape})
		}
		hs, ws = append(hs, s.Image.Shape[1]), append(ws, s.Image.Shape[2])
		o.Progress(detect.Progress{Stage: "sizes", Done: len(hs), Total: train.Len()})
	}
	if len(hs) == 0 {
		return 0, 0, errors.New("no samples to learn from")
	}
	slices.Sort(hs)
	slices.Sort(ws)
	maps, err := detect.Features(ctx, o.Extractor, tensor.New(1, 3, hs[len(hs)/2], ws[len(ws)/2]), o.Workers)
	if err != nil {
		return 0, 0, err
	}
	return maps[0].Dim(-2), maps[0].Dim(-1), nil
}

// grid is a sample's embeddings (positions, dims) on the grid.
func grid(maps []*tensor.Tensor, dims []int, height, width int) []float32 {
	first := maps[0]
	out := make([]float32, height*width*len(dims))
	channel, k := 0, 0
	for _, m := range maps {
		n := m.Shape[0]
		from := k
		for k < len(dims) && dims[k] < channel+n {
			k++
		}
		plane := m.Shape[1] * m.Shape[2]
		picked := tensor.New(k-from, m.Shape[1], m.Shape[2])
		for i, d := range dims[from:k] {
			copy(picked.Data[i*plane:], m.Data[(d-channel)*plane:][:plane])
		}
		channel += n
		if k == from {
			continue
		}
		picked = transform.ResizeMaps(transform.ResizeMaps(picked, first.Shape[1], first.Shape[2]), height, width)
		for i := range k - from {
			for p, v := range picked.Data[i*height*width:][:height*width] {
				out[p*len(dims)+from+i] = v
			}
		}
	}
	return out
}

// gaussians accumulates moments about the first embedding of each position, in float64: shifted, they do not cancel.
type gaussians struct {
	n, positions, dim int
	shift             []float32
	sum               []float64 // (positions, dim)
	product           []float64 // (positions, dim·(dim+1)/2), lower triangles
}

func newGaussians(positions, dim int) *gaussians {
	return &gaussians{positions: positions, dim: dim, sum: make([]float64, positions*dim), product: make([]float64, positions*dim*(dim+1)/2)}
}

func (g *gaussians) add(batch [][]float32, workers int) {
	if len(batch) == 0 {
		return
	}
	if g.n == 0 {
		g.shift = slices.Clone(batch[0])
	}
	g.n += len(batch)
	parallel.For(workers, g.positions, func(p int) {
		at := p * g.dim
		sum, product := g.sum[at:][:g.dim], g.product[p*g.dim*(g.dim+1)/2:]
		delta := make([]float64, g.dim)
		for _, x := range batch {
			for i, v := range x[at:][:g.dim] {
				delta[i] = float64(v) - float64(g.shift[at+i])
				sum[i] += delta[i]
			}
			row := 0
			for i, a := range delta {
				for j, b := range delta[:i+1] {
					product[row+j] += a * b
				}
				row += i + 1
			}
		}
	})
}

// finish returns each position's mean and the inverse W of its covariance's Cholesky factor (lower triangle, row by row): ‖W·(x-μ)‖ is the Mahalanobis
// distance. The covariance is Σ = 1/(n-1)·Σ(x-μ)(x-μ)ᵀ + ε·I (eq. 1); of a single sample, ε·I.
func (g *gaussians) finish(ctx context.Context, epsilon float64, o *detect.FitOptions) (mean, whitening []float32, err error) {
	d, triangle := g.dim, g.dim*(g.dim+1)/2
	mean, whitening = make([]float32, g.positions*d), make([]float32, g.positions*triangle)
	n := float64(g.n)
	errs := make([]error, g.positions)
	parallel.For(o.Workers, g.positions, func(p int) {
		if errs[p] = ctx.Err(); errs[p] != nil {
			return
		}
		sum, product := g.sum[p*d:][:d], g.product[p*triangle:][:triangle]
		row := 0
		for i := range d {
			mean[p*d+i] = float32(float64(g.shift[p*d+i]) + sum[i]/n)
			for j := range i + 1 {
				product[row+j] = (product[row+j] - sum[i]*sum[j]/n) / max(n-1, 1)
			}
			product[row+i] += epsilon
			row += i + 1
		}
		if errs[p] = linalg.Cholesky(product, d); errs[p] != nil {
			errs[p] = fmt.Errorf("covariance at position %d: %w; raise regularization", p, errs[p])
			return
		}
		linalg.InvertLower(product, d)
		for i, v := range product {
			whitening[p*triangle+i] = float32(v)
		}
	})
	o.Progress(detect.Progress{Stage: "gaussians", Done: 1, Total: 1})
	return mean, whitening, errors.Join(errs...)
}
