package padim

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// detector is a fitted PaDiM. Map values are Mahalanobis distances, resized and blurred; a picture's score is its map's maximum, as in anomalib.
// Deeper maps are resized bilinearly to the first one's size; anomalib 2.7 repeats the nearest value there.
type detector struct {
	config        Config
	dims          []int          // of the embedding, ascending
	height, width int            // of the grid
	mean          *tensor.Tensor // (height, width, d)
	whitening     *tensor.Tensor // (height, width, d·(d+1)/2)
	extractor     detect.Extractor
}

// Score judges a batch. A picture of another shape than the training's has its embeddings resized to the grid.
func (d *detector) Score(ctx context.Context, batch *tensor.Tensor, opts *detect.ScoreOptions) ([]detect.Result, error) {
	workers := opts.WorkerCount()
	maps, err := detect.Features(ctx, d.extractor, batch, workers)
	if err != nil {
		return nil, err
	}
	results := make([]detect.Result, batch.Shape[0])
	for i := range results {
		one := make([]*tensor.Tensor, len(maps))
		for t, m := range maps {
			one[t] = m.Item(i)
		}
		x := grid(one, d.dims, d.height, d.width)
		distances := tensor.New(d.height, d.width)
		parallel.For(workers, d.height, func(y int) {
			for p := y * d.width; p < (y+1)*d.width; p++ {
				distances.Data[p] = d.mahalanobis(p, x)
			}
		})
		m := transform.SmoothResize(distances, batch.Shape[2], batch.Shape[3], d.config.Sigma)
		highest := m.Data[0]
		for _, v := range m.Data {
			highest = max(highest, v)
		}
		results[i] = detect.Result{Score: highest, Map: m}
	}
	return results, ctx.Err()
}

// mahalanobis is √((x-μ)ᵀ·Σ⁻¹·(x-μ)) = ‖W·(x-μ)‖ at a position. (eq. 2)
func (d *detector) mahalanobis(p int, x []float32) float32 {
	n := len(d.dims)
	delta := make([]float32, n)
	mean := d.mean.Data[p*n:][:n]
	for i, v := range x[p*n:][:n] {
		delta[i] = v - mean[i]
	}
	w := d.whitening.Data[p*n*(n+1)/2:]
	total := 0.0
	for i := range n {
		var sums [4]float32 // four chains of sums, for speed; their order is fixed
		row := w[:i+1]
		v := delta[:i+1]
		j := 0
		for ; j+4 <= len(row); j += 4 {
			sums[0] += row[j] * v[j]
			sums[1] += row[j+1] * v[j+1]
			sums[2] += row[j+2] * v[j+2]
			sums[3] += row[j+3] * v[j+3]
		}
		for ; j < len(row); j++ {
			sums[0] += row[j] * v[j]
		}
		y := float64(sums[0] + sums[1] + sums[2] + sums[3])
		total += y * y
		w = w[i+1:]
	}
	return float32(math.Sqrt(total))
}

const (
	meanName      = "mean"
	whiteningName = "whitening"
	dimsName      = "dimensions"
)

func (d *detector) State() (detect.State, error) {
	config, err := json.Marshal(d.config)
	dims := tensor.New(len(d.dims))
	for i, v := range d.dims {
		dims.Data[i] = float32(v)
	}
	return detect.State{Config: config, Tensors: map[string]*tensor.Tensor{meanName: d.mean, whiteningName: d.whitening, dimsName: dims}}, err
}

// Open restores a detector from its State.
func Open(s detect.State, e detect.Extractor) (detect.Detector, error) {
	bad := func(reason string, err error) error {
		return &fault.FormatError{Format: "PaDiM", Reason: reason, Err: err}
	}
	d := &detector{extractor: e, mean: s.Tensors[meanName], whitening: s.Tensors[whiteningName]}
	if err := json.Unmarshal(s.Config, &d.config); err != nil {
		return nil, bad("its configuration is damaged", err)
	}
	if err := d.config.Validate(); err != nil {
		return nil, bad("its configuration is damaged", err)
	}
	dims := s.Tensors[dimsName]
	if dims == nil || d.mean == nil || d.whitening == nil || len(s.Tensors) != 3 {
		return nil, bad("tensors are missing, or there are too many", nil)
	}
	total := 0
	for _, t := range e.Taps() {
		total += t.Channels
	}
	for i, v := range dims.Data {
		dim := int(v)
		if float32(dim) != v || dim < 0 || dim >= total || i > 0 && dim <= d.dims[i-1] {
			return nil, bad(fmt.Sprintf("dimension %v is not of an embedding of %d", v, total), nil)
		}
		d.dims = append(d.dims, dim)
	}
	n := len(d.dims)
	if len(d.mean.Shape) != 3 || len(d.whitening.Shape) != 3 || n == 0 {
		return nil, bad("its tensors have the wrong shapes", nil)
	}
	d.height, d.width = d.mean.Shape[0], d.mean.Shape[1]
	if d.height < 1 || d.width < 1 || d.mean.Shape[2] != n ||
		d.whitening.Shape[0] != d.height || d.whitening.Shape[1] != d.width || d.whitening.Shape[2] != n*(n+1)/2 {
		return nil, bad(fmt.Sprintf("means of shape %v and factors of shape %v do not fit %d dimensions", d.mean.Shape, d.whitening.Shape, n), nil)
	}
	for _, t := range []*tensor.Tensor{d.mean, d.whitening} {
		for _, v := range t.Data {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, bad("it holds numbers that are not finite", nil)
			}
		}
	}
	return d, nil
}
