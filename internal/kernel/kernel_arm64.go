//go:build !noasm

package kernel

import "github.com/blemish/blemish/internal/cpu"

func setOf(isa cpu.ISA) *set {
	s := genericSet() // whose element-wise functions the compiler makes fast enough
	if isa != cpu.NEON {
		return s
	}
	s.tiles = []tileFunc{
		{1, [2]func(*tileArgs){tileNEONP1}},
		{2, [2]func(*tileArgs){tileNEONP2}},
		{4, [2]func(*tileArgs){tileNEONP4}},
		{6, [2]func(*tileArgs){tileNEONP6}},
	}
	s.blocks, s.depthwise, s.maxPool, s.sqDist = 1, depthwiseNEON, maxPoolNEON, sqDistNEON
	s.dots64, s.squares64 = dots64NEON, squares64NEON
	return s
}

// Implemented in kernel_arm64.s, which gen/neon writes; twins in generic.go.

//go:noescape
func tileNEONP1(a *tileArgs)

//go:noescape
func tileNEONP2(a *tileArgs)

//go:noescape
func tileNEONP4(a *tileArgs)

//go:noescape
func tileNEONP6(a *tileArgs)

//go:noescape
func depthwiseNEON(a *tapArgs)

//go:noescape
func maxPoolNEON(a *tapArgs)

//go:noescape
func sqDistNEON(a, b *float32, n int) float32

//go:noescape
func dots64NEON(dst *float64, pitch int, x *[]float64, from, panel *float64, n, count int)

//go:noescape
func squares64NEON(dst *float64, pitch int, x *[]float64, panel *float64, n, count int)
