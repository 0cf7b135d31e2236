package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
)

// rooflineWorks are the networks whose layers are held against the roofline.
var rooflineWorks = []string{"resnet18", "resnet50", "mobilenet-v2", "efficientnet-lite0", "vit-s14"}

// measureRoofline measures what the machine can do, then says of each kind of layer how much of it is reached:
//
//	go run . roofline -python /tmp/peers/bin/python -l2 512 -l3 32768
//
// A layer cannot be faster than its multiplications and additions at the peak, nor than its input, weights and result take to move: Bound is
// the longer of the two, and Share is Bound over the time measured. Winograd's algorithm multiplies less than the convolution that it stands for,
// whose operations are counted: its share may exceed 1.
func measureRoofline(args []string) error {
	fl := flag.NewFlagSet("roofline", flag.ContinueOnError)
	python := fl.String("python", "python3", "interpreter with torch and timm, which export ViT-S/14")
	only := fl.String("only", "", "networks whose names contain this")
	l2 := fl.Int("l2", 512, "KiB of a core's own cache")
	l3 := fl.Int("l3", 32<<10, "KiB of the cache that cores share")
	runs := fl.Int("runs", 15, "runs of each network")
	each := fl.Bool("layers", false, "print every layer, not kinds of them")
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if peak == nil {
		return fmt.Errorf("no loop of multiply-adds is written for this CPU")
	}
	peer, err := startPeer(*python, "inference.py")
	if err != nil {
		return err
	}
	defer peer.stop()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, threads := range []int{1, 2} {
		m := measureMachine(threads, *l2<<10, *l3<<10)
		if *asJSON {
			if err := json.NewEncoder(os.Stdout).Encode(m); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(w, "threads %d: peak %.0f GFLOP/s; GB/s: own cache %.0f, shared cache %.0f, memory %.1f (triad %.1f)\n", m.Threads, m.Peak, m.Own, m.Shared, m.Memory, m.Triad)
			fmt.Fprintln(w, "network\tlayers\tcount\tms\tshare of time\tGFLOP/s\tflops a byte\tbound, GFLOP/s\tshare of bound")
		}
		for _, work := range rooflineWorks {
			if !strings.Contains(work, *only) {
				continue
			}
			layers, err := profile(work, peer, threads, *runs)
			if err != nil {
				return fmt.Errorf("%s: %w", work, err)
			}
			kinds, whole := m.summarise(layers, *each)
			for _, k := range kinds {
				if *asJSON {
					if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"network": work, "threads": threads, "kind": k}); err != nil {
						return err
					}
					continue
				}
				if k.Flops == 0 { // how pictures come and maps go
					fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%.2f\t\t\t\t\n", work, k.Name, k.Count, 1e3*k.Seconds, k.Seconds/whole)
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t%.2f\n", work, k.Name, k.Count, 1e3*k.Seconds, k.Seconds/whole,
					k.Flops/k.Seconds/1e9, k.Flops/k.Bytes, k.Flops/k.Bound/1e9, k.Bound/k.Seconds)
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// machine is what so many threads can do.
type machine struct {
	Threads int     `json:"threads"`
	Peak    float64 `json:"peak_gflops"`
	Own     float64 `json:"own_cache_gbps"` // reading what fits half of it
	Shared  float64 `json:"shared_cache_gbps"`
	Memory  float64 `json:"memory_gbps"` // reading
	Triad   float64 `json:"triad_gbps"`  // the bytes that a triad names: two reads and a write
	l2, l3  int
}

func measureMachine(threads, l2, l3 int) machine {
	m := machine{Threads: threads, l2: l2, l3: l3}
	// what several threads read together is divided among them
	m.Own = bandwidth(threads, l2/2)
	m.Shared = bandwidth(threads, max(l3/4/threads, 2*l2))
	m.Memory = bandwidth(threads, 4*l3/threads)
	var peaks, triads []float64
	for range 7 {
		peaks = append(peaks, peakRate(threads))
	}
	m.Peak = middle(peaks)
	n := 4 * l3 / 4 / threads / 64 * 64
	arrays := make([][3][]float32, threads)
	for i := range arrays {
		for j := range arrays[i] {
			arrays[i][j] = make([]float32, n)
			for k := range arrays[i][j] { // so that every page is there
				arrays[i][j][k] = 1
			}
		}
	}
	for range 5 {
		seconds := together(threads, func(i int) { triad(arrays[i][0], arrays[i][1], arrays[i][2]) })
		triads = append(triads, 12*float64(threads*n)/seconds/1e9)
	}
	m.Triad = middle(triads)
	return m
}

// together is how long f takes on so many threads at once.
func together(threads int, f func(thread int)) float64 {
	var wait sync.WaitGroup
	start := time.Now()
	for i := 1; i < threads; i++ {
		wait.Go(func() { f(i) })
	}
	f(0)
	wait.Wait()
	return time.Since(start).Seconds()
}

// bandwidth is what threads read together, in GB/s, of bytes of each one's own over and over.
func bandwidth(threads, bytes int) float64 {
	n := bytes / 4 / 64 * 64
	repeats := max(1, 1<<28/bytes)
	data := make([][]float32, threads)
	for i := range data {
		data[i] = make([]float32, n)
		for j := range data[i] {
			data[i][j] = 1
		}
	}
	var rates []float64
	for range 5 {
		seconds := together(threads, func(i int) {
			for range repeats {
				read(data[i])
			}
		})
		rates = append(rates, float64(threads*repeats*4*n)/seconds/1e9)
	}
	return middle(rates)
}

// rate is the bandwidth of the nearest cache that holds so many bytes, in bytes a second.
func (m machine) rate(bytes float64) float64 {
	switch {
	case bytes <= float64(m.Threads*m.l2):
		return 1e9 * m.Own
	case bytes <= float64(m.l3):
		return 1e9 * m.Shared
	}
	return 1e9 * m.Memory
}

// profile times the layers of a network.
func profile(work string, peer *peer, threads, runs int) ([]infer.LayerTime, error) {
	var n interface {
		Profile(picture *tensor.Tensor, workers, runs int) ([]infer.LayerTime, error)
	}
	var x *tensor.Tensor
	var err error
	if slices.Contains(imported, work) {
		n, x, err = importedNetwork(work, peer)
	} else {
		n, x, err = ownNetwork(work)
	}
	if err != nil {
		return nil, err
	}
	return n.Profile(x, threads, runs)
}

// kindOfLayers are the layers of a network that are alike.
type kindOfLayers struct {
	Name    string  `json:"name"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	Flops   float64 `json:"flops"`
	Bytes   float64 `json:"bytes"`
	Bound   float64 `json:"bound_seconds"`
}

// summarise adds up the layers of each kind, or takes each by itself.
func (m machine) summarise(layers []infer.LayerTime, each bool) (kinds []kindOfLayers, seconds float64) {
	weights := 0.0
	for _, l := range layers {
		weights += shapesOf(l.Layer).weights()
	}
	for _, l := range layers {
		s := shapesOf(l.Layer)
		name := s.kind()
		if each {
			name = l.Layer
		}
		i := slices.IndexFunc(kinds, func(k kindOfLayers) bool { return k.Name == name })
		if i < 0 || each {
			i = len(kinds)
			kinds = append(kinds, kindOfLayers{Name: name})
		}
		k := &kinds[i]
		// Weights come from wherever all of the network's fit: each run reads them once. What the layer before wrote is as near as it fits.
		moved := s.weights()/m.rate(weights) + s.values()/m.rate(s.values())
		k.Count++
		k.Seconds += l.Seconds
		k.Flops += l.Flops
		k.Bytes += s.weights() + s.values()
		k.Bound += max(l.Flops/(1e9*m.Peak), moved)
		seconds += l.Seconds
	}
	return kinds, seconds
}

// shapes are what a layer's description says of it: "conv 3x3/2 64@56x56 -> 128@28x28".
type shapes struct {
	what            string
	kernel          int
	stride          int
	in, out         [3]int // channels, rows, columns; 0 where the description has none
	depthwise, conv bool
}

func shapesOf(layer string) shapes {
	s := shapes{what: layer, stride: 1}
	before, after, ok := strings.Cut(layer, " -> ")
	if !ok {
		return s
	}
	at := strings.LastIndexByte(before, ' ')
	s.what = before[:at]
	fmt.Sscanf(before[at+1:], "%d@%dx%d", &s.in[0], &s.in[1], &s.in[2])
	fmt.Sscanf(after, "%d@%dx%d", &s.out[0], &s.out[1], &s.out[2])
	window, conv := strings.CutPrefix(strings.TrimPrefix(s.what, "depthwise "), "conv ")
	s.conv, s.depthwise = conv, strings.HasPrefix(s.what, "depthwise ")
	if conv {
		fmt.Sscanf(window, "%dx%d/%d", &s.kernel, new(int), &s.stride)
	}
	return s
}

func (s shapes) kind() string {
	switch {
	case s.conv && s.in[0] <= 3:
		return "stem"
	case s.depthwise:
		return "depthwise"
	case s.conv && s.kernel == 1 && s.in[1] == 1:
		return "linear"
	case s.conv && s.kernel == 1:
		return "conv 1x1"
	}
	return s.what
}

// weights are the bytes of a layer's weights.
func (s shapes) weights() float64 {
	inputs := s.in[0]
	if s.depthwise {
		inputs = 1
	}
	return float64(4 * s.out[0] * inputs * s.kernel * s.kernel)
}

// values are the bytes of a layer's input and result. What a fused sum reads beside them is not counted.
func (s shapes) values() float64 {
	return float64(4 * (s.in[0]*s.in[1]*s.in[2] + s.out[0]*s.out[1]*s.out[2]))
}
