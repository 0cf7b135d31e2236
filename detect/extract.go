package detect

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// Extracted is one sample's feature maps (C,h,w), one a tap.
type Extracted struct {
	Sample Sample
	Maps   []*tensor.Tensor
}

// Extract yields the feature maps of a source's samples, in order, several samples at a time.
func Extract(ctx context.Context, source Source, opts *FitOptions) iter.Seq2[Extracted, error] {
	extractor := opts.Extractor
	return parallel.Map(ctx, opts.Workers, source.Samples(ctx), func(ctx context.Context, s Sample) (Extracted, error) {
		if len(s.Image.Shape) != 3 || s.Image.Shape[0] != 3 {
			return Extracted{}, fmt.Errorf("%s: %w", s.Name, &fault.ShapeError{What: "picture", Want: "(3,H,W)", Got: s.Image.Shape})
		}
		maps, err := Features(ctx, extractor, s.Image.Reshape(append([]int{1}, s.Image.Shape...)...), 1)
		if err != nil {
			return Extracted{}, fmt.Errorf("%s: %w", s.Name, err)
		}
		for i, m := range maps {
			maps[i] = m.Item(0)
		}
		return Extracted{s, maps}, nil
	})
}

// ErrNoExtractor is returned by the Fit of a method that needs feature maps and is given no extractor.
var ErrNoExtractor = errors.New("this method needs feature maps: set FitOptions.Extractor")

// WithDefaults returns a copy of o, which may be nil, with every default filled in.
func (o *FitOptions) WithDefaults() *FitOptions {
	var c FitOptions
	if o != nil {
		c = *o
	}
	c.Workers = parallel.Workers(c.Workers)
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return &c
}

// WorkerCount is the number of goroutines to use; o may be nil.
func (o *ScoreOptions) WorkerCount() int {
	if o == nil {
		return parallel.Workers(0)
	}
	return parallel.Workers(o.Workers)
}

// Features are an extractor's maps of a batch, both checked: the batch is (N,3,H,W) of at least one pixel, and the maps' values are Usable.
func Features(ctx context.Context, e Extractor, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	if len(batch.Shape) != 4 || batch.Shape[1] != 3 || len(batch.Data) == 0 {
		return nil, &fault.ShapeError{What: "batch", Want: "(N,3,H,W)", Got: batch.Shape}
	}
	maps, err := e.Features(ctx, batch, workers)
	if err != nil {
		return nil, err
	}
	for i, m := range maps {
		if !Usable(m.Data) {
			return nil, fmt.Errorf("layer %s: %w", e.Taps()[i].Name, ErrUnusable)
		}
	}
	return maps, nil
}

// ErrUnusable says that features cannot be compared: they have no distances.
var ErrUnusable = errors.New("features are not finite, or beyond ±1e15: the picture or the weights hold such numbers")

// Usable says whether features are finite and within ±1e15, so that squared distances of embeddings are finite in float32.
func Usable(features []float32) bool {
	for _, v := range features {
		if !(v >= -1e15 && v <= 1e15) {
			return false
		}
	}
	return true
}
