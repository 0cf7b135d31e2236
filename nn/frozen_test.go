package nn_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// A frozen prefix records nothing, keeps none of its activations, and leaves the gradients of what comes after it as they were.
func TestFrozenPrefixesCostNothing(t *testing.T) {
	build := func() (body, head nn.Sequential) {
		rng := rand.New(rand.NewPCG(4, 4))
		same := autograd.Window{Pad: autograd.Pad(1)}
		body = nn.Sequential{nn.NewConv2d("conv1", 3, 8, 3, same, rng), nn.ReLU}
		for range 6 {
			body = append(body, nn.NewConv2d("conv", 8, 8, 3, same, rng), nn.ReLU)
		}
		return append(body, nn.AdaptiveAvgPool2d(2, 2), nn.Flatten), nn.Sequential{nn.NewLinear("fc1", 32, 16, rng), nn.ReLU, nn.NewLinear("fc2", 16, 2, rng)}
	}
	x := tensor.New(2, 3, 32, 32)
	nn.Uniform(x, 1, rand.New(rand.NewPCG(5, 5)))
	step := func(freeze bool) (tape *autograd.Tape, body, head nn.Sequential) {
		body, head = build()
		nn.Freeze(body, freeze)
		tape = autograd.NewTape()
		loss := tape.CrossEntropy(nn.Sequential{body, head}.Forward(tape, tape.Input(x)), []int{0, 1}, autograd.Classes{})
		if want := 4; freeze && tape.Recorded() != want { // linear, relu, linear, cross-entropy
			t.Errorf("%d operators are recorded, want the head's %d", tape.Recorded(), want)
		}
		if err := tape.Backward(loss); err != nil {
			t.Fatal(err)
		}
		return tape, body, head
	}
	whole, _, want := step(false)
	frozen, body, got := step(true)
	for i, p := range got.Params() {
		if p.Grad == nil || !slices.Equal(p.Grad.Data, want.Params()[i].Grad.Data) {
			t.Errorf("the gradient of %s is another one", p.Name)
		}
	}
	for _, p := range body.Params() {
		if p.Grad != nil {
			t.Errorf("%s is frozen and has a gradient", p.Name)
		}
	}
	// a convolution's input, its padded copy and its output: 3.1 activations; the first one's padded copy of pictures: 0.4; the head: 0.1
	const activation = 2 * 8 * 32 * 32
	if m := frozen.Memory(); m > 4*activation {
		t.Errorf("room for %d values, %.1f activations: the frozen layers' are kept", m, float64(m)/activation)
	}
	if m := whole.Memory(); m < 14*activation {
		t.Errorf("room for %d values, %.1f activations, is too little for training the whole: what does the test measure?", m, float64(m)/activation)
	}
}

// What a frozen layer computed stays as long as a recorded operator or a view needs it: the gradient of a head's weight is made from it.
func TestInputsOfTheFirstTrainedLayerStay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	body := nn.Sequential{nn.NewConv2d("conv", 1, 4, 3, autograd.Window{}, rng), nn.Flatten, nn.NewLinear("mix", 16, 16, rng)}
	head := nn.NewLinear("head", 16, 2, rng)
	x := tensor.New(3, 1, 4, 4)
	nn.Uniform(x, 1, rng)
	gradient := func(net nn.Module) []float32 {
		tape := autograd.NewTape()
		if err := tape.Backward(tape.CrossEntropy(net.Forward(tape, tape.Input(x)), []int{0, 1, 1}, autograd.Classes{})); err != nil {
			t.Fatal(err)
		}
		g := slices.Clone(head.Weight.Grad.Data)
		head.Weight.ZeroGrad()
		return g
	}
	want := gradient(nn.Sequential{body, nn.SiLU, head})
	nn.Freeze(body, true)
	if got := gradient(nn.Sequential{body, nn.SiLU, head}); !slices.Equal(got, want) {
		t.Errorf("%v, and unfrozen %v", got, want)
	}
	if got := gradient(nn.Sequential{body[0], body[1], body[2], nn.SiLU, nn.NewDropout(0), head}); !slices.Equal(got, want) {
		t.Errorf("%v, and unfrozen %v", got, want)
	}
}
