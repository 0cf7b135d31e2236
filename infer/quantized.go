package infer

import (
	"slices"

	"github.com/blemish/blemish/internal/parallel"
)

// fuseQuantized makes one step of each QuantizeLinear and the DequantizeLinear that alone reads it, where scale and zero point are the same
// numbers: the value is rounded to the levels without becoming an integer.
func fuseQuantized(steps []step, values []*array, taps []int) []step {
	readers := map[int]int{}
	for _, s := range steps {
		for _, x := range s.in {
			readers[x]++
		}
	}
	for _, v := range taps {
		readers[v]++
	}
	quantizer := map[int]int{} // by the slot it computes
	for i, s := range steps {
		if s.node.Op == "QuantizeLinear" && readers[s.out[0]] == 1 {
			quantizer[s.out[0]] = i
		}
	}
	drop := map[int]bool{}
	for i, s := range steps {
		if s.node.Op != "DequantizeLinear" {
			continue
		}
		q, ok := quantizer[s.in[0]]
		if !ok || len(s.in) != 3 || len(steps[q].in) != 3 || !sameNumber(values, s.in[1], steps[q].in[1]) || !sameNumber(values, s.in[2], steps[q].in[2]) {
			continue
		}
		steps[i] = step{s.node, steps[q].in, s.out, opRoundToLevels}
		drop[q] = true
	}
	kept := steps[:0]
	for i, s := range steps {
		if !drop[i] {
			kept = append(kept, s)
		}
	}
	return kept
}

// sameNumber says whether two slots hold one and the same number.
func sameNumber(values []*array, a, b int) bool {
	if a < 0 || b < 0 {
		return false
	}
	x, y := values[a], values[b]
	return x != nil && y != nil && x.len() == 1 && y.len() == 1 && x.dtype == y.dtype && slices.Equal(x.floats, y.floats) && slices.Equal(x.integers, y.integers)
}

// opRoundToLevels is QuantizeLinear and DequantizeLinear in one.
func opRoundToLevels(c *call) []*array {
	const block = 1 << 14
	x, scale := c.floats(0), c.floats(1).floats[0]
	lo, hi := levels(c.input(2).dtype) // refuses floats, which are no levels
	zero := float32(c.input(2).integers[0])
	y := newFloats(x.shape...)
	parallel.For(c.workers, (x.len()+block-1)/block, func(i int) {
		end := min(x.len(), (i+1)*block)
		out := y.floats[i*block : end]
		for j, v := range x.floats[i*block : end] {
			out[j] = (level(v, scale, zero, lo, hi) - zero) * scale
		}
	})
	return one(y)
}
