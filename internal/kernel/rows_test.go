package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A picture laid out by squares lies where it lies value by value, and comes back as it was: widths of no square, of some and of a bit more.
func TestPicturesComeInAndGoOut(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 0))
		for _, c := range []int{5, 16, 40} {
			for _, w := range []int{1, 7, 8, 14, 33} {
				for border := range 2 {
					const h = 3
					x := random(rng, c*h*w)
					want, _ := activation(c, h, w, border, Block)
					want.Load(x)
					got, memory := activation(c, h, w, border, Block)
					got.LoadRows(x, 2, h)
					got.LoadRows(x, 0, 2)
					checkGuards(t, got, memory)
					if !slices.Equal(got.Data, want.Data) {
						t.Fatalf("%d@%dx%d, border %d: loaded %v, want %v", c, h, w, border, got.Data, want.Data)
					}
					back := make([]float32, len(x))
					for b := range got.Blocks() {
						got.StoreBlock(back, b)
					}
					if !slices.Equal(back, x) {
						t.Fatalf("%d@%dx%d, border %d: stored %v, want %v", c, h, w, border, back, x)
					}
				}
			}
		}
	})
}

// Layer norm by its definition in float64, of values that are far from zero beside what they are apart.
func TestLayerNormAgreesWithItsDefinition(t *testing.T) {
	const h, w, epsilon = 2, 19, 1e-5
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(8, 0))
		for _, c := range []int{16, 48, 50, 400} {
			x, scale, shift := random(rng, c*h*w), random(rng, c), random(rng, c)
			for i := range x {
				x[i] += 10
			}
			in, _ := activation(c, h, w, 1, Block)
			in.Load(x)
			out, memory := activation(c, h, w, 0, Block)
			do(NewLayerNorm(scale, shift, epsilon).Prepare(Layer{Out: *out, In: *in, Lo: -0.7, Hi: inf}), Values{Out: out, In: in})
			checkGuards(t, out, memory)
			got, want := make([]float32, len(x)), make([]float64, len(x))
			out.Store(got)
			for p := range h * w {
				var sum, squares float64
				for i := range c {
					sum += float64(x[i*h*w+p])
				}
				mean := sum / float64(c)
				for i := range c {
					squares += math.Pow(float64(x[i*h*w+p])-mean, 2)
				}
				for i := range c {
					v := (float64(x[i*h*w+p])-mean)/math.Sqrt(squares/float64(c)+epsilon)*float64(scale[i]) + float64(shift[i])
					want[i*h*w+p] = max(v, -0.7)
				}
			}
			tolerance := 16.0 // x/σ and μ/σ, of size 19, are rounded, and so is 1/σ: 2^-20 each at the worst
			if c%Block == 0 {
				tolerance = 2 // μ is subtracted before, with what its rounding left: without, 2^-21/σ would be lost
			}
			near(t, "layer norm", got, want, tolerance)
		}
	})
}
