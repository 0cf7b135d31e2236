package backbone

import (
	"fmt"

	"github.com/blemish/blemish/infer"
)

// vgg16 is configuration D of Simonyan and Zisserman, ICLR 2015. Taps: features.0 to features.30, after each module. torchvision's
// ReLUs work in place; here a tap of a convolution is its output before the ReLU.
func vgg16() *infer.Graph {
	g, x := infer.NewGraph(3)
	module := 0
	next := func(f func(name string) infer.Value) {
		name := fmt.Sprintf("features.%d", module)
		x = f(name)
		g.Tap(name, x)
		module++
	}
	for _, stage := range []struct{ convs, channels int }{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}} {
		for range stage.convs {
			next(func(name string) infer.Value {
				return g.Conv(x, infer.Conv{Name: name, Out: stage.channels, Kernel: 3, Pad: 1, Bias: infer.WithBias})
			})
			next(func(string) infer.Value { return g.ReLU(x) })
		}
		next(func(string) infer.Value { return g.MaxPool(x, infer.Pool{Kernel: 2, Stride: 2}) })
	}
	return g
}
