package backbone

import (
	"fmt"

	"github.com/blemish/blemish/infer"
)

// mobileNetV2 is Sandler et al., CVPR 2018, width 1. Taps: features.0 to features.18, after each module.
func mobileNetV2() *infer.Graph {
	g, x := infer.NewGraph(3)
	x = g.ReLU6(normed(g, x, infer.Conv{Name: "features.0.0", Out: 32, Kernel: 3, Stride: 2, Pad: 1}, "features.0.1"))
	g.Tap("features.0", x)
	module := 1
	for _, stage := range []struct{ expansion, out, repeats, stride int }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for r := range stage.repeats {
			name := fmt.Sprintf("features.%d", module)
			in, stride := x, 1
			if r == 0 {
				stride = stage.stride
			}
			wide := g.Channels(in) * stage.expansion
			part := 0
			if stage.expansion > 1 {
				x = g.ReLU6(normed(g, x, infer.Conv{Name: name + ".conv.0.0", Out: wide, Kernel: 1}, name+".conv.0.1"))
				part = 1
			}
			depthwise := fmt.Sprintf("%s.conv.%d", name, part)
			x = g.ReLU6(normed(g, x, infer.Conv{Name: depthwise + ".0", Out: wide, Kernel: 3, Stride: stride, Pad: 1, Groups: wide}, depthwise+".1"))
			x = normed(g, x, infer.Conv{Name: fmt.Sprintf("%s.conv.%d", name, part+1), Out: stage.out, Kernel: 1}, fmt.Sprintf("%s.conv.%d", name, part+2))
			if stride == 1 && g.Channels(in) == stage.out {
				x = g.Add(x, in)
			}
			g.Tap(name, x)
			module++
		}
	}
	x = g.ReLU6(normed(g, x, infer.Conv{Name: "features.18.0", Out: 1280, Kernel: 1}, "features.18.1"))
	g.Tap("features.18", x)
	return g
}
