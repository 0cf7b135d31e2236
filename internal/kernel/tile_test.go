package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A run of tiles is the same as its tiles, one at a time, with a residual and without.
func TestTilesInARun(t *testing.T) {
	const steps, more = 3, 2
	eachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, f := range use().tiles {
			for blocks := 1; blocks <= 2 && f.run[blocks-1] != nil; blocks++ {
				pixels := f.pixels * (more + 1)
				in, weights, residual := random(rng, (pixels+steps)*Block), random(rng, steps*Block*blocks*Block), random(rng, 2*pixels*Block)
				offsets := []int64{0, 4 * Block, 8 * Block}
				compute := func(together, withResidual bool) []float32 {
					out := random(rng, 2*pixels*Block)
					for first := 0; first < pixels; first += f.pixels {
						a := tileArgs{in: unsafe.Pointer(&in[first*Block]), offsets: &offsets[0], steps: steps, quads: Block / 4, weights: &weights[0],
							out0: unsafe.Pointer(&out[first*Block]), out1: unsafe.Pointer(&out[(pixels+first)*Block]), bias: &noBias[0],
							stride: 4 * Block, lo: -1, hi: 2, pitch: 4 * Block}
						if withResidual {
							a.residual = [2]unsafe.Pointer{unsafe.Pointer(&residual[first*Block]), unsafe.Pointer(&residual[(pixels+first)*Block])}
						}
						if together {
							a.more = more
						}
						f.run[blocks-1](&a)
						if together {
							break
						}
					}
					return out[:blocks*pixels*Block]
				}
				for _, withResidual := range []bool{false, true} {
					if got, want := compute(true, withResidual), compute(false, withResidual); !slices.Equal(got, want) {
						t.Errorf("%d pixels, %d blocks, residual %v: %v, want %v", f.pixels, blocks, withResidual, got, want)
					}
				}
			}
		}
	})
}
