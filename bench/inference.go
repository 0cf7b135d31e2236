package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
)

// contest is one piece of work for both sides.
type contest struct {
	Work string  `json:"work"`
	Peer string  `json:"peer"`
	Goal float64 `json:"goal"` // ratio Blemish/peer to stay under
}

var contests = []contest{
	{"conv 64@56", "ONNX Runtime", 0.6}, {"conv 128@28", "ONNX Runtime", 0.5}, {"conv 256@14", "ONNX Runtime", 0.7}, {"conv 512@7", "ONNX Runtime", 1},
	{"vgg16", "ONNX Runtime", 0.7}, {"resnet18", "ONNX Runtime", 0.8}, {"resnet50", "ONNX Runtime", 0.9}, {"wide-resnet50-2", "ONNX Runtime", 0.9},
	{"efficientnet-lite0", "ONNX Runtime", 1}, {"mobilenet-v2", "ONNX Runtime", 1}, {"vit-s14", "ONNX Runtime", 1},
	{"mobilenet-v3", "ONNX Runtime", 1}, {"convnext-tiny", "ONNX Runtime", 1},
	{"nearest", "torch", 0.3}, {"nearest", "faiss", 0.8},
}

// outcome is a contest's figures for a number of threads.
type outcome struct {
	contest
	Threads int     `json:"threads"`
	Own     float64 `json:"blemish_ms"` // medians
	Other   float64 `json:"peer_ms"`
	Ratio   float64 `json:"ratio"`
}

// inference compares networks, convolutions and nearest neighbours with their peers, a few runs of each side in turn:
//
//	go run . inference -python /tmp/peers/bin/python
//
// Networks are computed as far as their last feature map, on random weights: VGG-16 for 8 pictures of 64x64, the others for one of 224x224.
func inference(args []string) error {
	fl := flag.NewFlagSet("inference", flag.ContinueOnError)
	python := fl.String("python", "python3", "interpreter with onnxruntime, torch, torchvision, timm and faiss-cpu")
	rounds := fl.Int("rounds", 7, "turns of each side")
	runs := fl.Int("runs", 3, "runs a turn")
	pause := fl.Bool("pause", false, "wait before each run, as where pictures come one at a time: threads sleep and caches are cold")
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	only := fl.String("only", "", "works to run whose names contain this")
	layers := fl.Bool("layers", false, "print what each layer of Blemish's networks takes, and no peer")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *layers {
		return printLayers(*python, *only)
	}
	peer, err := startPeer(*python, "inference.py")
	if err != nil {
		return err
	}
	defer peer.stop()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if !*asJSON {
		fmt.Fprintln(w, "work\tpeer\tthreads\tBlemish, ms\tpeer, ms\tratio\tgoal")
	}
	for _, c := range contests {
		if !strings.Contains(c.Work, *only) {
			continue
		}
		run, err := own(c.Work, peer)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Work, err)
		}
		for _, threads := range []int{2, 1} {
			o := outcome{contest: c, Threads: threads}
			var ours, theirs []float64
			run(threads) // warm up
			for range *rounds {
				ms, err := peer.time(c, threads, *runs, *pause)
				if err != nil {
					return fmt.Errorf("%s: %w", c.Work, err)
				}
				theirs = append(theirs, ms...)
				time.Sleep(peerSpins)
				if !*pause {
					for end := time.Now().Add(warm); time.Now().Before(end); {
						run(threads)
					}
				}
				for range *runs {
					if *pause {
						time.Sleep(peerSpins)
					}
					start := time.Now()
					run(threads)
					ours = append(ours, 1e3*time.Since(start).Seconds())
				}
			}
			o.Own, o.Other = middle(ours), middle(theirs)
			o.Ratio = o.Own / o.Other
			if *asJSON {
				if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%.3g\t%.3g\t%.2f\t%g\n", c.Work, c.Peer, threads, o.Own, o.Other, o.Ratio, c.Goal)
		}
	}
	return w.Flush()
}

// warm is how long a side runs before it is timed: clocks rise, and caches fill with what it needs.
const warm = 50 * time.Millisecond

// peerSpins is longer than a peer's workers stay awake.
const peerSpins = 40 * time.Millisecond

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// imported are the works whose network Blemish reads from the peer's export.
var imported = []string{"vit-s14", "mobilenet-v3", "convnext-tiny"}

// importedNetwork reads a work's network as the peer exports it.
func importedNetwork(work string, p *peer) (*infer.Imported, *tensor.Tensor, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "network.onnx")
	if err := p.ask(map[string]any{"work": work, "export": path}, new(any)); err != nil {
		return nil, nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	g, err := checkpoint.ReadONNX(raw, nil)
	if err != nil {
		return nil, nil, err
	}
	n, err := infer.Import(g, nil)
	return n, normal(rand.New(rand.NewPCG(1, 0)), 1, 3, 224, 224), err
}

// own prepares Blemish's side of a work.
func own(work string, p *peer) (func(threads int), error) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 0))
	if work == "nearest" {
		index, queries := knn.NewIndex(normal(rng, 16384, 384).Data, 384), normal(rng, 1024, 384)
		return func(threads int) {
			if _, err := index.Nearest(ctx, queries.Data, threads); err != nil {
				panic(err)
			}
		}, nil
	}
	if slices.Contains(imported, work) {
		n, x, err := importedNetwork(work, p)
		return func(threads int) {
			if _, err := n.Run(ctx, x, threads); err != nil {
				panic(err)
			}
		}, err
	}
	n, x, err := ownNetwork(work)
	if err != nil {
		return nil, err
	}
	return func(threads int) {
		if _, err := n.Run(ctx, x, threads); err != nil {
			panic(err)
		}
	}, nil
}

// normal is a tensor of random numbers.
func normal(rng *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		t.Data[i] = float32(rng.NormFloat64())
	}
	return t
}

// ownNetwork is a work's network and its input.
func ownNetwork(work string) (*infer.Network, *tensor.Tensor, error) {
	rng := rand.New(rand.NewPCG(1, 0))
	g, x := (*infer.Graph)(nil), (*tensor.Tensor)(nil)
	if size, ok := strings.CutPrefix(work, "conv "); ok {
		c, s, _ := strings.Cut(size, "@")
		channels, err := strconv.Atoi(c)
		if err != nil {
			return nil, nil, err
		}
		side, err := strconv.Atoi(s)
		if err != nil {
			return nil, nil, err
		}
		var in infer.Value
		g, in = infer.NewGraph(channels)
		g.Tap("out", g.Conv(in, infer.Conv{Name: "conv", Out: channels, Kernel: 3, Pad: 1, Bias: infer.WithBias}))
		x = normal(rng, 1, channels, side, side)
	} else {
		spec, err := backbone.Lookup(work)
		if err != nil {
			return nil, nil, err
		}
		g, x = spec.Graph(), normal(rng, 1, 3, 224, 224)
		if work == "vgg16" {
			x = normal(rng, 8, 3, 64, 64)
		}
	}
	taps := g.Taps()
	n, err := compiled(g, rng, taps[len(taps)-1].Name)
	return n, x, err
}

// compiled is a network with random weights, which keep activations as large as they are.
func compiled(g *infer.Graph, rng *rand.Rand, taps ...string) (*infer.Network, error) {
	params, err := g.Params(taps)
	if err != nil {
		return nil, err
	}
	weights := map[string]*tensor.Tensor{}
	for _, p := range params {
		t := normal(rng, p.Shape...)
		scale := float32(1)
		if len(p.Shape) == 4 {
			scale = float32(math.Sqrt(2 / float64(p.Shape[1]*p.Shape[2]*p.Shape[3])))
		}
		for i, v := range t.Data {
			t.Data[i] = v * scale
			if strings.HasSuffix(p.Name, "running_var") {
				t.Data[i] = 1
			}
		}
		weights[p.Name] = t
	}
	return infer.Compile(g, func(name string) (*tensor.Tensor, error) { return weights[name], nil }, taps)
}

// printLayers prints the times of each layer, on one thread and two.
func printLayers(python, only string) error {
	peer, err := startPeer(python, "inference.py")
	if err != nil {
		return err
	}
	defer peer.stop()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, c := range contests {
		if !strings.Contains(c.Work, only) || c.Work == "nearest" {
			continue
		}
		var n interface {
			Profile(picture *tensor.Tensor, workers, runs int) ([]infer.LayerTime, error)
		}
		var x *tensor.Tensor
		if slices.Contains(imported, c.Work) {
			n, x, err = importedNetwork(c.Work, peer)
		} else {
			n, x, err = ownNetwork(c.Work)
		}
		if err != nil {
			return err
		}
		x = tensor.From(x.Item(0).Data, append([]int{1}, x.Shape[1:]...)...)
		one, err := n.Profile(x, 1, 15)
		if err != nil {
			return err
		}
		two, err := n.Profile(x, 2, 15)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\tms\tGFLOP/s\tms, 2 threads\tGFLOP/s\n", c.Work)
		var sums [2]float64
		for i, l := range one {
			fmt.Fprintf(w, "%s\t%.3f\t%.1f\t%.3f\t%.1f\n", l.Layer, 1e3*l.Seconds, l.Flops/l.Seconds/1e9, 1e3*two[i].Seconds, l.Flops/two[i].Seconds/1e9)
			sums[0] += l.Seconds
			sums[1] += two[i].Seconds
		}
		fmt.Fprintf(w, "sum\t%.3f\t\t%.3f\t\n", 1e3*sums[0], 1e3*sums[1])
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// peer is a process that answers lines of JSON.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startPeer(python, script string, args ...string) (*peer, error) {
	p := &peer{cmd: exec.Command(python, append([]string{script}, args...)...)}
	p.cmd.Stderr = io.Discard
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *peer) time(c contest, threads, runs int, pause bool) ([]float64, error) {
	var answer struct{ MS []float64 }
	err := p.ask(map[string]any{"work": c.Work, "peer": c.Peer, "threads": threads, "runs": runs, "pause": pause}, &answer)
	return answer.MS, err
}

// ask sends a line and reads the answer.
func (p *peer) ask(question map[string]any, answer any) error {
	if err := json.NewEncoder(p.in).Encode(question); err != nil {
		return err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the peer stopped: %w (run it by hand to see why)", err)
	}
	return json.Unmarshal(line, answer)
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait()
}
