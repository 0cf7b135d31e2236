package blemish

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/embed"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
)

// How strange a picture is among others that nobody has sorted. docs/contamination.md says what these were chosen from.
const (
	strangeReferences = 128  // pictures, at most, that each one is compared with
	strangePatches    = 1024 // of a picture, at most
	strangeTop        = 0.02 // the share of a picture's patches, the most unusual ones, whose mean distance is the picture's
	strangeFirst      = 0.2  // a patch is as far from the others as from this share of the pictures: a tenth of defects alike do not excuse each other
	strangeDoubted    = 0.2  // the share of the pictures, the strangest ones, that the second round compares with no more
	strangeSecond     = 0.02 // likewise: what is left is mostly good, and a rare kind of good needs few others to be excused
)

// sparsePatches returns every second patch of every second row of each picture, as PatchCore embeds them, or fewer of large pictures: memory is
// bounded by 0.7 MB a picture for 152 channels where most is strangePatches.
func sparsePatches(ctx context.Context, source detect.Source, extract detect.Extractor, most int, stage string, opts *Options) (pictures []embed.Patches, paths []string, err error) {
	tick := opts.progress(stage+"features", source.Len())
	for e, err := range detect.Extract(ctx, source, &detect.FitOptions{Extractor: extract, Workers: opts.workers()}) {
		if err != nil {
			return nil, nil, err
		}
		maps := make([]*tensor.Tensor, len(e.Maps))
		for i, m := range e.Maps {
			maps[i] = embed.Pool3x3(m)
		}
		pictures, paths = append(pictures, sparse(embed.Concat(maps), most)), append(paths, e.Sample.Name)
		tick()
	}
	return pictures, paths, ctx.Err()
}

// sparse keeps every second patch in both directions, or every third, and so on, so that there are no more than most.
func sparse(all embed.Patches, most int) embed.Patches {
	step := 2
	for ((all.H+step-1)/step)*((all.W+step-1)/step) > most {
		step++
	}
	some := embed.Patches{H: (all.H + step - 1) / step, W: (all.W + step - 1) / step, Dim: all.Dim, Width: all.Width}
	some.Data = make([]float32, 0, some.H*some.W*some.Width)
	for y := 0; y < all.H; y += step {
		for x := 0; x < all.W; x += step {
			some.Data = append(some.Data, all.Data[(y*all.W+x)*all.Width:][:all.Width]...)
		}
	}
	return some
}

// strangeness is each picture's distance from the others, its own patches left out. Defects that are alike excuse each other, so there are two rounds:
// the strangest pictures of the first are nothing that the second compares with. Where there are many pictures, a random choice of them stands for all.
func strangeness(ctx context.Context, pictures []embed.Patches, seed uint64, stage string, opts *Options) ([]float64, error) {
	rng := rand.New(rand.NewPCG(seed, 0x73757370)) // a stream of its own
	order := rng.Perm(len(pictures))
	first, err := distances(ctx, pictures, order[:min(len(order), strangeReferences)], strangeFirst, strangeTop, stage+"round 1", opts)
	if err != nil {
		return nil, err
	}
	ranked := slices.Clone(order)
	slices.SortStableFunc(ranked, func(i, j int) int { return cmp.Compare(first[j], first[i]) })
	doubted := map[int]bool{}
	for _, i := range ranked[:int(strangeDoubted*float64(len(ranked)))] {
		doubted[i] = true
	}
	trusted := slices.DeleteFunc(order, func(i int) bool { return doubted[i] })
	return distances(ctx, pictures, trusted[:min(len(trusted), strangeReferences)], strangeSecond, strangeTop, stage+"round 2", opts)
}

// distances compares each picture with those of references that it is not. A patch is as far from them as the quantile of its distances from the
// nearest patch of each, and a picture as far as its most unusual patches, the share top of them, are on average.
func distances(ctx context.Context, pictures []embed.Patches, references []int, quantile, top float64, stage string, opts *Options) ([]float64, error) {
	indices := make([]*knn.Index, len(references))
	parallel.For(opts.workers(), len(references), func(r int) {
		p := pictures[references[r]]
		indices[r] = knn.NewIndex(p.Data, p.Width)
	})
	tick := opts.progress(stage, len(pictures))
	var scores []float64
	for s, err := range parallel.Ordered(ctx, opts.workers(), len(pictures), func(ctx context.Context, i int) (float64, error) {
		others := make([][]float64, pictures[i].H*pictures[i].W) // of each patch, the distances from each reference
		for r, index := range indices {
			if references[r] == i {
				continue
			}
			nearest, err := index.Nearest(ctx, pictures[i].Data, 1)
			if err != nil {
				return 0, err
			}
			for p, v := range nearest {
				others[p] = append(others[p], float64(v.Distance))
			}
		}
		patches := make([]float64, len(others))
		for p, d := range others {
			slices.Sort(d)
			patches[p] = d[int(quantile*float64(len(d)-1))]
		}
		return topMean(patches, top), nil
	}) {
		if err != nil {
			return nil, err
		}
		scores = append(scores, s)
		tick()
	}
	return scores, nil
}

// topMean averages the share of the values that is largest, at least one of them. It sorts them.
func topMean(values []float64, share float64) float64 {
	slices.Sort(values)
	top := values[len(values)-max(1, int(share*float64(len(values)))):]
	sum := 0.0
	for _, v := range top {
		sum += v
	}
	return sum / float64(len(top))
}
