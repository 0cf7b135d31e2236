package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/internal/kernel"
)

// measureSGEMM measures a product of square matrices against what as many threads reach that do nothing but fused multiply-adds, in turn:
//
//	go run . sgemm
func measureSGEMM(args []string) error {
	fl := flag.NewFlagSet("sgemm", flag.ContinueOnError)
	n := fl.Int("n", 1024, "rows and columns")
	rounds := fl.Int("rounds", 15, "turns of each")
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if peak == nil {
		return fmt.Errorf("no loop of multiply-adds is written for this CPU")
	}
	rng := rand.New(rand.NewPCG(1, 0))
	a, b, c := normal(rng, *n, *n), normal(rng, *n, *n), make([]float32, *n**n)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if !*asJSON {
		fmt.Fprintln(w, "n\tthreads\tGFLOP/s\tpeak, GFLOP/s\tshare\tgoal")
	}
	for _, threads := range []int{2, 1} {
		var products, peaks []float64
		for range *rounds {
			time.Sleep(40 * time.Millisecond)
			peaks = append(peaks, peakRate(threads))
			start := time.Now()
			kernel.MatMul(threads, c, kernel.Matrix{Data: a.Data, Rows: *n, Cols: *n}, kernel.Matrix{Data: b.Data, Rows: *n, Cols: *n}, false)
			products = append(products, 2*float64(*n)*float64(*n)*float64(*n)/time.Since(start).Seconds()/1e9)
		}
		rate, best := middle(products), middle(peaks)
		if *asJSON {
			if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"n": *n, "threads": threads, "gflops": rate, "peak_gflops": best, "share": rate / best}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%d\t%d\t%.1f\t%.1f\t%.2f\t%g\n", *n, threads, rate, best, rate/best, 0.8)
	}
	return w.Flush()
}

// peakRate is what threads reach together, in GFLOP/s, of independent multiply-adds between registers.
func peakRate(threads int) float64 {
	const loops = 1 << 21
	var together sync.WaitGroup
	start := time.Now()
	for range threads - 1 {
		together.Go(func() { peak(loops) })
	}
	flops := peak(loops)
	together.Wait()
	return float64(threads) * flops / time.Since(start).Seconds() / 1e9
}
