package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
)

// int8Outcome is one kind of arithmetic for a number of threads.
type int8Outcome struct {
	Arithmetic string  `json:"arithmetic"` // int8 or float
	Threads    int     `json:"threads"`
	Own        float64 `json:"blemish_ms"` // medians
	Other      float64 `json:"onnxruntime_ms"`
	Ratio      float64 `json:"ratio"`
}

// compareInt8 runs a quantised network and its float form in Blemish and in ONNX Runtime, all four in turn:
//
//	go run . int8 -python /tmp/peers/bin/python -model DIR/resnet18_layer2_layer3_int8_qdq.onnx
func compareInt8(args []string) error {
	fl := flag.NewFlagSet("int8", flag.ContinueOnError)
	python := fl.String("python", "python3", "interpreter with onnxruntime and onnx")
	model := fl.String("model", "", "the quantised network, for pictures (1,3,224,224)")
	rounds := fl.Int("rounds", 9, "turns of each side")
	runs := fl.Int("runs", 3, "runs a turn")
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	if err := fl.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	plain := filepath.Join(dir, "float.onnx")
	peer, err := startPeer(*python, "int8.py", *model, plain)
	if err != nil {
		return err
	}
	defer peer.stop()
	if _, err := peer.out.ReadBytes('\n'); err != nil {
		return fmt.Errorf("the peer stopped: %w (run it by hand to see why)", err)
	}
	own := map[string]*infer.Imported{}
	for arithmetic, file := range map[string]string{"int8": *model, "float": plain} {
		if own[arithmetic], err = importFile(file); err != nil {
			return err
		}
	}
	if !own["int8"].Int8() || !own["float"].Fused() {
		return fmt.Errorf("%s: Blemish runs it operator by operator", *model)
	}
	x, rng := tensor.New(1, 3, 224, 224), rand.New(rand.NewPCG(1, 0))
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64())
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if !*asJSON {
		fmt.Fprintln(w, "arithmetic\tthreads\tBlemish, ms\tONNX Runtime, ms\tratio")
	}
	for _, threads := range []int{2, 1} {
		ours, theirs := map[string][]float64{}, map[string][]float64{}
		for range *rounds {
			for _, a := range []string{"int8", "float"} {
				ms, err := peer.time(contest{Work: a}, threads, *runs, true)
				if err != nil {
					return err
				}
				theirs[a] = append(theirs[a], ms...)
				for i := range *runs + 1 {
					time.Sleep(peerSpins)
					start := time.Now()
					if _, err := own[a].Run(context.Background(), x, threads); err != nil {
						return err
					}
					if i > 0 { // the first one warms up
						ours[a] = append(ours[a], 1e3*time.Since(start).Seconds())
					}
				}
			}
		}
		for _, a := range []string{"int8", "float"} {
			o := int8Outcome{Arithmetic: a, Threads: threads, Own: middle(ours[a]), Other: middle(theirs[a])}
			o.Ratio = o.Own / o.Other
			if *asJSON {
				if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.2f\n", a, threads, o.Own, o.Other, o.Ratio)
		}
	}
	return w.Flush()
}

func importFile(file string) (*infer.Imported, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	g, err := checkpoint.ReadONNX(raw, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return infer.Import(g, nil)
}
