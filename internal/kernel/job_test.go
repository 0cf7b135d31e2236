package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// do runs a job's items, those of a phase from the last to the first: their order must not matter.
func do(j Job, v Values) {
	v.Scratch = aligned(j.Shared())
	w := &Worker{Scratch: aligned(j.Own())}
	for phase, items := range j.Phases() {
		for item := items - 1; item >= 0; item-- {
			j.Do(&v, w, phase, item)
		}
	}
}

// Jobs compute what Conv.Run does, which is held to plain loops: rows and whole planes, one depth and several, one block of outputs and many.
func TestConvJobsAgreeWithConv(t *testing.T) {
	cases := []struct {
		ConvSpec
		h, w, pad, border int
		residual          bool
	}{
		{ConvSpec{3, 20, 7, 2, 1}, 30, 23, 3, 1, false}, {ConvSpec{600, 40, 1, 1, 1}, 7, 7, 0, 0, true},
		{ConvSpec{40, 300, 1, 1, 1}, 13, 11, 0, 0, false}, {ConvSpec{300, 33, 1, 1, 1}, 9, 14, 0, 1, true},
		{ConvSpec{64, 48, 3, 2, 1}, 15, 14, 1, 0, false}, {ConvSpec{48, 64, 3, 1, 1}, 19, 23, 1, 1, true},
		{ConvSpec{512, 48, 3, 1, 1}, 7, 7, 1, 1, true}, {ConvSpec{32, 32, 1, 2, 1}, 1, 1, 0, 0, false},
	}
	eachISA(t, func(t *testing.T) {
		for i, c := range cases {
			rng := rand.New(rand.NewPCG(5, uint64(i)))
			conv := NewConv(c.ConvSpec, random(rng, c.Out*c.In*c.Kernel*c.Kernel), random(rng, c.Out))
			in, _ := activation(c.In, c.h, c.w, c.pad, conv.Lanes())
			in.LoadRows(random(rng, c.In*c.h*c.w), 0, c.h)
			oh, ow := (c.h+2*c.pad-c.Kernel)/c.Stride+1, (c.w+2*c.pad-c.Kernel)/c.Stride+1
			want, _ := activation(c.Out, oh, ow, c.border, Block)
			got, memory := activation(c.Out, oh, ow, c.border, Block)
			s := Step{Out: want, In: in, Pad: [2]int{c.pad, c.pad}, Lo: -0.5, Hi: inf}
			v := Values{Out: got, In: in}
			if c.residual {
				s.Residual, _ = activation(c.Out, oh, ow, c.border, Block)
				s.Residual.Load(random(rng, c.Out*oh*ow))
				v.Residual = s.Residual
			}
			conv.Run(1, s)
			do(conv.Prepare(Layer{Out: *got, In: *in, Pad: s.Pad, Lo: s.Lo, Hi: s.Hi}), v)
			checkGuards(t, got, memory)
			exact := make([]float64, len(want.Data))
			for k, x := range want.Data {
				exact[k] = float64(x)
			}
			near(t, fmt.Sprint(c), got.Data, exact, float64(c.In*c.Kernel*c.Kernel)/4+4)
		}
	})
}

// Attention by its definition in float64, for heads and tokens that fill no block.
func TestAttentionAgreesWithItsDefinition(t *testing.T) {
	const heads, dim, tokens, scale = 3, 24, 61, 0.2
	eachISA(t, func(t *testing.T) {
		a := Attention{heads, dim, scale}
		padded := a.Padded()
		rng := rand.New(rand.NewPCG(6, 0))
		in, _ := activation(3*heads*padded, 1, tokens, 0, Block)
		x := random(rng, 3*heads*padded*tokens)
		for c := range 3 * heads * padded {
			if c%padded >= dim {
				clear(x[c*tokens:][:tokens])
			}
		}
		in.Load(x)
		out, memory := activation(heads*padded, 1, tokens, 0, Block)
		do(a.Prepare(Layer{Out: *out, In: *in, Lo: -inf, Hi: inf}), Values{Out: out, In: in})
		checkGuards(t, out, memory)
		got := make([]float32, heads*padded*tokens)
		out.Store(got)
		at := func(part, h, d, token int) float64 { return float64(x[((part*heads+h)*padded+d)*tokens+token]) }
		for h := range heads {
			for q := range tokens {
				weights, sum := make([]float64, tokens), 0.0
				for k := range tokens {
					for d := range dim {
						weights[k] += at(0, h, d, q) * at(1, h, d, k)
					}
					weights[k] = math.Exp(scale * weights[k])
					sum += weights[k]
				}
				for d := range dim {
					want := 0.0
					for k, w := range weights {
						want += w / sum * at(2, h, d, k)
					}
					// sums of 61 terms of size 1/61
					if g := float64(got[(h*padded+d)*tokens+q]); !(math.Abs(g-want) <= 1e-6) {
						t.Fatalf("head %d, query %d, channel %d is %v, want %v", h, q, d, g, want)
					}
				}
			}
		}
	})
}
