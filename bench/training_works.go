package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// trainingJob is what both sides of the comparison of training are given.
type trainingJob struct {
	Work    string `json:"work"`
	Threads int    `json:"threads"`
	Steps   int    `json:"steps"` // that are timed, after one that is not
}

// trainingFigures are what a side measures of itself.
type trainingFigures struct {
	Seconds float64 `json:"seconds"` // the median of the steps; for digits the sum of the epochs
	Loss    float64 `json:"loss"`    // the last one
	PeakMiB float64 `json:"peak_mib"`
}

// trainingWork is a network, its data and its loss.
type trainingWork struct {
	name, title string
	steps       int     // of a round
	goal        float64 // ratio Blemish/PyTorch
	start       func(tape *autograd.Tape) (step func() (float64, error), err error)
}

var trainingWorks = []trainingWork{
	{"digits", "digits autoencoder 65-48-32-8-32-48-65, 100 epochs of 3,823 rows at batch 10, SGD", 100, 0.1, digitsWork},
	{"vgg16-head", "VGG-16 head 25088-4096-4096-2 on frozen features (206, 512, 2, 2), a step, SGD with momentum", 3, 0.9, vggHeadWork},
	{"conv-autoencoder", "convolutional autoencoder 3-32-64-128-64-32-3, batch 16 at 128², a step, Adam", 9, 0.9, autoencoderWork},
	{"resnet18", "ResNet-18, batch 8 at 224², a step of all of it, SGD with momentum", 5, 1, resnetWork},
}

// trainingSide does what training.py does, and prints the same figures.
func trainingSide(raw string) error {
	var j trainingJob
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		return err
	}
	i := slices.IndexFunc(trainingWorks, func(w trainingWork) bool { return w.name == j.Work })
	if i < 0 {
		return fmt.Errorf("no work is called %q", j.Work)
	}
	runtime.GOMAXPROCS(j.Threads)
	tape := autograd.NewTape()
	tape.Workers = j.Threads
	step, err := trainingWorks[i].start(tape)
	if err != nil {
		return err
	}
	if _, err := step(); err != nil { // memory is found and code is warm
		return err
	}
	var f trainingFigures
	var times []float64
	total := 0.0
	for range j.Steps {
		start := time.Now()
		if f.Loss, err = step(); err != nil {
			return err
		}
		times = append(times, time.Since(start).Seconds())
		total += times[len(times)-1]
	}
	slices.Sort(times)
	f.Seconds = times[len(times)/2]
	if j.Work == "digits" {
		f.Seconds = total
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	f.PeakMiB = float64(usage.Maxrss) / 1024
	out, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(out))
	return err
}

// trainingStep is a step of a network: forward, loss, backward, update.
func trainingStep(tape *autograd.Tape, optimizer nn.Optimizer, loss func() *autograd.Var) func() (float64, error) {
	return func() (float64, error) {
		optimizer.ZeroGrad()
		l := loss()
		value := float64(l.Value.Data[0])
		if err := tape.Backward(l); err != nil {
			return 0, err
		}
		optimizer.Step()
		tape.Reset()
		return value, nil
	}
}

func uniformData(rng *rand.Rand, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = rng.Float32()
	}
	return x
}

func digitsWork(tape *autograd.Tape) (func() (float64, error), error) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := uniformData(rng, 3823, 65)
	var net nn.Sequential
	sizes := []int{65, 48, 32, 8, 32, 48, 65}
	for i := range 6 {
		var activation nn.Module = nn.Tanh
		if i == 5 {
			activation = nn.Sigmoid
		}
		net = append(net, nn.NewLinear(strconv.Itoa(2*i), sizes[i], sizes[i+1], rng), activation)
	}
	optimizer, err := nn.NewSGD(nn.OneGroup(net, 0.002), nn.SGDConfig{})
	if err != nil {
		return nil, err
	}
	var batches []*tensor.Tensor // the order is no part of the work
	for at := 0; at < 3823; at += 10 {
		n := min(10, 3823-at)
		batches = append(batches, tensor.From(x.Data[at*65:(at+n)*65], n, 65))
	}
	var batch *tensor.Tensor
	step := trainingStep(tape, optimizer, func() *autograd.Var {
		in := tape.Input(batch)
		return tape.MSE(net.Forward(tape, in), in)
	})
	return func() (loss float64, err error) { // an epoch
		for _, batch = range batches {
			if loss, err = step(); err != nil {
				return 0, err
			}
		}
		return loss, nil
	}, nil
}

func vggHeadWork(tape *autograd.Tape) (func() (float64, error), error) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y := uniformData(rng, 206, 512, 2, 2), make([]int, 206)
	for i := range y {
		y[i] = i % 2
	}
	net := nn.Sequential{
		nn.AdaptiveAvgPool2d(7, 7), nn.Flatten, nn.NewLinear("0", 25088, 4096, rng), nn.ReLU, nn.NewDropout(0.5),
		nn.NewLinear("3", 4096, 4096, rng), nn.ReLU, nn.NewDropout(0.5), nn.NewLinear("6", 4096, 2, rng),
	}
	optimizer, err := nn.NewSGD(nn.OneGroup(net, 1e-3), nn.SGDConfig{Momentum: 0.9})
	if err != nil {
		return nil, err
	}
	return trainingStep(tape, optimizer, func() *autograd.Var {
		return tape.CrossEntropy(net.Forward(tape, tape.Input(x)), y, autograd.Classes{})
	}), nil
}

func autoencoderWork(tape *autograd.Tape) (func() (float64, error), error) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := uniformData(rng, 16, 3, 128, 128)
	half := autograd.Window{Stride: 2, Pad: autograd.Pad(1)}
	net := nn.Sequential{
		nn.NewConv2d("0", 3, 32, 3, half, rng), nn.ReLU, nn.NewConv2d("2", 32, 64, 3, half, rng), nn.ReLU, nn.NewConv2d("4", 64, 128, 3, half, rng), nn.ReLU,
		nn.NewConvTranspose2d("6", 128, 64, 3, half, 1, rng), nn.ReLU, nn.NewConvTranspose2d("8", 64, 32, 3, half, 1, rng), nn.ReLU,
		nn.NewConvTranspose2d("10", 32, 3, 3, half, 1, rng), nn.Sigmoid,
	}
	optimizer, err := nn.NewAdam(nn.OneGroup(net, 1e-3), nn.DefaultAdam())
	if err != nil {
		return nil, err
	}
	return trainingStep(tape, optimizer, func() *autograd.Var {
		in := tape.Input(x)
		return tape.MSE(net.Forward(tape, in), in)
	}), nil
}

func resnetWork(tape *autograd.Tape) (func() (float64, error), error) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y := uniformData(rng, 8, 3, 224, 224), []int{0, 1, 2, 3, 4, 5, 6, 7}
	spec, err := backbone.Lookup("resnet18")
	if err != nil {
		return nil, err
	}
	body, err := nn.NewGraph(spec.Graph(), "layer4", rng)
	if err != nil {
		return nil, err
	}
	net := nn.Sequential{body, nn.GlobalAvgPool, nn.NewLinear("fc", 512, 1000, rng)}
	optimizer, err := nn.NewSGD(nn.OneGroup(net, 1e-2), nn.SGDConfig{Momentum: 0.9})
	if err != nil {
		return nil, err
	}
	return trainingStep(tape, optimizer, func() *autograd.Var {
		return tape.CrossEntropy(net.Forward(tape, tape.Input(x)), y, autograd.Classes{})
	}), nil
}
