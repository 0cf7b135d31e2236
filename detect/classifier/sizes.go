package classifier

import (
	"context"
	"math"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/tensor"
)

// Resize brings pictures (…,H,W) to a share of their size, smaller or larger, each side at least a pixel: bilinearly, over as many pixels as
// one of the result covers, as torch.nn.functional.interpolate does with antialias=True.
func Resize(x *tensor.Tensor, share float64) *tensor.Tensor {
	d := len(x.Shape)
	h, w := x.Shape[d-2], x.Shape[d-1]
	to := func(n int) int { return max(1, int(math.Round(float64(n)*share))) }
	rows, columns := triangles(h, to(h)), triangles(w, to(w))
	shape := append([]int{}, x.Shape...)
	shape[d-2], shape[d-1] = len(rows), len(columns)
	out := tensor.New(shape...)
	line := make([]float64, w)
	for plane := range len(x.Data) / (h * w) {
		from, dst := x.Data[plane*h*w:][:h*w], out.Data[plane*len(rows)*len(columns):]
		for y, r := range rows {
			clear(line)
			for k, weight := range r.weights {
				for i, v := range from[(r.first+k)*w:][:w] {
					line[i] += weight * float64(v)
				}
			}
			for i, c := range columns {
				sum := 0.0
				for k, weight := range c.weights {
					sum += weight * line[c.first+k]
				}
				dst[y*len(columns)+i] = float32(sum)
			}
		}
	}
	return out
}

// triangle is what a value of a resized line is made of.
type triangle struct {
	first   int
	weights []float64 // which add up to 1
}

// triangles resize a line of in values to out.
func triangles(in, out int) []triangle {
	scale := float64(in) / float64(out)
	reach := max(scale, 1)
	all := make([]triangle, out)
	for i := range all {
		centre := (float64(i) + 0.5) * scale
		first := max(0, int(centre-reach+0.5))
		last := min(in, int(centre+reach+0.5))
		t, sum := triangle{first: first}, 0.0
		for k := first; k < last; k++ {
			w := max(0, 1-math.Abs((float64(k)+0.5-centre)/reach))
			t.weights = append(t.weights, w)
			sum += w
		}
		for k := range t.weights {
			t.weights[k] /= sum
		}
		all[i] = t
	}
	return all
}

// readings are a batch's features at its own size and at each of the scales.
func readings(ctx context.Context, c Config, e detect.Extractor, batch *tensor.Tensor, workers int) ([][]*tensor.Tensor, error) {
	own, err := features(ctx, c, e, batch, workers)
	if err != nil {
		return nil, err
	}
	all := [][]*tensor.Tensor{own}
	for _, s := range c.Scales {
		maps, err := features(ctx, c, e, Resize(batch, s), workers)
		if err != nil {
			return nil, err
		}
		all = append(all, maps)
	}
	return all, nil
}

// represent turns a batch (N,3,H,W) into what the network reads, once for each size.
func represent(ctx context.Context, c Config, e detect.Extractor, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	all, err := readings(ctx, c, e, batch, workers)
	if err != nil {
		return nil, err
	}
	var out []*tensor.Tensor
	for _, maps := range all {
		if !c.pooled() {
			return maps, nil
		}
		out = append(out, pool(maps))
	}
	return out, nil
}

// mean averages what was read at several sizes. A linear layer's logits of it are the mean of their logits.
func mean(readings []*tensor.Tensor) *tensor.Tensor {
	if len(readings) == 1 {
		return readings[0]
	}
	out := tensor.New(readings[0].Shape...)
	for i := range out.Data {
		sum := 0.0
		for _, r := range readings {
			sum += float64(r.Data[i])
		}
		out.Data[i] = float32(sum / float64(len(readings)))
	}
	return out
}
