package backbone

import (
	"fmt"

	"github.com/blemish/blemish/infer"
)

// efficientNetLite0 is EfficientNet-B0 without squeeze-and-excite and with ReLU6 (Tan and Le, ICML 2019; EfficientNet-Lite, 2020),
// padded as TensorFlow pads. Taps: _blocks.0 to _blocks.15, after each block.
func efficientNetLite0() *infer.Graph {
	const eps = 1e-3
	g, x := infer.NewGraph(3)
	unit := func(x infer.Value, conv infer.Conv, norm string) infer.Value {
		return g.BatchNorm(g.Conv(x, conv), norm, eps)
	}
	x = g.ReLU6(unit(x, infer.Conv{Name: "_conv_stem", Out: 32, Kernel: 3, Stride: 2, Pad: infer.Same}, "_bn0"))
	block := 0
	for _, stage := range []struct{ repeats, kernel, stride, expansion, out int }{
		{1, 3, 1, 1, 16}, {2, 3, 2, 6, 24}, {2, 5, 2, 6, 40}, {3, 3, 2, 6, 80}, {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320},
	} {
		for r := range stage.repeats {
			name := fmt.Sprintf("_blocks.%d", block)
			in, stride := x, 1
			if r == 0 {
				stride = stage.stride
			}
			wide := g.Channels(in) * stage.expansion
			if stage.expansion > 1 {
				x = g.ReLU6(unit(x, infer.Conv{Name: name + "._expand_conv", Out: wide, Kernel: 1}, name+"._bn0"))
			}
			x = g.ReLU6(unit(x, infer.Conv{
				Name: name + "._depthwise_conv", Out: wide, Kernel: stage.kernel, Stride: stride, Pad: infer.Same, Groups: wide,
			}, name+"._bn1"))
			x = unit(x, infer.Conv{Name: name + "._project_conv", Out: stage.out, Kernel: 1}, name+"._bn2")
			if stride == 1 && g.Channels(in) == stage.out {
				x = g.Add(x, in)
			}
			g.Tap(name, x)
			block++
		}
	}
	return g
}
