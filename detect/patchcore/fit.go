package patchcore

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/embed"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
)

// Fit embeds every patch of the good samples and keeps a coreset of them as memory bank. The samples may differ in size.
// Memory: all embeddings at once, patches·channels·4 bytes.
func (c Config) Fit(ctx context.Context, train detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o := opts.WithDefaults()
	if o.Extractor == nil {
		return nil, detect.ErrNoExtractor
	}
	var points knn.Points
	dim, done := 0, 0
	for x, err := range detect.Extract(ctx, train, o) {
		if err != nil {
			return nil, err
		}
		p := patches(x.Maps)
		dim, points.Width = p.Dim, p.Width
		points.Chunks = append(points.Chunks, p.Data)
		done++
		o.Progress(detect.Progress{Stage: "features", Done: done, Total: train.Len()})
	}
	if done == 0 {
		return nil, errors.New("no samples to learn from")
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	n := points.Len()
	m := c.coreset(n)
	first := rng.IntN(n)
	space := points
	if c.Projection > 0 && c.Projection < dim {
		space = project(points, dim, c.Projection, rng, o.Workers)
	}
	chosen, err := knn.KCenterGreedy(ctx, space, m, first, knn.CoresetOptions{
		Workers:  o.Workers,
		Progress: func(done, total int) { o.Progress(detect.Progress{Stage: "coreset", Done: done, Total: total}) },
	})
	if err != nil {
		return nil, err
	}
	bank := tensor.New(m, dim)
	starts := make([]int, 0, len(points.Chunks)) // first patch of each chunk
	at := 0
	for _, chunk := range points.Chunks {
		starts = append(starts, at)
		at += len(chunk) / points.Width
	}
	for i, patch := range chosen {
		chunk := chunkOf(starts, patch)
		copy(bank.Data[i*dim:][:dim], points.Chunks[chunk][(patch-starts[chunk])*points.Width:])
	}
	var rarity *tensor.Tensor
	if c.Support > 0 {
		if rarity, err = c.rarities(ctx, points, chosen, starts, rng, o); err != nil {
			return nil, err
		}
	}
	return newDetector(c, bank, rarity, o.Extractor), nil
}

// chunkOf finds the chunk that holds a patch.
func chunkOf(starts []int, patch int) int {
	lo, hi := 0, len(starts)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; starts[mid] <= patch {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// patches are a picture's embeddings: neighbourhoods pooled, maps of all taps joined.
func patches(maps []*tensor.Tensor) embed.Patches {
	pooled := make([]*tensor.Tensor, len(maps))
	for i, m := range maps {
		pooled[i] = embed.Pool3x3(m)
	}
	return embed.Concat(pooled)
}

// project maps points to fewer dimensions by a random Gaussian matrix, which keeps distances nearly as they are (Johnson and Lindenstrauss).
func project(points knn.Points, dim, to int, rng *rand.Rand, workers int) knn.Points {
	matrix := make([]float32, to*dim)
	for i := range matrix {
		matrix[i] = float32(rng.NormFloat64() / math.Sqrt(float64(to)))
	}
	out := knn.Points{Width: embed.Width(to), Chunks: make([][]float32, len(points.Chunks))}
	parallel.For(workers, len(points.Chunks), func(i int) {
		in := points.Chunks[i]
		rows := len(in) / points.Width
		chunk := make([]float32, rows*out.Width)
		for r := range rows {
			x := in[r*points.Width:][:dim]
			for k := range to {
				var sum float32
				for j, v := range matrix[k*dim:][:dim] {
					sum += v * x[j]
				}
				chunk[r*out.Width+k] = sum
			}
		}
		out.Chunks[i] = chunk
	})
	return out
}
