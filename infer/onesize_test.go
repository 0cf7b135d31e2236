package infer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
)

// A vision transformer whose export leaves the size open, but holds positions for one, is known to take that one: 24 pixels are those that
// testdata/gen/opsets.py exports it for.
func TestOpenSizesThatPositionsTie(t *testing.T) {
	files := packedNetworks(t)
	read := func(name string) *checkpoint.ONNX {
		g, err := checkpoint.ReadONNX(files[name+".onnx"], nil)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for name, ties := range map[string]bool{"torchvision-vit-17": true, "vit-11": true, "vit-17": true, "vit-21-dynamo": true, "resnet-17": false, "mobilenetv3-12": false} {
		fixed, open := read(name), read(name)
		in := &open.Inputs[0]
		if name == "torchvision-vit-17" && !slices.Equal(in.Shape, []int{-1, 3, -1, -1}) {
			t.Fatalf("%s has input %v", name, in.Shape)
		}
		in.Shape = []int{-1, 3, -1, -1}
		if h, w, ok := InputSize(open); ok != ties || ok && (h != 24 || w != 24) {
			t.Errorf("%s is for pictures of %dx%d, %v", name, h, w, ok)
		}
		network, err := Import(open, nil)
		if err != nil {
			t.Fatal(err)
		}
		if h, w, ok := network.OnlySize(); ok != ties || ok && (h != 24 || w != 24) {
			t.Errorf("%s takes pictures of %dx%d, %v", name, h, w, ok)
		}
		if !ties {
			continue
		}
		_, err = network.Run(context.Background(), picture(1, 3, 24, 48), 1)
		var unsupported *fault.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "a 48x24 picture") || !strings.Contains(err.Error(), "--size 24x24") || !strings.Contains(err.Error(), "dynamic axes") {
			t.Errorf("%s: %v", name, err)
		}
		out, err := network.Run(context.Background(), picture(1, 3, 24, 24), 1)
		if err != nil {
			t.Fatal(err)
		}
		if network, err = Import(fixed, nil); err != nil {
			t.Fatal(err)
		}
		want, err := network.Run(context.Background(), picture(1, 3, 24, 24), 1)
		if err != nil || !slices.Equal(out[0].Data, want[0].Data) {
			t.Errorf("%s computes something else with its size left open: %v", name, err)
		}
	}
}

// Positions without a class token tie a network to its size even where nothing after them does.
func TestPositionsTieANetworkToItsSize(t *testing.T) {
	reshape := wholes(checkpoint.I64, []int{3}, 1, 4, -1)
	g := sketch{
		input: []int{1, 3, 32, 32},
		nodes: []checkpoint.ONNXNode{
			sketchNode("a = Conv(x,w)", map[string]checkpoint.ONNXAttribute{"strides": {Ints: []int64{8, 8}}}),
			sketchNode("b = Reshape(a,shape)", nil),
			sketchNode("c = Transpose(b)", map[string]checkpoint.ONNXAttribute{"perm": {Ints: []int64{0, 2, 1}}}),
			sketchNode("y = Add(c,positions)", nil),
		},
		constants: map[string]*checkpoint.ONNXTensor{"w": floats([]int{4, 3, 8, 8}), "shape": reshape, "positions": floats([]int{1, 16, 4})},
		outputs:   []string{"y"},
	}.network()
	network, err := Import(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h, w, ok := network.OnlySize(); !ok || h != 32 || w != 32 || len(network.steps) > 0 {
		t.Errorf("it takes pictures of %dx%d alone: %v; %d steps are left", h, w, ok, len(network.steps))
	}
}
