package outlier

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/blemish/blemish/fault"
)

// HBOSConfig scores a row by histograms of the columns, taken as independent: Σ -log2(density + alpha) (Goldstein and Dengel, KI 2012), as PyOD's
// HBOS: bins of equal width, histograms as numpy's.
type HBOSConfig struct {
	NBins         Setting `json:"n_bins"`        // 2 or more, or "auto": Birgé and Rozenholc's number for each column
	Alpha         float64 `json:"alpha"`         // keeps empty bins' scores finite
	Tol           float64 `json:"tol"`           // how far beyond the outermost bins, in widths of a bin, a value still counts as in them
	Contamination float64 `json:"contamination"` // share of the rows fitted that the threshold leaves above it
}

// DefaultHBOS is PyOD's.
func DefaultHBOS() HBOSConfig {
	return HBOSConfig{NBins: Number(10), Alpha: 0.1, Tol: 0.5, Contamination: 0.1}
}

// Validate names the first parameter that is out of range.
func (c HBOSConfig) Validate() error {
	if err := c.NBins.check("n_bins", "auto"); err != nil {
		return err
	}
	switch v := c.NBins.Value; {
	case c.NBins.Name == "" && (v < 2 || v > 1e6 || v != math.Floor(v)):
		return &fault.ConfigError{Field: "n_bins", Value: v, Reason: "want a whole number from 2 to 1000000, or auto"}
	case !(c.Alpha > 0 && c.Alpha < 1):
		return &fault.ConfigError{Field: "alpha", Value: c.Alpha, Reason: "want between 0 and 1"}
	case !(c.Tol > 0 && c.Tol < 1):
		return &fault.ConfigError{Field: "tol", Value: c.Tol, Reason: "want between 0 and 1"}
	}
	return checkContamination(Number(c.Contamination))
}

// HBOS is a fitted HBOSConfig.
type HBOS struct {
	config     HBOSConfig
	histograms []histogram
	threshold  float64
}

// histogram is a column's.
type histogram struct {
	edges []float64 // one more than bins
	score []float64 // of each bin: -log2(density + alpha)
}

// Fit counts each column's values.
func (c HBOSConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	m := &HBOS{config: c, histograms: make([]histogram, x.Cols)}
	column := make([]float64, x.Rows)
	for j := range x.Cols {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range column {
			column[i] = x.Row(i)[j]
		}
		bins := int(c.NBins.Value)
		if c.NBins.Name == "auto" {
			bins = automaticBins(column)
		}
		edges, counts := count(column, bins)
		h := histogram{edges, make([]float64, bins)}
		for b, n := range counts {
			width := edges[b+1] - edges[b]
			if h.score[b] = -math.Log2(n/width/float64(x.Rows) + c.Alpha); !(width > 0) || math.IsInf(h.score[b], 0) {
				return nil, fmt.Errorf("column %d (from 0) spans from %v to %v, too little for %d bins in double precision: shift or scale it", j, edges[0], edges[bins], bins)
			}
		}
		m.histograms[j] = h
	}
	scores, err := m.score(ctx, x, opts.workers())
	if err != nil {
		return nil, err
	}
	m.threshold = quantile(scores, 1-c.Contamination)
	opts.report(x.Rows, x.Rows)
	return m, nil
}

// count is numpy.histogram of bins of equal width: they contain their lower edges, and the last one both. A constant column gets a range of 1.
func count(values []float64, bins int) (edges, counts []float64) {
	low, high := slices.Min(values), slices.Max(values)
	if low == high {
		low, high = low-0.5, high+0.5
	}
	edges, counts = make([]float64, bins+1), make([]float64, bins)
	step := (high - low) / float64(bins)
	for b := range edges {
		edges[b] = float64(b)*step + low
	}
	edges[bins] = high
	for _, v := range values {
		b := min(max(int((v-low)/(high-low)*float64(bins)), 0), bins-1)
		if v < edges[b] && b > 0 {
			b--
		} else if v >= edges[b+1] && b < bins-1 {
			b++
		}
		counts[b]++
	}
	return edges, counts
}

// automaticBins maximises a penalised likelihood over up to √n bins (Birgé and Rozenholc, ESAIM Probability and Statistics 10, 2006), as PyOD.
func automaticBins(values []float64) int {
	n := float64(len(values))
	best, most := 1, math.Inf(-1)
	for bins := 1; bins < max(2, int(math.Sqrt(n))); bins++ {
		_, counts := count(values, bins)
		b, likelihood := float64(bins), 0.0
		for _, c := range counts {
			likelihood += c*math.Log(b*c/n+1) - (b - 1 + math.Pow(math.Log(b), 2.5))
		}
		if likelihood > most {
			best, most = bins, likelihood
		}
	}
	return best
}

// Score adds up the scores of the bins.
func (m *HBOS) Score(ctx context.Context, x Matrix) ([]float64, error) { return m.score(ctx, x, 0) }

func (m *HBOS) score(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	if err := checkNew(x, len(m.histograms)); err != nil {
		return nil, err
	}
	emptiest := make([]float64, len(m.histograms))
	for j, h := range m.histograms {
		emptiest[j] = slices.Max(h.score)
	}
	scores := make([]float64, x.Rows)
	err := scoreBlocks(ctx, x.Rows, workers, func(_, first, last int) {
		for i := first; i < last; i++ {
			for j, v := range x.Row(i) {
				scores[i] += m.histograms[j].of(v, m.config.Tol, emptiest[j])
			}
		}
	})
	return representable(scores, err)
}

// of finds a value's bin, which here contains its upper edge, as PyOD's digitize has it. Beyond the tolerance, beyond scores.
func (h histogram) of(v, tol, beyond float64) float64 {
	bins := len(h.score)
	at := sort.SearchFloat64s(h.edges, v) // edges below v
	switch {
	case at == 0 && h.edges[0]-v <= (h.edges[1]-h.edges[0])*tol:
		return h.score[0]
	case at == bins+1 && v-h.edges[bins] <= (h.edges[bins]-h.edges[bins-1])*tol:
		return h.score[bins-1]
	case at == 0 || at == bins+1:
		return beyond
	}
	return h.score[at-1]
}

// Threshold leaves the configured contamination of the rows fitted above it.
func (m *HBOS) Threshold() float64 { return m.threshold }

// State is the numbers of bins, and edges and scores of all columns one after the other.
func (m *HBOS) State() (State, error) {
	var bins, edges, scores []float64
	for _, h := range m.histograms {
		bins, edges, scores = append(bins, float64(len(h.score))), append(edges, h.edges...), append(scores, h.score...)
	}
	return saveAs(m.config, map[string]Array{"bins": vectorOf(bins), "edges": vectorOf(edges), "scores": vectorOf(scores), "threshold": numberOf(m.threshold)})
}

func openHBOS(s State) (Detector, error) {
	c, r, err := openSaved("HBOS detector", s, HBOSConfig{}, 4)
	if err != nil {
		return nil, err
	}
	bins, edges, scores := r.array("bins", -1).Data, r.array("edges", -1).Data, r.array("scores", -1).Data
	m := &HBOS{config: c, threshold: r.number("threshold")}
	for j, b := range bins {
		if r.err != nil {
			break
		}
		if !(b >= 1 && b == math.Floor(b) && b <= float64(len(scores)) && b < float64(len(edges))) {
			r.err = r.damaged("column %d has %v bins", j, b)
			break
		}
		n := int(b)
		h := histogram{edges[: n+1 : n+1], scores[:n:n]}
		edges, scores = edges[n+1:], scores[n:]
		for k := range n {
			if !(h.edges[k] < h.edges[k+1]) {
				r.err = r.damaged("column %d: edges are out of order", j)
			}
		}
		m.histograms = append(m.histograms, h)
	}
	if r.err == nil && len(edges)+len(scores) > 0 {
		r.err = r.damaged("%d edges and %d scores belong to no column", len(edges), len(scores))
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}
