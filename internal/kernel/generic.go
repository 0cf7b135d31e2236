package kernel

import (
	"math"
	"unsafe"
)

// The Go twins of the assembly. float32 products are rounded before they are added (Go may fuse them on some machines, the
// assembly always does), so that twins agree to rounding, not to the bit.

func genericSet() *set {
	s := &set{blocks: 2, depthwise: depthwiseGeneric, maxPool: maxPoolGeneric, sqDist: sqDistGeneric,
		scale: scaleGeneric, gate: gateGeneric, moments: momentsGeneric, copyRows: copyRowsGeneric,
		winogradIn: winogradInGeneric, winogradOut: winogradOutGeneric, acts: actsGeneric, softmax: softmaxGeneric, turn: turnGeneric, layerNorm: layerNormGeneric,
		atMost: atMostGeneric, sqDists: sqDistsGeneric, expMinus: expMinusGeneric, dots64: dots64Generic, squares64: squares64Generic, fetch: func(*float64, int) {}}
	for _, p := range []int{1, 2, 4} {
		s.tiles = append(s.tiles, tileFunc{p, [2]func(*tileArgs){
			func(a *tileArgs) { tileGeneric(a, p, 1) },
			func(a *tileArgs) { tileGeneric(a, p, 2) },
		}})
	}
	return s
}

func floats(p unsafe.Pointer, n int) []float32 { return unsafe.Slice((*float32)(p), n) }

// tileGeneric multiplies p pixels by f blocks of 16 output channels, tile after tile.
func tileGeneric(a *tileArgs, p, f int) {
	for b := *a; b.more >= 0; b.more-- {
		tileOnce(&b, p, f)
		if b.more == 0 {
			return
		}
		b.in = unsafe.Add(b.in, p*b.stride)
		for _, to := range []*unsafe.Pointer{&b.out0, &b.out1, &b.residual[0], &b.residual[1]} {
			if *to != nil {
				*to = unsafe.Add(*to, p*b.pitch)
			}
		}
	}
}

func tileOnce(a *tileArgs, p, f int) {
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
	for i := range p {
		for b := range f {
			dst := floats(unsafe.Add(out[b], i*a.pitch), Block)
			for j := range dst {
				v := acc[i][b*Block+j]
				if a.residual[0] != nil {
					v += floats(unsafe.Add(a.residual[b], i*a.pitch), Block)[j]
				}
				dst[j] = min(max(v, a.lo), a.hi)
			}
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

// scaleGeneric sets dst to s·x + t·y + c, clamped to lo..hi. Without y it is s·x + c.
func scaleGeneric(dstP, xP, yP *float32, n int, s, t, c, lo, hi float32) {
	dst, x := unsafe.Slice(dstP, n), unsafe.Slice(xP, n)
	if yP == nil {
		for i, v := range x {
			dst[i] = min(max(s*v+c, lo), hi)
		}
		return
	}
	for i, v := range unsafe.Slice(yP, n) {
		dst[i] = min(max(s*x[i]+(t*v+c), lo), hi)
	}
}

// gateGeneric sets dst to t·dst + x where lo < y < hi, and to t·dst elsewhere. With t = 0, dst is not read.
func gateGeneric(dstP, xP, yP *float32, n int, t, lo, hi float32) {
	dst, x := unsafe.Slice(dstP, n), unsafe.Slice(xP, n)
	for i, y := range unsafe.Slice(yP, n) {
		v := x[i]
		if !(y > lo && y < hi) {
			v = 0
		}
		if t != 0 {
			v += t * dst[i]
		}
		dst[i] = v
	}
}

// momentsGeneric sums (y-shiftY) and (x-shiftX)·(y-shiftY), in 16 partial sums each.
func momentsGeneric(xp, yp *float32, n int, shiftX, shiftY float32) (sum, product float32) {
	var sums, products [Block]float32
	x, y := unsafe.Slice(xp, n), unsafe.Slice(yp, n)
	for i := 0; i < n; i += Block {
		for j := range Block {
			v := y[i+j] - shiftY
			sums[j] += v
			products[j] += (x[i+j] - shiftX) * v
		}
	}
	for w := Block / 2; w >= 1; w /= 2 {
		for j := range w {
			sums[j] += sums[j+w]
			products[j] += products[j+w]
		}
	}
	return sums[0], products[0]
}

// copyRowsGeneric copies n values, at most 32, from src plus each offset to dst, pitch bytes further each time.
func copyRowsGeneric(dst, src *float32, offsets *int64, steps, pitch, n int) {
	for i, offset := range unsafe.Slice(offsets, steps) {
		copy(floats(unsafe.Add(unsafe.Pointer(dst), i*pitch), n), floats(unsafe.Add(unsafe.Pointer(src), int(offset)), n))
	}
}

// winogradInGeneric is Bᵀ·d·B for 16 channels.
func winogradInGeneric(a *winogradArgs) {
	transform := func(d [winogradIn]float32) [winogradIn]float32 {
		e, f := d[4]-2*d[2], winogradA*(d[3]-2*d[1])
		g, h := d[4]-0.5*d[2], winogradB*(d[3]-0.5*d[1])
		return [winogradIn]float32{d[0] - 2.5*d[2] + d[4], e + f, e - f, g + h, g - h, d[1] - 2.5*d[3] + d[5]}
	}
	for l := range Block {
		var half [winogradIn][winogradIn]float32 // transposed
		for x := range winogradIn {
			var d [winogradIn]float32
			for y := range winogradIn {
				d[y] = floats(unsafe.Add(a.in, y*a.inPitch), winogradIn*Block)[x*Block+l]
			}
			half[x] = transform(d)
		}
		for y := range winogradIn {
			var d [winogradIn]float32
			for x := range winogradIn {
				d[x] = half[x][y]
			}
			for x, v := range transform(d) {
				floats(unsafe.Add(a.out, (y*winogradIn+x)*a.outPitch), Block)[l] = v
			}
		}
	}
}

// winogradOutGeneric is Aᵀ·m·A for 16 channels, plus bias and residual, clamped.
func winogradOutGeneric(a *winogradArgs) {
	transform := func(m [winogradIn]float32) [winogradTile]float32 {
		s, p := m[1]+m[2], winogradA*(m[1]-m[2])
		t, q := m[3]+m[4], winogradB*(m[3]-m[4])
		return [winogradTile]float32{m[0] + s + t, p + q, 0.5*s + 2*t, 0.5*p + 2*q + m[5]}
	}
	for l := range Block {
		var half [winogradIn][winogradTile]float32 // transposed
		for x := range winogradIn {
			var m [winogradIn]float32
			for y := range winogradIn {
				m[y] = floats(unsafe.Add(a.in, (y*winogradIn+x)*a.inPitch), Block)[l]
			}
			half[x] = transform(m)
		}
		for y := range winogradTile {
			var m [winogradIn]float32
			for x := range winogradIn {
				m[x] = half[x][y]
			}
			for x, v := range transform(m) {
				v += unsafe.Slice(a.bias, Block)[l]
				if a.residual != nil {
					v += floats(unsafe.Add(a.residual, y*a.outPitch), winogradTile*Block)[x*Block+l]
				}
				floats(unsafe.Add(a.out, y*a.outPitch), winogradTile*Block)[x*Block+l] = min(max(v, a.lo), a.hi)
			}
		}
	}
}

// turnGeneric transposes squares of 8x8 values; a pitch leads from one row of a square to the next, a step to the next square, both in bytes.
func turnGeneric(dst, src *float32, dstPitch, srcPitch, dstStep, srcStep, squares int) {
	for s := range squares {
		for i := range 8 {
			from := floats(unsafe.Add(unsafe.Pointer(src), s*srcStep+i*srcPitch), 8)
			for j, v := range from {
				floats(unsafe.Add(unsafe.Pointer(dst), s*dstStep+j*dstPitch), 8)[i] = v
			}
		}
	}
}

// layerNormGeneric is the twin in float64.
func layerNormGeneric(a *normArgs) {
	n := float64(a.count)
	for p := range a.pixels {
		block := func(base unsafe.Pointer, plane, b int) []float32 {
			return floats(unsafe.Add(base, b*plane+4*p*Block), Block)
		}
		var sum, squares float64
		for b := range a.blocks {
			for _, x := range block(a.in, a.inPlane, b) {
				sum += float64(x)
			}
		}
		mean := sum / n
		for b := range a.blocks {
			for _, x := range block(a.in, a.inPlane, b) {
				squares += (float64(x) - mean) * (float64(x) - mean)
			}
		}
		f := math.Sqrt(squares/n + float64(a.epsilon))
		for b := range a.blocks {
			to := block(a.out, a.outPlane, b)
			for i, x := range block(a.in, a.inPlane, b) {
				k := b*Block + i
				v := float32((float64(x)-mean)/f)*unsafe.Slice(a.scale, k+1)[k] + unsafe.Slice(a.shift, k+1)[k]
				to[i] = min(max(v, a.lo), a.hi)
			}
		}
	}
}
