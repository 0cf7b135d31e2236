package backbone

import (
	"fmt"

	"github.com/blemish/blemish/infer"
)

const torchEps = 1e-5 // of torch.nn.BatchNorm2d

// residual is a kind of residual block.
type residual struct {
	expansion int // output channels over planes
	body      func(g *infer.Graph, x infer.Value, name string, planes, width, stride int) infer.Value
}

var (
	// basic is two 3x3 convolutions.
	basic = residual{1, func(g *infer.Graph, x infer.Value, name string, planes, _, stride int) infer.Value {
		x = g.ReLU(normed(g, x, infer.Conv{Name: name + ".conv1", Out: planes, Kernel: 3, Stride: stride, Pad: 1}, name+".bn1"))
		return normed(g, x, infer.Conv{Name: name + ".conv2", Out: planes, Kernel: 3, Pad: 1}, name+".bn2")
	}}
	// bottleneck is 1x1, 3x3 (with the stride, as torchvision has it) and 1x1.
	bottleneck = residual{4, func(g *infer.Graph, x infer.Value, name string, planes, width, stride int) infer.Value {
		x = g.ReLU(normed(g, x, infer.Conv{Name: name + ".conv1", Out: width, Kernel: 1}, name+".bn1"))
		x = g.ReLU(normed(g, x, infer.Conv{Name: name + ".conv2", Out: width, Kernel: 3, Stride: stride, Pad: 1}, name+".bn2"))
		return normed(g, x, infer.Conv{Name: name + ".conv3", Out: 4 * planes, Kernel: 1}, name+".bn3")
	}}
)

func normed(g *infer.Graph, x infer.Value, conv infer.Conv, norm string) infer.Value {
	return g.BatchNorm(g.Conv(x, conv), norm, torchEps)
}

// resNet is He et al., CVPR 2016, and with base width 128 Zagoruyko and Komodakis, BMVC 2016. Taps: relu (after the stem),
// layer1 to layer4, and every block such as layer2.0.
func resNet(block residual, repeats [4]int, baseWidth int) *infer.Graph {
	g, x := infer.NewGraph(3)
	x = g.ReLU(normed(g, x, infer.Conv{Name: "conv1", Out: 64, Kernel: 7, Stride: 2, Pad: 3}, "bn1"))
	g.Tap("relu", x)
	x = g.MaxPool(x, infer.Pool{Kernel: 3, Stride: 2, Pad: 1})
	for i, n := range repeats {
		planes := 64 << i
		for b := range n {
			name := fmt.Sprintf("layer%d.%d", i+1, b)
			stride := 1
			if b == 0 && i > 0 {
				stride = 2
			}
			in := x
			x = block.body(g, in, name, planes, planes*baseWidth/64, stride)
			if b == 0 && (stride != 1 || g.Channels(in) != planes*block.expansion) {
				in = normed(g, in, infer.Conv{Name: name + ".downsample.0", Out: planes * block.expansion, Kernel: 1, Stride: stride}, name+".downsample.1")
			}
			x = g.ReLU(g.Add(x, in))
			g.Tap(name, x)
		}
		g.Tap(fmt.Sprintf("layer%d", i+1), x)
	}
	return g
}
