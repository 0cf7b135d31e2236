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
		maps, err := extractor.Features(ctx, s.Image.Reshape(append([]int{1}, s.Image.Shape...)...), 1)
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

// CheckBatch says whether a tensor is a batch (N,3,H,W) of at least one pixel.
func CheckBatch(batch *tensor.Tensor) error {
	if len(batch.Shape) != 4 || batch.Shape[1] != 3 || len(batch.Data) == 0 {
		return &fault.ShapeError{What: "batch", Want: "(N,3,H,W)", Got: batch.Shape}
	}
	return nil
}
