package backbone

import (
	"fmt"

	"github.com/blemish/blemish/nn"
)

// vgg16 is configuration D of Simonyan and Zisserman, ICLR 2015. Taps: features.0 to features.30, after each module. torchvision's
// ReLUs work in place; here a tap of a convolution is its output before the ReLU.
func vgg16() *nn.Graph {
	g, x := nn.NewGraph(3)
	module := 0
	next := func(f func(name string) nn.Value) {
		name := fmt.Sprintf("features.%d", module)
		x = f(name)
		g.Tap(name, x)
		module++
	}
	for _, stage := range []struct{ convs, channels int }{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}} {
		for range stage.convs {
			next(func(name string) nn.Value {
				return g.Conv(x, nn.Conv{Name: name, Out: stage.channels, Kernel: 3, Pad: 1, Bias: nn.WithBias})
			})
			next(func(string) nn.Value { return g.ReLU(x) })
		}
		next(func(string) nn.Value { return g.MaxPool(x, nn.Pool{Kernel: 2, Stride: 2}) })
	}
	return g
}
