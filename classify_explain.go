package blemish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/classifier"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// Explainer shows what made a classifier find pictures defective, at a layer of its backbone.
type Explainer struct {
	model   *Model
	extract detect.Extractor // of frozen layers; nil where the whole backbone learned
	front   nn.Module        // from the extractor's map, or the picture, to a layer that learned; nil for frozen ones
	rest    nn.Module        // from the layer to the logits
	ask     explain.Question
	how     []explain.Method
	scales  []float64 // further sizes at which the picture is read: the maps are the means over all
}

// Explainer prepares maps at a layer of the backbone, frozen or learned, that everything passes through. It must not be used by several
// goroutines at once.
func (m *Model) Explainer(layer string, how ...explain.Method) (*Explainer, error) {
	d, ok := m.detector.(*classifier.Detector)
	if !ok {
		return nil, errors.New("a " + m.info.Method + " model is no classifier: only those are explained layer by layer")
	}
	for _, h := range how {
		if !slices.Contains(explain.Methods(), h) {
			return nil, &fault.ConfigError{Field: "map", Value: string(h), Reason: fmt.Sprintf("known are %v", explain.Methods())}
		}
	}
	behind, err := d.Behind()
	if err != nil {
		return nil, err
	}
	spec, err := backbone.Lookup(m.info.Backbone.Name)
	if err != nil {
		return nil, err
	}
	e := &Explainer{model: m, ask: d.Ask(), how: how, scales: d.Fitted().Scales}
	learned, from, err := m.learned(d, spec.Graph(), layer)
	if err != nil {
		return nil, err
	}
	if learned {
		return e, e.splitLearned(d, spec.Graph(), from, layer, behind)
	}
	return e, e.splitFrozen(spec, layer, behind)
}

// learned says whether a layer lies behind the frozen part, and at which tap that ends: "" where there is none.
func (m *Model) learned(d *classifier.Detector, g *infer.Graph, layer string) (learned bool, from string, err error) {
	var names []string
	for _, t := range g.Taps() {
		names = append(names, t.Name)
	}
	at := slices.Index(names, layer)
	if at < 0 {
		return false, "", &fault.ConfigError{Field: "layer", Value: layer, Reason: fmt.Sprintf("%s has %v", m.info.Backbone.Name, names)}
	}
	tap := m.info.Backbone.Layers[0]
	switch d.Fitted().TrainFrom {
	case classifier.All:
		return true, "", nil
	case "":
		if at > slices.Index(names, tap) {
			return false, "", &fault.ConfigError{Field: "layer", Value: layer, Reason: "want " + tap + ", which this model reads, or a layer before it"}
		}
		return false, tap, nil
	}
	return at > slices.Index(names, tap), tap, nil
}

// splitFrozen cuts before the layer that the classifier reads, or there.
func (e *Explainer) splitFrozen(spec backbone.Spec, layer string, behind nn.Module) error {
	lookup := func(name string) (*tensor.Tensor, error) {
		for _, w := range e.model.weights {
			if w.Name == name {
				return w.Tensor, nil
			}
		}
		return nil, fmt.Errorf("the model holds no %s", name)
	}
	extract, err := backbone.New(spec, []string{layer}, lookup)
	if err != nil {
		return err
	}
	e.extract, e.rest = extract, behind
	tap := e.model.info.Backbone.Layers[0]
	if layer == tap {
		return nil
	}
	between, err := part(spec.Graph(), layer, tap, lookup)
	e.rest = nn.Sequential{between, behind}
	return err
}

// splitLearned cuts among the layers that learned, which begin behind the tap from, or with the picture.
func (e *Explainer) splitLearned(d *classifier.Detector, g *infer.Graph, from, layer string, behind nn.Module) error {
	state, err := d.State()
	if err != nil {
		return err
	}
	lookup := func(name string) (*tensor.Tensor, error) {
		if t, ok := state.Tensors[name]; ok {
			return t, nil
		}
		return nil, fmt.Errorf("the classifier holds no %s", name)
	}
	if from != "" {
		e.extract = e.model.extract
	}
	if e.front, err = part(g, from, layer, lookup); err != nil {
		return err
	}
	whole, ok := behind.(interface{ Children() []nn.Module })
	if !ok {
		return errors.New("the classifier's backbone and head cannot be taken apart")
	}
	head := whole.Children()[len(whole.Children())-1]
	e.rest = head
	taps := g.Taps()
	if last := taps[len(taps)-1].Name; layer != last {
		between, err := part(g, layer, last, lookup)
		if err != nil {
			return err
		}
		e.rest = nn.Sequential{between, head}
	}
	return nil
}

// part is a network from one tap, or the picture where from is "", to another, frozen and in evaluation.
func part(g *infer.Graph, from, to string, lookup func(string) (*tensor.Tensor, error)) (nn.Module, error) {
	if from != "" {
		var err error
		if g, err = backbone.Tail(g, from, to); err != nil {
			return nil, err
		}
	}
	m, err := nn.NewGraph(g, to, rand.New(rand.NewPCG(0, 0)))
	if err != nil {
		return nil, err
	}
	if err := nn.LoadState(m, lookup); err != nil {
		return nil, err
	}
	nn.Freeze(m, true)
	nn.SetTraining(m, false)
	return m, nil
}

// Explain returns the maps (H,W) of a picture at its own size, one a method, all from one pass through the network for each size at which the
// model reads pictures.
func (e *Explainer) Explain(ctx context.Context, picture *imageio.Picture, opts *Options) ([]*tensor.Tensor, error) {
	x, geometry, err := e.model.info.Preprocess.Apply(picture)
	if err != nil {
		return nil, err
	}
	own := 0
	maps, err := e.explain(ctx, x, x.Shape, &own, opts.workers())
	if err != nil {
		return nil, fmt.Errorf("explaining: %w", err)
	}
	for _, s := range e.scales {
		more, err := e.explain(ctx, classifier.Resize(x, s), x.Shape, &own, opts.workers())
		if err != nil {
			return nil, fmt.Errorf("explaining: %w", err)
		}
		for i, m := range more {
			for k, v := range m.Data {
				maps[i].Data[k] += v
			}
		}
	}
	for i, m := range maps {
		for k := range m.Data {
			m.Data[k] /= float32(1 + len(e.scales))
		}
		maps[i] = geometry.MapBack(m)
	}
	return maps, nil
}

// explain makes the maps of a picture (3,h,w), brought to the size of shape (3,H,W). positions are how many the layer has at the picture's own
// size, which comes first: 0 until then.
func (e *Explainer) explain(ctx context.Context, x *tensor.Tensor, shape []int, positions *int, workers int) ([]*tensor.Tensor, error) {
	features, err := e.features(ctx, x.Reshape(append([]int{1}, x.Shape...)...), workers)
	if err != nil {
		return nil, err
	}
	_, gradients, err := explain.Gradients(ctx, e.rest, features, e.ask, workers)
	if err != nil {
		return nil, err
	}
	n := features.Shape[2] * features.Shape[3]
	if *positions == 0 {
		*positions = n
	}
	share := float32(n) / float32(*positions) // averages over fewer have larger gradients, but those of all sizes are to count alike
	for i := range gradients.Data {
		gradients.Data[i] *= share
	}
	var maps []*tensor.Tensor
	for _, how := range e.how {
		m, err := explain.Map(how, features.Item(0), gradients.Item(0))
		if err != nil {
			return nil, err
		}
		maps = append(maps, explain.Upsample(m, shape[1], shape[2]))
	}
	return maps, nil
}

// features are the layer's, of a picture (1,3,H,W).
func (e *Explainer) features(ctx context.Context, x *tensor.Tensor, workers int) (out *tensor.Tensor, err error) {
	defer autograd.Catch(&err)
	if e.extract != nil {
		maps, err := detect.Features(ctx, e.extract, x, workers)
		if err != nil {
			return nil, err
		}
		x = maps[0]
	}
	if e.front == nil {
		return x, nil
	}
	t := autograd.NewTape()
	t.Workers = workers
	t.NoGrad(func() { out = e.front.Forward(t, t.Input(x)).Value.Clone() })
	return out, nil
}
