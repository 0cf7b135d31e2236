package features

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// detector is a fitted Config. A picture's score is the outlier method's, in its unit. A map value is how much the score falls when the cell
// around the pixel is left out of the pooling: negative where the cell makes the picture look better.
type detector struct {
	pooled    Pooled
	method    outlier.Method
	space     space
	judge     outlier.Detector
	extractor detect.Extractor
}

// Fit pools every sample, and fits the outlier method on the vectors. The samples may differ in size.
func (c Config) Fit(ctx context.Context, train detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o := opts.WithDefaults()
	if o.Extractor == nil {
		return nil, detect.ErrNoExtractor
	}
	x, err := vectors(ctx, c.Pooled, train, o)
	if err != nil {
		return nil, err
	}
	if x.Rows < 2 {
		return nil, fmt.Errorf("%d samples to learn from: want at least 2", x.Rows)
	}
	d := &detector{pooled: c.Pooled, method: c.method, extractor: o.Extractor}
	if d.space, err = newSpace(ctx, c.Pooled, x, o.Workers); err != nil {
		return nil, err
	}
	d.judge, err = c.Outlier.Fit(ctx, d.space.apply(x), &outlier.Options{
		Seed: o.Seed, Workers: o.Workers,
		Progress: func(done, total int) { o.Progress(detect.Progress{Stage: c.method.Name, Done: done, Total: total}) },
	})
	if err != nil {
		return nil, err
	}
	return d, ctx.Err()
}

func vectors(ctx context.Context, p Pooled, train detect.Source, o *detect.FitOptions) (outlier.Matrix, error) {
	var x outlier.Matrix
	for e, err := range detect.Extract(ctx, train, o) {
		if err != nil {
			return outlier.Matrix{}, err
		}
		row := divide(e.Maps, p.MapCells).vector(p.Pool, nothing)
		x.Cols = len(row)
		x.Data = append(x.Data, row...)
		x.Rows++
		o.Progress(detect.Progress{Stage: "features", Done: x.Rows, Total: train.Len()})
	}
	return x, ctx.Err()
}

// Score judges a batch.
func (d *detector) Score(ctx context.Context, batch *tensor.Tensor, opts *detect.ScoreOptions) ([]detect.Result, error) {
	maps, err := detect.Features(ctx, d.extractor, batch, opts.WorkerCount())
	if err != nil {
		return nil, err
	}
	results := make([]detect.Result, batch.Shape[0])
	for i := range results {
		one := make([]*tensor.Tensor, len(maps))
		for t, m := range maps {
			one[t] = m.Item(i)
		}
		if results[i], err = d.one(ctx, one, batch.Shape[2], batch.Shape[3]); err != nil {
			return nil, err
		}
	}
	return results, ctx.Err()
}

// one judges the vector of all cells, and those that lack one of them.
func (d *detector) one(ctx context.Context, maps []*tensor.Tensor, height, width int) (detect.Result, error) {
	c := divide(maps, d.pooled.MapCells)
	all := c.vector(d.pooled.Pool, nothing)
	x := outlier.Matrix{Rows: 1, Cols: len(all), Data: all}
	withMap := d.pooled.MapCells > 0
	if withMap && c.gh*c.gw > 1 {
		for cell := range c.gh * c.gw {
			x.Data = append(x.Data, c.vector(d.pooled.Pool, cell)...)
			x.Rows++
		}
	}
	scores, err := d.judge.Score(ctx, d.space.apply(x))
	if err != nil {
		return detect.Result{}, err
	}
	for _, s := range scores {
		if math.IsNaN(s) || math.Abs(s) > math.MaxFloat32 {
			return detect.Result{}, fmt.Errorf("score %v: %w", s, detect.ErrUnusable)
		}
	}
	r := detect.Result{Score: float32(scores[0])}
	if withMap {
		grid := tensor.New(c.gh, c.gw) // one cell cannot be left out: zero
		for cell, s := range scores[1:] {
			grid.Data[cell] = float32(scores[0] - s)
		}
		r.Map = transform.SmoothResize(grid, height, width, 0)
	}
	return r, nil
}

const (
	centerName    = "center"
	scaleName     = "scale"
	axesName      = "components"
	outlierPrefix = "outlier/"
)

// State holds everything in double precision, as the outlier methods compute.
func (d *detector) State() (detect.State, error) {
	inner, err := d.judge.State()
	if err != nil {
		return detect.State{}, err
	}
	config, err := join(d.pooled, inner.Config)
	if err != nil {
		return detect.State{}, err
	}
	n := len(d.space.center)
	s := detect.State{Config: config, Doubles: map[string]detect.Doubles{
		centerName: {Shape: []int{n}, Data: d.space.center}, scaleName: {Shape: []int{n}, Data: d.space.scale},
	}}
	if d.space.axes != nil {
		s.Doubles[axesName] = detect.Doubles{Shape: []int{len(d.space.axes) / n, n}, Data: d.space.axes}
	}
	for name, a := range inner.Arrays {
		s.Doubles[outlierPrefix+name] = detect.Doubles{Shape: a.Shape, Data: a.Data}
	}
	return s, nil
}

// Open returns a function that restores detectors of a method from their States.
func Open(m outlier.Method) func(detect.State, detect.Extractor) (detect.Detector, error) {
	return func(s detect.State, e detect.Extractor) (detect.Detector, error) {
		d, err := open(m, s, e)
		if err != nil {
			return nil, &fault.FormatError{Format: m.Name, Reason: "its state is damaged", Err: err}
		}
		return d, nil
	}
}

func open(m outlier.Method, s detect.State, e detect.Extractor) (*detector, error) {
	d := &detector{pooled: DefaultConfig(m).Pooled, method: m, extractor: e}
	rest, err := d.pooled.read(s.Config)
	if err != nil {
		return nil, err
	}
	if err := d.pooled.validate(); err != nil {
		return nil, err
	}
	if len(s.Tensors) > 0 {
		return nil, errors.New("it has tensors in single precision")
	}
	n := 0
	for _, tap := range e.Taps() {
		n += tap.Channels * len(d.pooled.Pool)
	}
	inner := outlier.State{Config: rest, Arrays: map[string]outlier.Array{}}
	columns := n
	for name, a := range s.Doubles {
		if tensor.Volume(a.Shape) != len(a.Data) {
			return nil, fmt.Errorf("%s has %d values of shape %v", name, len(a.Data), a.Shape)
		}
		for _, v := range a.Data {
			if name[:min(len(name), len(outlierPrefix))] != outlierPrefix && v-v != 0 {
				return nil, fmt.Errorf("%s holds numbers that are not finite", name)
			}
		}
		fits := len(a.Shape) == 1 && a.Shape[0] == n
		switch name {
		case centerName:
			d.space.center = a.Data
		case scaleName:
			d.space.scale = a.Data
		case axesName:
			d.space.axes = a.Data
			fits = len(a.Shape) == 2 && a.Shape[0] > 0 && a.Shape[1] == n
			columns = a.Shape[0]
		default:
			base := name[min(len(name), len(outlierPrefix)):]
			if name != outlierPrefix+base {
				return nil, fmt.Errorf("unknown array %q", name)
			}
			inner.Arrays[base] = outlier.Array{Shape: a.Shape, Data: a.Data}
			fits = true
		}
		if !fits {
			return nil, fmt.Errorf("%s of shape %v does not fit vectors of %d", name, a.Shape, n)
		}
	}
	if d.space.center == nil || d.space.scale == nil || (d.space.axes == nil) != (d.pooled.KeepVariance == 1) {
		return nil, errors.New("arrays are missing, or there are too many")
	}
	if d.judge, err = m.Open(inner); err != nil {
		return nil, err
	}
	// whether it takes vectors of this length is known when it judges one
	if _, err := d.judge.Score(context.Background(), outlier.NewMatrix(1, columns)); err != nil {
		return nil, err
	}
	return d, nil
}
