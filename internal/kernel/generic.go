package kernel

import "unsafe"

// The Go twins of the assembly. float32 products are rounded before they are added (Go may fuse them on some machines, the
// assembly always does), so that twins agree to rounding, not to the bit.

func genericSet() *set {
	s := &set{blocks: 2, depthwise: depthwiseGeneric, maxPool: maxPoolGeneric, sqDist: sqDistGeneric, minInto: minIntoGeneric}
	for _, p := range []int{1, 2, 4} {
		s.tiles = append(s.tiles, tileFunc{p, [2]func(*tileArgs){
			func(a *tileArgs) { tileGeneric(a, p, 1) },
			func(a *tileArgs) { tileGeneric(a, p, 2) },
		}})
	}
	return s
}

func floats(p unsafe.Pointer, n int) []float32 { return unsafe.Slice((*float32)(p), n) }

// tileGeneric multiplies p pixels by f blocks of 16 output channels.
func tileGeneric(a *tileArgs, p, f int) {
	var acc [4][2 * Block]float32
	n := f * Block
	for i := range p {
		copy(acc[i][:n], unsafe.Slice(a.bias, n))
	}
	channels := 4 * a.quads
	offsets := unsafe.Slice(a.offsets, a.steps)
	weights := unsafe.Slice(a.weights, a.steps*channels*n)
	for _, offset := range offsets {
		for i := range p {
			x := floats(unsafe.Add(a.in, int(offset)+i*a.stride), channels)
			sum := acc[i][:n]
			for c, v := range x {
				w := weights[c*n:][:n]
				for j := range sum {
					sum[j] += v * w[j]
				}
			}
		}
		weights = weights[channels*n:]
	}
	out := [2]unsafe.Pointer{a.out0, a.out1}
	for b := range f {
		dst := floats(out[b], p*Block)
		for i := range dst {
			v := acc[i/Block][b*Block+i%Block]
			if a.residual[0] != nil {
				v += floats(a.residual[b], p*Block)[i]
			}
			dst[i] = min(max(v, a.lo), a.hi)
		}
	}
}

func depthwiseGeneric(a *tapArgs) {
	tapsGeneric(a, func(acc, x, w []float32) {
		for j := range acc {
			acc[j] += x[j] * w[j]
		}
	})
}

func maxPoolGeneric(a *tapArgs) {
	tapsGeneric(a, func(acc, x, _ []float32) {
		for j := range acc {
			acc[j] = max(acc[j], x[j])
		}
	})
}

func tapsGeneric(a *tapArgs, combine func(acc, x, w []float32)) {
	offsets := unsafe.Slice(a.offsets, a.taps)
	weights := unsafe.Slice(a.weights, a.taps*Block)
	out := floats(a.out, a.pixels*Block)
	for p := range a.pixels {
		acc := out[p*Block:][:Block]
		copy(acc, unsafe.Slice(a.bias, Block))
		for t, offset := range offsets {
			combine(acc, floats(unsafe.Add(a.in, int(offset)+p*a.stride), Block), weights[t*Block:][:Block])
		}
		for j, v := range acc {
			acc[j] = min(max(v, a.lo), a.hi)
		}
	}
}

func sqDistGeneric(a, b *float32, n int) float32 {
	var sums [Block]float32
	x, y := unsafe.Slice(a, n), unsafe.Slice(b, n)
	for i := 0; i < n; i += Block {
		for j := range Block {
			d := x[i+j] - y[i+j]
			sums[j] += d * d
		}
	}
	for w := Block / 2; w >= 1; w /= 2 {
		for j := range w {
			sums[j] += sums[j+w]
		}
	}
	return sums[0]
}

func minIntoGeneric(dst, a *float32, n int) {
	d, x := unsafe.Slice(dst, n), unsafe.Slice(a, n)
	for i, v := range x {
		d[i] = min(d[i], v)
	}
}
