package autograd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/tensor"
)

// plainConv calls f for every product of a convolution of x (n, ins, h, wd) with w (outs, ins, k, k): the places in x, w and y.
func plainConv(n, ins, outs, k, stride, pad int, in, out [2]int, f func(x, w, y int)) {
	for i := range n * outs * out[0] * out[1] * ins * k * k {
		kx, ky, c := i%k, i/k%k, i/(k*k)%ins
		at := i / (k * k * ins)
		row, column := at/out[1]%out[0]*stride+ky-pad, at%out[1]*stride+kx-pad
		o, image := at/(out[0]*out[1])%outs, at/(out[0]*out[1]*outs)
		if row >= 0 && row < in[0] && column >= 0 && column < in[1] {
			f(((image*ins+c)*in[0]+row)*in[1]+column, ((o*ins+c)*k+ky)*k+kx, at)
		}
	}
}

// Pictures wide enough for filters that slide over unpacked planes, and channels enough for Winograd's algorithm: values and gradients of
// convolutions and transposed ones against the plain definition in float64, where gradients are new and where they are added to others.
func TestConvolutionsOfWidePicturesAgreeWithPlainLoops(t *testing.T) {
	for _, c := range []struct {
		n, ins, outs, k, stride, pad, extra int
		in                                  [2]int
	}{
		{2, 3, 7, 3, 2, 1, 1, [2]int{36, 40}},
		{1, 5, 3, 3, 2, 1, 0, [2]int{37, 71}},
		{2, 4, 6, 4, 2, 1, 0, [2]int{34, 36}},
		{1, 2, 9, 5, 2, 2, 1, [2]int{20, 38}},
		{2, 6, 5, 3, 1, 1, 0, [2]int{9, 18}},
		{4, 32, 32, 3, 1, 1, 0, [2]int{32, 31}},
	} {
		out := [2]int{(c.in[0]+2*c.pad-c.k)/c.stride + 1, (c.in[1]+2*c.pad-c.k)/c.stride + 1}
		rng := rand.New(rand.NewPCG(21, uint64(c.k*c.in[1])))
		random := func(shape ...int) *tensor.Tensor {
			x := tensor.New(shape...)
			for i := range x.Data {
				x.Data[i] = 2*rng.Float32() - 1
			}
			return x
		}
		small, large := random(c.n, c.outs, out[0], out[1]), random(c.n, c.ins, c.in[0], c.in[1])
		filters := random(c.outs, c.ins, c.k, c.k)
		for _, transposed := range []bool{false, true} {
			x, g, channels := large, small, c.outs // g is the gradient of the result
			if transposed {
				x, g, channels = small, large, c.ins
			}
			bias := random(channels)
			y, dx, dw, db := make([]float64, len(g.Data)), make([]float64, len(x.Data)), make([]float64, len(filters.Data)), make([]float64, channels)
			plane := len(g.Data) / c.n / channels
			for i, v := range g.Data {
				y[i] = float64(bias.Data[i/plane%channels])
				db[i/plane%channels] += float64(v)
			}
			plainConv(c.n, c.ins, c.outs, c.k, c.stride, c.pad, c.in, out, func(l, w, s int) {
				from, to := l, s
				if transposed {
					from, to = s, l
				}
				y[to] += float64(x.Data[from]) * float64(filters.Data[w])
				dx[from] += float64(g.Data[to]) * float64(filters.Data[w])
				dw[w] += float64(g.Data[to]) * float64(x.Data[from])
			})
			var first [][]float32
			for _, workers := range []int{1, 3} {
				for _, twice := range []bool{false, true} {
					tape := NewTape()
					tape.Workers = workers
					px, pw, pb := NewParam("x", x), NewParam("w", filters), NewParam("b", bias)
					run := func() *Var {
						if transposed {
							return tape.ConvTranspose2d(px, pw, pb, Window{Stride: c.stride, Pad: Pad(c.pad)}, c.extra)
						}
						return tape.Conv2d(px, pw, pb, Window{Stride: c.stride, Pad: Pad(c.pad)})
					}
					result := run()
					if !slices.Equal(result.Shape(), g.Shape) {
						t.Fatalf("%+v, transposed %v: shape %v, want %v", c, transposed, result.Shape(), g.Shape)
					}
					values := slices.Clone(result.Value.Data)
					loss := tape.Sum(tape.Mul(result, tape.Input(g)))
					times := 1.0
					if twice {
						loss, times = tape.Add(loss, tape.Sum(tape.Mul(run(), tape.Input(g)))), 2
					}
					if err := tape.Backward(loss); err != nil {
						t.Fatal(err)
					}
					got := [][]float32{values, px.Grad.Data, pw.Grad.Data, pb.Grad.Data}
					for i, want := range [][]float64{y, dx, dw, db} {
						by, terms := times, float64(c.ins*c.outs*c.k*c.k)
						if i == 0 {
							by = 1
						}
						if i >= 2 {
							terms = float64(c.n * plane)
						}
						for j, v := range want {
							// sums of that many products of size 1, in float32
							if d := math.Abs(float64(got[i][j]) - by*v); !(d <= by*terms*0x1p-22) {
								t.Fatalf("%+v, transposed %v, twice %v, quantity %d: value %d is %v, want %v", c, transposed, twice, i, j, got[i][j], by*v)
							}
						}
					}
					if twice {
						continue
					}
					if first == nil {
						first = got
					}
					for i := range got {
						if !slices.Equal(got[i], first[i]) {
							t.Fatalf("%+v: quantity %d differs between 1 worker and %d", c, i, workers)
						}
					}
				}
			}
		}
	}
}
