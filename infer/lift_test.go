package infer

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blemish/blemish/internal/race"
)

// Whatever a network's operators are written in, most of each export runs as a Network, and computes what the operators do one by one. Heads
// of 8 channels and 17 tokens leave blocks of 16 unfilled.
func TestFrontsComputeWhatOperatorsDo(t *testing.T) {
	steps := map[string]int{"vit": 2, "vit-decomposed": 2, "vit-tanh": 2, "vit-dynamo": 2, "convnext-dynamo": 7}
	files, err := filepath.Glob("testdata/onnx/*.onnx")
	if err != nil || len(files) < 16 {
		t.Fatalf("%d networks: %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file[:len(file)-len(".onnx")])
		g := readNetwork(t, file)
		network, err := Import(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		if network.fused != nil || network.int8 != nil || strings.HasPrefix(name, "int8") {
			continue
		}
		if network.front == nil {
			t.Errorf("%s runs operator by operator", name)
			continue
		}
		if len(network.steps) != steps[name] {
			t.Errorf("%s: %d operators follow, want %d", name, len(network.steps), steps[name])
		}
		plain, err := importPlain(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, w, ok := network.InputSize()
		if !ok {
			h, w = 40, 52
		}
		batch := picture(3, 3, h, w)
		got, err := network.Run(context.Background(), batch, 2)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.Run(context.Background(), batch, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			largest := 0.0
			for _, v := range want[i].Data {
				largest = max(largest, math.Abs(float64(v)))
			}
			for j, v := range want[i].Data {
				// float32 sums in other orders, through up to 60 layers: the same bound as against ONNX Runtime
				if d := math.Abs(float64(v - got[i].Data[j])); !(d <= 1e-4*largest) {
					t.Fatalf("%s: value %d is %v, want %v", name, j, got[i].Data[j], v)
				}
			}
		}
	}
}

// A network of which only results leave the plan allocates them alone.
func TestFrontsAllocateResultsAlone(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for _, name := range []string{"efficientnet", "convnext", "mobilenet-v3", "resnet-head"} {
		network, err := Import(readNetwork(t, filepath.Join("testdata", "onnx", name+".onnx")), nil)
		if err != nil {
			t.Fatal(err)
		}
		h, w, _ := network.InputSize()
		batch := picture(1, 3, h, w)
		for _, workers := range []int{1, 2} {
			allocations := testing.AllocsPerRun(20, func() {
				if _, err := network.Run(context.Background(), batch, workers); err != nil {
					t.Fatal(err)
				}
			})
			if allocations > 6 {
				t.Errorf("%s, %d workers: %v allocations a run, want at most 6", name, workers, allocations)
			}
		}
	}
}

// Activations are told by their values: those close to one another must stay apart.
func TestActivationsAreToldApart(t *testing.T) {
	for i, a := range activations {
		for j, b := range activations {
			same := true
			for _, v := range samples {
				same = same && math.Abs(a.f(v)-b.f(v)) <= 2e-6*max(1, math.Abs(v))
			}
			if same != (i == j) {
				t.Errorf("activations %d and %d are taken for one another", a.act, b.act)
			}
		}
	}
}
