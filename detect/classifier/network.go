package classifier

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// network is what learns: everything behind the extractor's feature maps.
type network struct {
	tail *nn.Graph     // layers of the backbone; nil where the head alone learns
	head nn.Sequential // from the last feature map (N,C,h,w), or pooled features (N,C), to logits (N,K)
	last []*nn.Linear  // of the head, from its input on
}

// layer makes a linear layer of the head.
type layer func(name string, in, out int) (*nn.Linear, error)

// random starts layers at random, as PyTorch does.
func random(rng *rand.Rand) layer {
	return func(name string, in, out int) (*nn.Linear, error) { return nn.NewLinear(name, in, out, rng), nil }
}

// stored takes layers from tensors as they are: three of VGG's are half a gigabyte, which nobody wants twice.
func stored(tensors map[string]*tensor.Tensor) layer {
	return func(name string, in, out int) (*nn.Linear, error) {
		l := &nn.Linear{Name: name}
		for _, p := range []struct {
			name  string
			to    **autograd.Var
			shape []int
		}{{name + ".weight", &l.Weight, []int{out, in}}, {name + ".bias", &l.Bias, []int{out}}} {
			t, ok := tensors[p.name]
			if !ok {
				return nil, &fault.FormatError{Format: "model", Reason: fmt.Sprintf("tensor %q is missing", p.name)}
			}
			if !slices.Equal(t.Shape, p.shape) {
				return nil, &fault.ShapeError{What: p.name, Want: fmt.Sprint(p.shape), Got: t.Shape}
			}
			*p.to = autograd.NewParam(p.name, t)
		}
		return l, nil
	}
}

// newNetwork puts a head of given layers on a backbone that starts at random. taps are the extractor's.
func newNetwork(c Config, taps []detect.Tap, classes int, rng *rand.Rand, linear layer) (*network, error) {
	channels := 0
	for _, t := range taps {
		channels += t.Channels
	}
	n := &network{}
	if !c.pooled() && len(taps) != 1 {
		return nil, &fault.ConfigError{Field: "layers", Value: len(taps), Reason: "want one: what learns begins behind a single feature map"}
	}
	if c.TrainFrom != "" {
		spec, err := backbone.Lookup(c.Network)
		if err != nil {
			return nil, err
		}
		g := spec.Graph()
		all := g.Taps()
		end := all[len(all)-1]
		if c.TrainFrom != All {
			if g, err = backbone.Tail(g, taps[0].Name, end.Name); err != nil {
				return nil, err
			}
		}
		if n.tail, err = nn.NewGraph(g, end.Name, rng); err != nil {
			return nil, err
		}
		channels = end.Channels
	}
	if c.Head == VGG {
		for _, l := range []struct {
			name    string
			in, out int
		}{{"classifier.0", channels * 7 * 7, c.Width}, {"classifier.3", c.Width, c.Width}, {"classifier.6", c.Width, classes}} {
			made, err := linear(l.name, l.in, l.out)
			if err != nil {
				return nil, err
			}
			n.last = append(n.last, made)
		}
		a, b, out := n.last[0], n.last[1], n.last[2]
		n.head = nn.Sequential{nn.AdaptiveAvgPool2d(7, 7), nn.Flatten, a, nn.ReLU, nn.NewDropout(c.Dropout), b, nn.ReLU, nn.NewDropout(c.Dropout), out}
		return n, nil
	}
	out, err := linear("head", channels, classes)
	if err != nil {
		return nil, err
	}
	n.last = []*nn.Linear{out}
	n.head = nn.Sequential{nn.NewDropout(c.Dropout), out}
	if c.TrainFrom != "" {
		n.head = append(nn.Sequential{nn.GlobalAvgPool}, n.head...)
	}
	return n, nil
}

// pooled says whether the head reads pooled features: then they may come from several layers, and from pictures of several sizes.
func (c Config) pooled() bool { return c.Head == Linear && c.TrainFrom == "" }

// LayerBefore is the tap of a backbone whose features reach the first layer that learns: the extractor's. For All, which needs none, it is
// the first tap, the cheapest.
func LayerBefore(g *infer.Graph, from string) (string, error) {
	taps := g.Taps()
	switch from {
	case "":
		return taps[len(taps)-1].Name, nil
	case All:
		return taps[0].Name, nil
	}
	var names []string
	for i, t := range taps {
		if t.Name == from && i > 0 {
			return taps[i-1].Name, nil
		}
		if i > 0 {
			names = append(names, t.Name)
		}
	}
	return "", &fault.ConfigError{Field: "train_from", Value: from, Reason: fmt.Sprintf("want all or one of %v", names)}
}

// Forward maps the extractor's features to logits.
func (n *network) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	if n.tail != nil {
		x = n.tail.Forward(t, x)
	}
	return n.head.Forward(t, x)
}

// Params lists the parameters, frozen ones included.
func (n *network) Params() []*autograd.Var { return nn.Sequential(n.Children()).Params() }

// Children are the backbone's layers and the head.
func (n *network) Children() []nn.Module {
	if n.tail == nil {
		return []nn.Module{n.head}
	}
	return []nn.Module{n.tail, n.head}
}

// begin loads pretrained weights, for all but the last layer, and freezes what does not learn.
func (n *network) begin(c Config, weights func(string) (*tensor.Tensor, error), rng *rand.Rand) error {
	if weights == nil {
		if c.Head == VGG { // torchvision's start
			for _, l := range n.last[:2] {
				nn.Normal(l.Weight.Value, 0.01, rng)
				clear(l.Bias.Value.Data)
			}
		}
	} else {
		if n.tail != nil {
			if err := nn.LoadState(n.tail, weights); err != nil {
				return err
			}
		}
		for _, l := range n.last[:len(n.last)-1] {
			if err := nn.LoadState(l, weights); err != nil {
				return fmt.Errorf("the %s head: %w", c.Head, err)
			}
		}
	}
	for i, l := range n.last {
		nn.Freeze(l, i < len(n.last)-c.TrainLast)
	}
	return nil
}

// groups are the parameters that learn: the head's, and the backbone's at a rate of their own.
func (n *network) groups(c Config) []*nn.Group {
	learning := func(params []*autograd.Var) []*autograd.Var {
		var out []*autograd.Var
		for _, p := range params {
			if p.RequiresGrad() {
				out = append(out, p)
			}
		}
		return out
	}
	groups := []*nn.Group{{Params: learning(n.head.Params()), LR: c.LR}}
	if n.tail != nil {
		groups = append(groups, &nn.Group{Params: learning(n.tail.Params()), LR: c.LR * c.BackboneLR})
	}
	return groups
}

// training switches dropout on and off, and the backbone's batch norms if they learn.
func (n *network) training(c Config, on bool) {
	nn.SetTraining(n.head, on)
	if n.tail != nil {
		nn.SetTraining(n.tail, on && c.Norms == BatchNorms)
	}
}
