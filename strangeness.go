package blemish

import (
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
	strangeReferences = 1024 // pictures, at most, that each one is compared with
	strangePatches    = 256  // of a picture, at most
	strangeTop        = 0.1  // the share of a picture's patches, the most unusual ones, whose mean distance is the picture's
	strangeWitnesses  = 3    // a patch that so many other pictures have is of no defect of its own
	strangeShare      = 0.2  // a patch that this share of the others has is of no defect at all
)

// sparsePatches returns every second patch of every second row of each picture, as PatchCore embeds them, or fewer of large pictures: memory is
// bounded by 0.2 MB a picture for 152 channels, and as much for pictures that others are compared with.
func sparsePatches(ctx context.Context, source detect.Source, extract detect.Extractor, stage string, opts *Options) (pictures []embed.Patches, paths []string, err error) {
	tick := opts.progress(stage+"features", source.Len())
	for e, err := range detect.Extract(ctx, source, &detect.FitOptions{Extractor: extract, Workers: opts.workers()}) {
		if err != nil {
			return nil, nil, err
		}
		maps := make([]*tensor.Tensor, len(e.Maps))
		for i, m := range e.Maps {
			maps[i] = embed.Pool3x3(m)
		}
		pictures, paths = append(pictures, sparse(embed.Concat(maps))), append(paths, e.Sample.Name)
		tick()
	}
	return pictures, paths, ctx.Err()
}

// sparse keeps every second patch in both directions, or every third, and so on, so that there are no more than strangePatches.
func sparse(all embed.Patches) embed.Patches {
	step := 2
	for ((all.H+step-1)/step)*((all.W+step-1)/step) > strangePatches {
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

// strangeness is how unlike the others each picture is, its own patches left out, in spreads above the median: see upperSpread. A patch is far from the
// others if the strangeWitnesses nearest of them are far, or the strangeShare nearest: the former tells a defect that is its own from a rare kind of good,
// the latter defects that are alike from what is the rule. Each makes a distance for the picture, and the one that is more spreads above its median
// counts. Where there are many pictures, a random choice of them stands for all.
func strangeness(ctx context.Context, pictures []embed.Patches, seed uint64, stage string, opts *Options) ([]float64, error) {
	order := rand.New(rand.NewPCG(seed, 0x73757370)).Perm(len(pictures)) // a stream of its own
	references := order[:min(len(order), strangeReferences)]
	groups := make([]*knn.Group, len(references))
	parallel.For(opts.workers(), len(references), func(r int) {
		p := pictures[references[r]]
		groups[r] = knn.NewGroup(p.Data, p.Width)
	})
	tick := opts.progress(stage, len(pictures))
	var rare, odd []float64
	for far, err := range parallel.Ordered(ctx, opts.workers(), len(pictures), func(ctx context.Context, i int) (distances, error) {
		probe := knn.NewProbe(pictures[i].Data, pictures[i].Width)
		others := make([][]float32, pictures[i].H*pictures[i].W) // of each patch, the distances from the nearest patch of each other picture
		for r, group := range groups {
			if references[r] == i {
				continue
			}
			for p, d := range group.Distances(probe) {
				others[p] = append(others[p], d)
			}
		}
		return summarize(others), ctx.Err()
	}) {
		if err != nil {
			return nil, err
		}
		rare, odd = append(rare, far.rare), append(odd, far.odd)
		tick()
	}
	scores := inSpreads(rare)
	for i, v := range inSpreads(odd) {
		scores[i] = max(scores[i], v)
	}
	return scores, nil
}

// distances are those of a picture's most unusual patches from other pictures, on average.
type distances struct {
	rare float64 // from strangeWitnesses of them
	odd  float64 // from strangeShare of them
}

// summarize takes each patch's distances from other pictures, at least one of them, and sorts them.
func summarize(others [][]float32) distances {
	rare, odd := make([]float64, len(others)), make([]float64, len(others))
	for p, d := range others {
		slices.Sort(d)
		rare[p], odd[p] = float64(d[min(strangeWitnesses, len(d))-1]), float64(d[int(strangeShare*float64(len(d)-1))])
	}
	return distances{topMean(rare, strangeTop), topMean(odd, strangeTop)}
}

// inSpreads measures values from their median, in spreads.
func inSpreads(values []float64) []float64 {
	center, spread := upperSpread(values)
	z := make([]float64, len(values))
	for i, v := range values {
		if z[i] = v - center; spread > 0 { // else none is above the median
			z[i] /= spread
		}
	}
	return z
}

// upperSpread returns the median and the standard deviation that a normal distribution would have whose values above the median lie as far from it:
// 1.4826 times the median distance. Scores lean to one side: what lies below says nothing of what lies above.
func upperSpread(scores []float64) (center, spread float64) {
	center = median(scores)
	var above []float64
	for _, s := range scores {
		if s > center {
			above = append(above, s-center)
		}
	}
	if len(above) == 0 {
		return center, 0
	}
	return center, 1.4826 * median(above)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
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
