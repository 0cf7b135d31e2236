//go:build amd64 && !noasm

package kernel

import "github.com/blemish/blemish/internal/cpu"

// int8SetOf are the functions on levels of an instruction set; vnni says whether it has AVX512_VNNI.
func int8SetOf(isa cpu.ISA, vnni bool) *int8Set {
	s := genericInt8()
	if isa != cpu.AVX2 && isa != cpu.AVX512 {
		return s
	}
	s.fast = true
	s.requantize, s.maxPool, s.rows, s.asked = requantizeAVX2, maxPool8AVX2, rows8AVX2, askedAVX2
	switch {
	case isa == cpu.AVX2:
		s.pairs = true
		s.tiles = []tile8Func{{1, tile8AVX2P1}, {2, tile8AVX2P2}, {3, tile8AVX2P3}, {4, tile8AVX2P4}, {5, tile8AVX2P5}, {6, tile8AVX2P6}}
	case vnni:
		s.tiles = []tile8Func{{1, tile8VNNIP1}, {2, tile8VNNIP2}, {4, tile8VNNIP4}, {7, tile8VNNIP7}, {14, tile8VNNIP14}}
		s.rows = rows8(s.tiles)
	default:
		s.pairs = true
		s.tiles = []tile8Func{{1, tile8AVX512P1}, {2, tile8AVX512P2}, {4, tile8AVX512P4}, {7, tile8AVX512P7}, {14, tile8AVX512P14}}
	}
	return s
}

// Implemented in int8_amd64.s, which gen writes; twins in int8_generic.go.

//go:noescape
func tile8AVX2P1(a *tile8Args)

//go:noescape
func tile8AVX2P2(a *tile8Args)

//go:noescape
func tile8AVX2P3(a *tile8Args)

//go:noescape
func tile8AVX2P4(a *tile8Args)

//go:noescape
func tile8AVX2P5(a *tile8Args)

//go:noescape
func tile8AVX2P6(a *tile8Args)

//go:noescape
func tile8AVX512P1(a *tile8Args)

//go:noescape
func tile8AVX512P2(a *tile8Args)

//go:noescape
func tile8AVX512P4(a *tile8Args)

//go:noescape
func tile8AVX512P7(a *tile8Args)

//go:noescape
func tile8AVX512P14(a *tile8Args)

//go:noescape
func tile8VNNIP1(a *tile8Args)

//go:noescape
func tile8VNNIP2(a *tile8Args)

//go:noescape
func tile8VNNIP4(a *tile8Args)

//go:noescape
func tile8VNNIP7(a *tile8Args)

//go:noescape
func tile8VNNIP14(a *tile8Args)

//go:noescape
func requantizeAVX2(a *levelArgs)

//go:noescape
func maxPool8AVX2(a *pool8Args)
