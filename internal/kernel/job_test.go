package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// do runs a job's items, those of a phase from the last to the first: their order must not matter.
func do(j Job, v Values) { runner(j, v)() }

func runner(j Job, v Values) func() {
	v.Scratch = aligned(j.Shared())
	w := &Worker{Scratch: aligned(j.Own())}
	return func() {
		for phase, items := range j.Phases() {
			for item := items - 1; item >= 0; item-- {
				j.Do(&v, w, phase, item)
			}
		}
	}
}

// Attention by its definition in float64, for heads and tokens that fill no block, of an even number of blocks and an odd one.
func TestAttentionAgreesWithItsDefinition(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		attends(t, 3, 24, 61)
		attends(t, 2, 40, 33)
		attends(t, 1, 7, 16)
	})
}

func attends(t *testing.T, heads, dim, tokens int) {
	t.Helper()
	const scale = 0.2
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
					t.Fatalf("%d tokens: head %d, query %d, channel %d is %v, want %v", tokens, h, q, d, g, want)
				}
			}
		}
	}
}
