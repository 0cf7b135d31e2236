package patchcore

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
)

// rarityPictures bounds how many pictures are asked whether they have a patch: more do not change a quantile much.
const rarityPictures = 128

// rarities returns how rare each chosen patch is, (len(chosen)): the Support quantile of its distances from the nearest patch of each other picture, or of
// rarityPictures at random. starts are the first patches of the chunks, which are the pictures.
//
// A greedy coreset takes what is unlike the rest first, so the defects of a dirty set are sure to be in it. Few pictures have them, though, as long as most are good.
func (c Config) rarities(ctx context.Context, points knn.Points, chosen, starts []int, rng *rand.Rand, o *detect.FitOptions) (*tensor.Tensor, error) {
	asked := rng.Perm(len(starts))
	asked = asked[:min(len(asked), rarityPictures)]
	queries := make([]float32, 0, len(chosen)*points.Width)
	owner := make([]int, len(chosen))
	for i, patch := range chosen {
		owner[i] = chunkOf(starts, patch)
		queries = append(queries, points.Chunks[owner[i]][(patch-starts[owner[i]])*points.Width:][:points.Width]...)
	}
	others := make([][]float32, len(chosen)) // of each patch, its distances from other pictures
	done := 0
	for nearest, err := range parallel.Ordered(ctx, o.Workers, len(asked), func(ctx context.Context, i int) ([]knn.Neighbour, error) {
		return knn.NewIndex(points.Chunks[asked[i]], points.Width).Nearest(ctx, queries, 1)
	}) {
		if err != nil {
			return nil, err
		}
		for i, n := range nearest {
			if owner[i] != asked[done] {
				others[i] = append(others[i], n.Distance)
			}
		}
		done++
		o.Progress(detect.Progress{Stage: "support", Done: done, Total: len(asked)})
	}
	rarity := tensor.New(len(chosen))
	for i, d := range others {
		if len(d) > 0 { // a single picture supports itself
			slices.Sort(d)
			rarity.Data[i] = d[int(c.Support*float64(len(d)-1))]
		}
	}
	return rarity, ctx.Err()
}
