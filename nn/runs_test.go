package nn_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// stream is the generator of testdata/gen/runs.py: Knuth's MMIX, the upper 24 bits, from FNV-1a of a name.
type stream uint64

func newStream(name string) *stream {
	s := stream(14695981039346656037)
	for _, b := range []byte(name) {
		s = (s ^ stream(b)) * 1099511628211
	}
	return &s
}

func (s *stream) next() int {
	*s = *s*6364136223846793005 + 1442695040888963407
	return int(*s >> 40)
}

func (s *stream) fill(x *tensor.Tensor, bound, around float64) *tensor.Tensor {
	for i := range x.Data {
		x.Data[i] = float32(around + (2*(float64(s.next())/(1<<24))-1)*bound)
	}
	return x
}

func (s *stream) order(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := s.next() % (i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// start sets weights within 1/√fan_in, and vectors within 0.1 around what a new layer has: 1 for norms' weights, 0.
func start(m nn.Module) {
	norms := map[*autograd.Var]bool{}
	nn.Walk(m, func(m nn.Module) {
		switch l := m.(type) {
		case *nn.BatchNorm:
			norms[l.Weight] = true
		case *nn.LayerNorm:
			norms[l.Weight] = true
		}
	})
	for _, p := range m.Params() {
		shape := p.Value.Shape
		switch {
		case len(shape) > 1:
			newStream(p.Name).fill(p.Value, 1/math.Sqrt(float64(len(p.Value.Data)/shape[0])), 0)
		case norms[p]:
			newStream(p.Name).fill(p.Value, 0.1, 1)
		default:
			newStream(p.Name).fill(p.Value, 0.1, 0)
		}
	}
}

// curve is PyTorch's, of testdata/runs.json.
type curve struct {
	Losses   []float64
	Rounding float64 // how far PyTorch's own float32 is from its float64, relatively, at most
}

func golden(t *testing.T, name string) curve {
	t.Helper()
	raw, err := os.ReadFile("testdata/runs.json")
	if err != nil {
		t.Fatal(err)
	}
	var runs map[string]curve
	if err := json.Unmarshal(raw, &runs); err != nil {
		t.Fatal(err)
	}
	return runs[name]
}

// apart is the largest relative difference of two curves; infinite if they are not of one length or not numbers.
func apart(got, want []float64) float64 {
	if len(got) != len(want) || len(got) == 0 {
		return math.Inf(1)
	}
	most := 0.0
	for i, v := range want {
		d := math.Abs(got[i]-v) / math.Abs(v)
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		most = max(most, d)
	}
	return most
}

func TestApartFindsDifferences(t *testing.T) {
	if apart([]float64{1, 2}, []float64{1, 2}) != 0 || apart([]float64{1, 2.02}, []float64{1, 2}) < 0.009 ||
		!math.IsInf(apart([]float64{1}, []float64{1, 2}), 1) || !math.IsInf(apart([]float64{math.NaN()}, []float64{1}), 1) {
		t.Error("the comparison misses differences")
	}
}

// agrees compares curves. The tolerances are some five times what PyTorch's own float32 strays from its float64 in the same run: both round,
// each in its own order, and nothing else may differ.
func agrees(t *testing.T, name string, got []float64, tolerance float64) {
	t.Helper()
	want := golden(t, name)
	d := apart(got, want.Losses)
	t.Logf("%s: %d losses from %.6g to %.6g, at most %.2g from PyTorch's (whose float32 is %.2g from its float64)",
		name, len(got), got[0], got[len(got)-1], d, want.Rounding)
	if !(d <= tolerance) {
		t.Errorf("%s: losses differ by %.3g from PyTorch's, more than %.3g", name, d, tolerance)
	}
}

// digits is the data of the autoencoder (3823, 65): pixels from 0 to 1, and the digit likewise.
func digits(t *testing.T) *tensor.Tensor {
	t.Helper()
	dir := os.Getenv("BLEMISH_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "data", "digits", "optdigits.tra"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: set BLEMISH_SHARED", err)
		}
		t.Skipf("%v: set BLEMISH_SHARED", err)
	}
	var data []float32
	for i, field := range strings.FieldsFunc(string(raw), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		v, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		most := float32(16)
		if i%65 == 64 {
			most = 9
		}
		data = append(data, float32(v)/most)
	}
	return tensor.From(data, len(data)/65, 65)
}

// autoencoder is 65-48-32-8-32-48-65 with tanh between the layers and a sigmoid at the end, named as in a torch.nn.Sequential.
func autoencoder() nn.Sequential {
	rng := rand.New(rand.NewPCG(1, 1))
	var net nn.Sequential
	sizes := []int{65, 48, 32, 8, 32, 48, 65}
	for i := range 6 {
		var activation nn.Module = nn.Tanh
		if i == 5 {
			activation = nn.Sigmoid
		}
		net = append(net, nn.NewLinear(strconv.Itoa(2*i), sizes[i], sizes[i+1], rng), activation)
	}
	return net
}

func TestDigitsAutoencoderLearnsAsPyTorchs(t *testing.T) {
	if testing.Short() {
		t.Skip("76,600 steps")
	}
	x := digits(t)
	net := autoencoder()
	start(net)
	optimizer, err := nn.NewSGD(nn.OneGroup(net, 0.002), nn.SGDConfig{})
	if err != nil {
		t.Fatal(err)
	}
	tape := autograd.NewTape()
	orders := newStream("order")
	batch := tensor.New(10, 65)
	var losses []float64
	for range 200 {
		total, steps := 0.0, 0
		order := orders.order(x.Shape[0])
		for at := 0; at < len(order); at += 10 {
			rows := order[at:min(at+10, len(order))]
			b := tensor.From(batch.Data[:len(rows)*65], len(rows), 65)
			for i, row := range rows {
				copy(b.Data[i*65:(i+1)*65], x.Data[row*65:(row+1)*65])
			}
			optimizer.ZeroGrad()
			in := tape.Input(b)
			loss := tape.MSE(net.Forward(tape, in), in)
			total += float64(loss.Value.Data[0])
			steps++
			if err := tape.Backward(loss); err != nil {
				t.Fatal(err)
			}
			optimizer.Step()
			tape.Reset()
		}
		losses = append(losses, total/float64(steps))
	}
	agrees(t, "digits", losses, 1e-6)
}

// pictures are n noisy pictures of 4 classes: one quadrant of each is brighter.
func pictures(images, labels *stream, n int) (*tensor.Tensor, []int) {
	x := images.fill(tensor.New(n, 3, 16, 16), 1, 0)
	y := make([]int, n)
	for i := range y {
		c := labels.next() % 4
		y[i] = c
		for channel := range 3 {
			for row := c / 2 * 8; row < c/2*8+8; row++ {
				for column := c % 2 * 8; column < c%2*8+8; column++ {
					x.Data[((i*3+channel)*16+row)*16+column] += 0.5
				}
			}
		}
	}
	return x, y
}

func classify(t *testing.T, net nn.Module, optimizer nn.Optimizer, tape *autograd.Tape) []float64 {
	t.Helper()
	images, labels := newStream("images"), newStream("labels")
	var losses []float64
	for range 50 {
		x, y := pictures(images, labels, 8)
		optimizer.ZeroGrad()
		loss := tape.CrossEntropy(net.Forward(tape, tape.Input(x)), y, autograd.Classes{})
		losses = append(losses, float64(loss.Value.Data[0]))
		if err := tape.Backward(loss); err != nil {
			t.Fatal(err)
		}
		optimizer.Step()
		tape.Reset()
	}
	return losses
}

// smallResNet is a stem, a block that keeps the size, one that halves it, and a classifier of 4 classes.
func smallResNet(t *testing.T) nn.Sequential {
	t.Helper()
	g, x := infer.NewGraph(3)
	normed := func(x infer.Value, c infer.Conv, norm string) infer.Value {
		return g.BatchNorm(g.Conv(x, c), norm, 1e-5)
	}
	block := func(x infer.Value, name string, outs, stride int) infer.Value {
		y := g.ReLU(normed(x, infer.Conv{Name: name + ".conv1", Out: outs, Kernel: 3, Stride: stride, Pad: 1}, name+".bn1"))
		y = normed(y, infer.Conv{Name: name + ".conv2", Out: outs, Kernel: 3, Pad: 1}, name+".bn2")
		if stride > 1 {
			x = normed(x, infer.Conv{Name: name + ".downsample.0", Out: outs, Kernel: 1, Stride: stride}, name+".downsample.1")
		}
		return g.ReLU(g.Add(y, x))
	}
	x = g.ReLU(normed(x, infer.Conv{Name: "conv1", Out: 8, Kernel: 3, Pad: 1}, "bn1"))
	x = g.MaxPool(x, infer.Pool{Kernel: 3, Stride: 2, Pad: 1})
	x = block(block(x, "layer1.0", 8, 1), "layer2.0", 16, 2)
	g.Tap("layer2", x)
	rng := rand.New(rand.NewPCG(1, 1))
	body, err := nn.NewGraph(g, "layer2", rng)
	if err != nil {
		t.Fatal(err)
	}
	return nn.Sequential{body, nn.GlobalAvgPool, nn.NewLinear("fc", 16, 4, rng)}
}

func TestSmallResNetLearnsAsPyTorchs(t *testing.T) {
	net := smallResNet(t)
	start(net)
	optimizer, err := nn.NewSGD(nn.OneGroup(net, 0.05), nn.SGDConfig{Momentum: 0.9, WeightDecay: 1e-4})
	if err != nil {
		t.Fatal(err)
	}
	tape := autograd.NewTape()
	losses := classify(t, net, optimizer, tape)
	nn.SetTraining(net, false) // and by the running statistics
	x, y := pictures(newStream("validation"), newStream("validation labels"), 8)
	tape.NoGrad(func() {
		loss := tape.CrossEntropy(net.Forward(tape, tape.Input(x)), y, autograd.Classes{})
		losses = append(losses, float64(loss.Value.Data[0]))
	})
	agrees(t, "resnet", losses, 1e-5)
}

// smallViT is a vision transformer: 16 patches and a class token of 32 values, two blocks, a classifier of 4 classes.
type smallViT struct {
	class, position *autograd.Var // (1, 1, 32), (1, 17, 32)
	patches         *nn.Conv2d
	blocks          nn.Sequential
	norm            *nn.LayerNorm
	head            *nn.Linear
}

func newSmallViT() *smallViT {
	rng := rand.New(rand.NewPCG(1, 1))
	v := &smallViT{
		class:    autograd.NewParam("class_token", tensor.New(1, 1, 32)),
		position: autograd.NewParam("pos_embedding", tensor.New(1, 17, 32)),
		patches:  nn.NewConv2d("conv_proj", 3, 32, 4, autograd.Window{Stride: 4}, rng),
		norm:     nn.NewLayerNorm("ln", 32), head: nn.NewLinear("head", 32, 4, rng),
	}
	v.norm.Eps = 1e-6
	for i := range 2 {
		v.blocks = append(v.blocks, nn.NewTransformerBlock(fmt.Sprintf("layers.%d", i), 32, 4, 64, rng))
	}
	return v
}

func (v *smallViT) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	n := x.Shape()[0]
	x = t.Permute(t.Reshape(v.patches.Forward(t, x), n, 32, 16), 0, 2, 1)        // (N, 16, 32)
	class := t.Add(t.Input(tensor.New(n, 1, 32)), v.class)                       // (N, 1, 32)
	x = v.blocks.Forward(t, t.Add(t.Concat(1, class, x), v.position))            // (N, 17, 32)
	return v.head.Forward(t, t.Flatten(t.Narrow(v.norm.Forward(t, x), 1, 0, 1))) // (N, 4)
}

func (v *smallViT) Params() []*autograd.Var {
	return append([]*autograd.Var{v.class, v.position}, nn.Sequential(v.Children()).Params()...)
}

func (v *smallViT) Children() []nn.Module { return []nn.Module{v.patches, v.blocks, v.norm, v.head} }

func TestSmallViTLearnsAsPyTorchs(t *testing.T) {
	net := newSmallViT()
	start(net)
	c := nn.DefaultAdamW()
	c.WeightDecay = 0.05
	optimizer, err := nn.NewAdam(nn.OneGroup(net, 3e-3), c)
	if err != nil {
		t.Fatal(err)
	}
	agrees(t, "vit", classify(t, net, optimizer, autograd.NewTape()), 2e-6)
}
