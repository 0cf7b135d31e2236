package autograd

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// Running are a batch norm's statistics of what it saw in training. Momentum is the weight of the newest batch.
type Running struct {
	Mean, Var []float32 // (C)
	Momentum  float64
}

// BatchNorm normalises each channel of x (N, C, …) by the mean and biased variance of the batch, scales by w and shifts by b, both (C), and
// moves running's statistics (with the unbiased variance) towards the batch's. With training false it normalises by running's instead.
func (t *Tape) BatchNorm(x, w, b *Var, running *Running, training bool, eps float64) *Var {
	xs := x.Shape()
	if len(xs) < 2 || len(w.Shape()) != 1 || w.Shape()[0] != xs[1] || len(running.Mean) != xs[1] {
		t.misfit("batch_norm", fmt.Sprintf("(N, %d, …)", len(running.Mean)), xs)
	}
	n, channels := xs[0], xs[1]
	plane := volume(xs[2:])
	if training && n*plane < 2 {
		t.misfit("batch_norm", "more than one value a channel in training", xs)
	}
	out := t.result(xs...)
	mean, scale := t.memory.take(channels), t.memory.take(channels) // scale is 1/σ
	src, dst := x.Value.Data, out.Value.Data
	parallel.For(t.Workers, channels, func(c int) {
		mu, variance := float64(running.Mean[c]), float64(running.Var[c])
		if training {
			count := float64(n * plane)
			sum := 0.0
			for i := range n {
				row := src[(i*channels+c)*plane:][:plane]
				s, _ := kernel.Moments(row, row, 0, 0)
				sum += s
			}
			mu = sum / count
			rest, squares := 0.0, 0.0
			for i := range n {
				row := src[(i*channels+c)*plane:][:plane]
				s, p := kernel.Moments(row, row, float32(mu), float32(mu))
				rest += s
				squares += p
			}
			squares -= rest * rest / count // mu was rounded
			variance = squares / count
			m := running.Momentum
			running.Mean[c] = float32((1-m)*float64(running.Mean[c]) + m*mu)
			running.Var[c] = float32((1-m)*float64(running.Var[c]) + m*squares/(count-1))
		}
		mean[c], scale[c] = float32(mu), float32(1/math.Sqrt(variance+eps))
		s := scale[c] * w.Value.Data[c]
		shift := b.Value.Data[c] - mean[c]*s
		for i := range n {
			at := (i*channels + c) * plane
			kernel.Affine(dst[at:at+plane], src[at:at+plane], nil, s, 0, shift, -inf, inf)
		}
	})
	if r := t.record("batch_norm", backBatchNorm, out, x, w, b); r != nil {
		r.saved[0], r.saved[1] = mean, scale
		r.ints = [8]int{n, channels, plane}
		if training {
			r.ints[3] = 1
		}
	} else {
		t.memory.give(mean)
		t.memory.give(scale)
	}
	return out
}

// With x̂ = (x-μ)/σ and m values a channel: db = Σ dout, dw = Σ dout·x̂, and in training
// dx = w/σ·(dout - db/m - x̂·dw/m), else dx = w/σ·dout
func backBatchNorm(t *Tape, r *node) {
	x, w, b := r.in[0], r.in[1], r.in[2]
	n, channels, plane, training := r.ints[0], r.ints[1], r.ints[2], r.ints[3] == 1
	mean, scale := r.saved[0], r.saved[1]
	g, src := r.out.Grad.Data, x.Value.Data
	var dx, dw, db []float32
	var accumulate bool
	if x.requiresGrad {
		dx, accumulate = t.gradient(x)
	}
	if w.requiresGrad {
		dw = t.summed(w)
	}
	if b.requiresGrad {
		db = t.summed(b)
	}
	keep := float32(0)
	if accumulate {
		keep = 1
	}
	parallel.For(t.Workers, channels, func(c int) {
		sum, product := 0.0, 0.0
		for i := range n {
			at := (i*channels + c) * plane
			s, p := kernel.Moments(src[at:at+plane], g[at:at+plane], mean[c], 0)
			sum += s
			product += p
		}
		inv := float64(scale[c])
		if db != nil {
			db[c] += float32(sum)
		}
		if dw != nil {
			dw[c] += float32(product * inv)
		}
		if dx == nil {
			return
		}
		// dx = a·dout + k·x + d
		a := float64(w.Value.Data[c]) * inv
		k, d := 0.0, 0.0
		if training {
			m := float64(n * plane)
			k = -a * inv * inv * product / m
			d = -a*sum/m - k*float64(mean[c])
		}
		for i := range n {
			at := (i*channels + c) * plane
			row := dx[at : at+plane]
			if keep != 0 {
				kernel.Axpy(row, g[at:at+plane], float32(a))
				if training {
					kernel.Affine(row, src[at:at+plane], row, float32(k), 1, float32(d), -inf, inf)
				}
				continue
			}
			kernel.Affine(row, g[at:at+plane], src[at:at+plane], float32(a), float32(k), float32(d), -inf, inf)
		}
	})
}

// LayerNorm normalises the last dimension of x (…, D) by its mean and biased variance, scales by w and shifts by b, both (D).
func (t *Tape) LayerNorm(x, w, b *Var, eps float64) *Var {
	xs := x.Shape()
	if len(xs) == 0 || len(w.Shape()) != 1 || w.Shape()[0] != xs[len(xs)-1] || len(b.Shape()) != 1 || b.Shape()[0] != w.Shape()[0] {
		t.misfit("layer_norm", fmt.Sprintf("(…, D) for a weight %v and a bias %v", w.Shape(), b.Shape()), xs)
	}
	d := xs[len(xs)-1]
	rows := volume(xs) / max(d, 1)
	out := t.result(xs...)
	mean, scale := t.memory.take(rows), t.memory.take(rows)
	src, dst, ws, bs := x.Value.Data, out.Value.Data, w.Value.Data, b.Value.Data
	for r := range rows {
		from, to := src[r*d:(r+1)*d], dst[r*d:(r+1)*d]
		sum, _ := kernel.Moments(from, from, 0, 0)
		mu := float32(sum / float64(d))
		rest, squares := kernel.Moments(from, from, mu, mu)
		squares -= rest * rest / float64(d)
		mean[r], scale[r] = mu, float32(1/math.Sqrt(squares/float64(d)+eps))
		for i, v := range from {
			to[i] = (v-mu)*scale[r]*ws[i] + bs[i]
		}
	}
	if n := t.record("layer_norm", backLayerNorm, out, x, w, b); n != nil {
		n.saved[0], n.saved[1] = mean, scale
	} else {
		t.memory.give(mean)
		t.memory.give(scale)
	}
	return out
}

// As batch norm, by rows: with h = dout·w, dx = (h - mean(h) - x̂·mean(h·x̂))/σ
func backLayerNorm(t *Tape, n *node) {
	x, w, b := n.in[0], n.in[1], n.in[2]
	d := len(w.Value.Data)
	mean, scale, g, src, ws := n.saved[0], n.saved[1], n.out.Grad.Data, x.Value.Data, w.Value.Data
	var dx, dw, db []float32
	var accumulate bool
	if x.requiresGrad {
		dx, accumulate = t.gradient(x)
	}
	if w.requiresGrad {
		dw = t.summed(w)
	}
	if b.requiresGrad {
		db = t.summed(b)
	}
	for r := range mean {
		from, gr := src[r*d:(r+1)*d], g[r*d:(r+1)*d]
		var sum, product float64
		for i, v := range gr {
			normal := (from[i] - mean[r]) * scale[r]
			h := float64(v * ws[i])
			sum += h
			product += h * float64(normal)
			if dw != nil {
				dw[i] += v * normal
			}
			if db != nil {
				db[i] += v
			}
		}
		if dx == nil {
			continue
		}
		sum /= float64(d)
		product /= float64(d)
		to := dx[r*d : (r+1)*d]
		for i, v := range gr {
			normal := (from[i] - mean[r]) * scale[r]
			dv := (v*ws[i] - float32(sum) - normal*float32(product)) * scale[r]
			if accumulate {
				dv += to[i]
			}
			to[i] = dv
		}
	}
}
