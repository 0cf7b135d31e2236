package explain

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// noise is detecttest.Noise, which lies above this package.
func noise(pattern uint32, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		x := uint32(i)*2654435761 + pattern*40503
		x ^= x >> 15
		x *= 2246822519
		x ^= x >> 13
		x *= 3266489917
		x ^= x >> 16
		t.Data[i] = float32(float64(x>>8)/(1<<23) - 1)
	}
	return t
}

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }

// network is the script's: seven modules, cut behind the pooling or behind the last ReLU.
func network() nn.Sequential {
	win := autograd.Window{Pad: autograd.Pad(1)}
	net := nn.Sequential{
		nn.NewConv2d("0", 3, 6, 3, win, rng()), nn.ReLU, nn.MaxPool2d(2, autograd.Window{Stride: 2}),
		nn.NewConv2d("3", 6, 8, 3, win, rng()), nn.ReLU, nn.GlobalAvgPool, nn.NewLinear("7", 8, 3, rng()),
	}
	for k, p := range net.Params() {
		copy(p.Value.Data, noise(uint32(10+k), p.Value.Shape...).Data)
	}
	nn.Freeze(net, true)
	return net
}

type golden struct {
	Cases []struct {
		Layer, Question string
		Logits          []float64
		Maps            map[Method]struct {
			Shape []int
			Data  []float64
		}
	}
	CAM []float64
}

func goldens(t *testing.T) golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// near allows float32's rounding of sums of some hundred terms of size 1 against the script's float64.
func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Abs(float64(got[i])-want[i]) > 2e-6*(1+math.Abs(want[i])) {
			t.Fatalf("%s: value %d is %v, PyTorch's %v", what, i, got[i], want[i])
		}
	}
}

func features(net nn.Sequential, upto int) *tensor.Tensor {
	t := autograd.NewTape()
	return t.Keep(net[:upto].Forward(t, t.Input(noise(1, 1, 3, 12, 16)))).Value.Clone()
}

func TestMapsAgreeWithPyTorch(t *testing.T) {
	net, g := network(), goldens(t)
	for _, c := range g.Cases {
		upto, ask := map[string]int{"pool": 3, "last": 5}[c.Layer], Class(2)
		if c.Question == "against 0" {
			ask = Against(0)
		}
		a := features(net, upto)
		logits, gradients, err := Gradients(context.Background(), net[upto:], a, ask, 1)
		if err != nil {
			t.Fatal(err)
		}
		name := c.Layer + ", " + c.Question
		near(t, name+": logits", logits.Data, c.Logits)
		if len(c.Maps) != len(Methods()) {
			t.Errorf("%s: %d maps for %d methods", name, len(c.Maps), len(Methods()))
		}
		for how, want := range c.Maps {
			m, err := Map(how, a.Item(0), gradients.Item(0))
			if err != nil {
				t.Fatal(err)
			}
			if m.Shape[0] != want.Shape[0] || m.Shape[1] != want.Shape[1] {
				t.Errorf("%s, %s: shape %v, want %v", name, how, m.Shape, want.Shape)
			}
			near(t, name+", "+string(how), m.Data, want.Data)
		}
	}
	head := net[6].(*nn.Linear)
	near(t, "CAM", CAM(features(net, 5).Item(0), head.Weight.Value.Data[2*8:]).Data, g.CAM)
}

func TestABatchIsExplainedPictureByPicture(t *testing.T) {
	net := network()
	a := noise(2, 3, 6, 4, 4)
	_, together, err := Gradients(context.Background(), net[3:], a, Against(1), 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, alone, err := Gradients(context.Background(), net[3:], a.Item(i).Clone().Reshape(1, 6, 4, 4), Against(1), 1)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range alone.Data {
			if together.Item(i).Data[k] != v {
				t.Fatalf("picture %d: gradient %d is %v in a batch, %v alone", i, k, together.Item(i).Data[k], v)
			}
		}
	}
}

func TestBoxesEncloseWhatStandsOut(t *testing.T) {
	m := tensor.From([]float32{
		0, 0, 0, 0, 0,
		0, 4, 3, 0, 2,
		0, 0, 3, 0, 2,
	}, 3, 5)
	want := []metric.Region{{X: 1, Y: 1, Width: 2, Height: 2, Score: 4}}
	if got := Boxes(m, 0.6); len(got) != 1 || got[0] != want[0] {
		t.Errorf("above 60 %%: %v, want %v", got, want)
	}
	if got := Boxes(m, 0.4); len(got) != 2 || got[1] != (metric.Region{X: 4, Y: 1, Width: 1, Height: 2, Score: 2}) {
		t.Errorf("above 40 %%: %v", got)
	}
	if got := Boxes(tensor.From([]float32{1, 1}, 1, 2), 0.5); len(got) != 0 {
		t.Errorf("a flat map has boxes: %v", got)
	}
}

func TestUpsampleKeepsTheMeanAndThePlace(t *testing.T) {
	m := tensor.New(8, 8)
	m.Data[4*8+3] = 64
	up := Upsample(m, 64, 64)
	sum, peak := 0.0, 0
	for i, v := range up.Data {
		sum += float64(v)
		if v > up.Data[peak] {
			peak = i
		}
	}
	// an inner position's share of the picture is 1/64 however it is smoothed
	if mean := sum / float64(len(up.Data)); math.Abs(mean-1) > 1e-3 {
		t.Errorf("mean %v, want 1", mean)
	}
	if x, y := peak%64, peak/64; x < 27 || x > 28 || y < 35 || y > 36 { // the centre of position (3,4)
		t.Errorf("peak at (%d,%d), want (27.5,35.5)", x, y)
	}
}

func TestWhatCannotBeExplained(t *testing.T) {
	x := tensor.New(2, 3, 3)
	var shape *fault.ShapeError
	if _, err := Map(GradCAM, x, tensor.New(2, 3, 2)); !errors.As(err, &shape) {
		t.Errorf("gradients of another shape: %v", err)
	}
	if _, err := Map(GradCAM, tensor.New(3, 3), tensor.New(3, 3)); !errors.As(err, &shape) {
		t.Errorf("features without channels: %v", err)
	}
	var config *fault.ConfigError
	if _, err := Map("cam+", x, x); !errors.As(err, &config) {
		t.Errorf("unknown method: %v", err)
	}
	if _, _, err := Gradients(context.Background(), network()[3:], tensor.New(1, 5, 4, 4), Class(0), 1); !errors.As(err, &shape) {
		t.Errorf("features of another layer: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Gradients(ctx, network()[3:], tensor.New(1, 6, 4, 4), Class(0), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
