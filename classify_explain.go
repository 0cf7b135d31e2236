package blemish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/classifier"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// Explainer shows what made a classifier find pictures defective, at a layer of its frozen backbone.
type Explainer struct {
	model   *Model
	extract *backbone.Extractor
	rest    nn.Module
	ask     explain.Question
	how     explain.Method
}

// Explainer prepares maps at a layer: the tap the classifier reads, or one before it. It must not be used by several goroutines at once.
func (m *Model) Explainer(layer string, how explain.Method) (*Explainer, error) {
	d, ok := m.detector.(*classifier.Detector)
	if !ok {
		return nil, errors.New("a " + m.info.Method + " model is no classifier: only those are explained layer by layer")
	}
	behind, err := d.Behind()
	if err != nil {
		return nil, err
	}
	spec, err := backbone.Lookup(m.info.Backbone.Name)
	if err != nil {
		return nil, err
	}
	lookup := func(name string) (*tensor.Tensor, error) {
		for _, e := range m.weights {
			if e.Name == name {
				return e.Tensor, nil
			}
		}
		return nil, &fault.ConfigError{Field: "layer", Value: layer, Reason: "want " + m.info.Backbone.Layers[0] + " or a layer before it"}
	}
	e := &Explainer{model: m, rest: behind, ask: d.Ask(), how: how}
	if e.extract, err = backbone.New(spec, []string{layer}, lookup); err != nil {
		return nil, err
	}
	if tap := m.info.Backbone.Layers[0]; layer != tap {
		tail, err := backbone.Tail(spec.Graph(), layer, tap)
		if err != nil {
			return nil, err
		}
		between, err := nn.NewGraph(tail, tap, rand.New(rand.NewPCG(0, 0)))
		if err != nil {
			return nil, err
		}
		if err := nn.LoadState(between, lookup); err != nil {
			return nil, err
		}
		nn.Freeze(between, true)
		nn.SetTraining(between, false)
		e.rest = nn.Sequential{between, behind}
	}
	_, err = explain.Map(how, tensor.New(1, 1, 1), tensor.New(1, 1, 1)) // is the method known?
	return e, err
}

// Explain returns the map (H,W) of a picture at its own size.
func (e *Explainer) Explain(ctx context.Context, picture *imageio.Picture, opts *Options) (*tensor.Tensor, error) {
	x, geometry, err := e.model.info.Preprocess.Apply(picture)
	if err != nil {
		return nil, err
	}
	maps, err := detect.Features(ctx, e.extract, x.Reshape(append([]int{1}, x.Shape...)...), opts.workers())
	if err != nil {
		return nil, err
	}
	_, gradients, err := explain.Gradients(ctx, e.rest, maps[0], e.ask, opts.workers())
	if err != nil {
		return nil, fmt.Errorf("explaining: %w", err)
	}
	m, err := explain.Map(e.how, maps[0].Item(0), gradients.Item(0))
	if err != nil {
		return nil, err
	}
	return geometry.MapBack(explain.Upsample(m, x.Shape[1], x.Shape[2])), nil
}
