package classifier

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// ErrSizes is returned by FitClasses: what reads whole feature maps learns from batches, and those are of one size.
var ErrSizes = errors.New("pictures differ in size, but where layers of the backbone or a vgg head learn, all of them must have one: resize them to it (--resize exact), or let a linear head learn alone")

// Source is labelled pictures. Load returns picture i as (3,H,W), normalised for the backbone, and its class: augmented by rng, or, where rng
// is nil, as it would be judged.
type Source interface {
	train.Source
	Name(i int) string // for messages
}

// represent turns a batch (N,3,H,W) into what the network reads.
func (f *fit) represent(ctx context.Context, batch *tensor.Tensor, workers int) (*tensor.Tensor, error) {
	r, err := represent(ctx, f.config, f.opts.Extractor, batch, workers)
	if err != nil {
		return nil, err
	}
	return mean(r), nil
}

// features are the extractor's maps, or the batch itself where the whole backbone learns.
func features(ctx context.Context, c Config, e detect.Extractor, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	if c.TrainFrom != All {
		return detect.Features(ctx, e, batch, workers)
	}
	if !detect.Usable(batch.Data) {
		return nil, detect.ErrUnusable
	}
	return []*tensor.Tensor{batch}, ctx.Err()
}

// pool averages each channel of maps (N,C,h,w) and puts the maps' averages side by side: (N, ΣC).
func pool(maps []*tensor.Tensor) *tensor.Tensor {
	n, width := maps[0].Shape[0], 0
	for _, m := range maps {
		width += m.Shape[1]
	}
	out := tensor.New(n, width)
	for i := range n {
		at := i * width
		for _, m := range maps {
			item, area := m.Item(i), m.Shape[2]*m.Shape[3]
			for c := range m.Shape[1] {
				sum := 0.0
				for _, v := range item.Data[c*area:][:area] {
					sum += float64(v)
				}
				out.Data[at] = float32(sum / float64(area))
				at++
			}
		}
	}
	return out
}

// cached are features of pictures, computed once: views of each, all alike in shape.
type cached struct {
	views  [][]*tensor.Tensor
	labels []int
}

// Len is the number of pictures.
func (c cached) Len() int { return len(c.labels) }

// Load draws one of a picture's views.
func (c cached) Load(_ context.Context, i int, rng *rand.Rand) (train.Sample, error) {
	return train.Sample{Input: c.views[i][rng.IntN(len(c.views[i]))], Label: c.labels[i]}, nil
}

// prepare changes a picture before its features are computed.
type prepare func(x *tensor.Tensor) *tensor.Tensor

// judged is a number of views: the picture as it would be judged, alone.
const judged = 0

// cache computes the features of the picture as it would be judged, and what is learned from besides: further augmented views, and, where a
// verdict is the mean over several sizes, each view at each of them.
func (f *fit) cache(ctx context.Context, stage string, s Source, views int, change prepare) (cached, error) {
	type entry struct {
		views []*tensor.Tensor
		label int
	}
	out := cached{}
	for e, err := range parallel.Ordered(ctx, f.opts.Workers, s.Len(), func(ctx context.Context, i int) (entry, error) {
		var e entry
		for v := range max(1, views) {
			var rng *rand.Rand
			if v > 0 {
				rng = rand.New(rand.NewPCG(f.opts.Seed^0x76696577, uint64(i)<<16|uint64(v)))
			}
			sample, err := s.Load(ctx, i, rng)
			if err != nil {
				return e, err
			}
			x := sample.Input
			if len(x.Shape) != 3 || x.Shape[0] != 3 {
				return e, fmt.Errorf("%s: want a picture (3,H,W), got %v", s.Name(i), x.Shape)
			}
			if change != nil {
				x = change(x)
			}
			sizes, err := represent(ctx, f.config, f.opts.Extractor, x.Reshape(1, 3, x.Shape[1], x.Shape[2]), 1)
			if err != nil {
				return e, fmt.Errorf("%s: %w", s.Name(i), err)
			}
			if e.label = sample.Label; v == 0 {
				e.views = append(e.views, mean(sizes).Item(0))
			}
			if views == judged || v == 0 && len(sizes) == 1 {
				continue
			}
			for _, r := range sizes {
				e.views = append(e.views, r.Item(0))
			}
		}
		return e, nil
	}) {
		if err != nil {
			return cached{}, err
		}
		if e.label < 0 || e.label >= len(f.data.Classes) {
			return cached{}, fmt.Errorf("%s: its class is %d, but there are %d classes", s.Name(len(out.labels)), e.label, len(f.data.Classes))
		}
		out.views, out.labels = append(out.views, e.views), append(out.labels, e.label)
		if first := out.views[0][0]; views != judged && !tensor.SameShape(first, e.views[0]) {
			return cached{}, fmt.Errorf("%w: features of %s are %v, those of %s %v", ErrSizes, s.Name(len(out.labels)-1), e.views[0].Shape, s.Name(0), first.Shape)
		}
		f.opts.Progress(detect.Progress{Stage: stage, Done: len(out.labels), Total: s.Len()})
	}
	return out, ctx.Err()
}

// scaling brings pooled features to mean 0 and deviation 1: what a linear layer learns fastest from.
type scaling struct{ mean, std []float64 }

// standardise measures the scaling over all views.
func standardise(c cached) scaling {
	width := len(c.views[0][0].Data)
	s := scaling{make([]float64, width), make([]float64, width)}
	n := 0.0
	for _, views := range c.views {
		for _, v := range views {
			for k, x := range v.Data {
				s.mean[k] += float64(x)
			}
			n++
		}
	}
	for k := range s.mean {
		s.mean[k] /= n
	}
	for _, views := range c.views {
		for _, v := range views {
			for k, x := range v.Data {
				d := float64(x) - s.mean[k]
				s.std[k] += d * d
			}
		}
	}
	for k := range s.std {
		if s.std[k] = math.Sqrt(s.std[k] / n); s.std[k] < 1e-6 {
			s.std[k] = 1 // a channel that never changes
		}
	}
	return s
}

// apply scales features in place.
func (s scaling) apply(c cached) {
	for _, views := range c.views {
		for _, v := range views {
			for k, x := range v.Data {
				v.Data[k] = float32((float64(x) - s.mean[k]) / s.std[k])
			}
		}
	}
}

// fold makes a linear layer that was trained on scaled features read plain ones.
func (s scaling) fold(weight, bias *tensor.Tensor) {
	width := len(s.mean)
	for k := range bias.Data {
		shift := 0.0
		for c, w := range weight.Data[k*width:][:width] {
			w := float64(w) / s.std[c]
			weight.Data[k*width+c] = float32(w)
			shift += w * s.mean[c]
		}
		bias.Data[k] = float32(float64(bias.Data[k]) - shift)
	}
}
