//go:build amd64 && !noasm

package kernel

import "github.com/blemish/blemish/internal/cpu"

func setOf(isa cpu.ISA) *set {
	switch isa {
	case cpu.AVX512:
		return &set{
			tiles: []tileFunc{
				{1, [2]func(*tileArgs){tileAVX512P1F1, tileAVX512P1F2}},
				{2, [2]func(*tileArgs){tileAVX512P2F1, tileAVX512P2F2}},
				{4, [2]func(*tileArgs){tileAVX512P4F1, tileAVX512P4F2}},
				{7, [2]func(*tileArgs){tileAVX512P7F1, tileAVX512P7F2}},
				{8, [2]func(*tileArgs){tileAVX512P8F1, tileAVX512P8F2}},
				{10, [2]func(*tileArgs){tileAVX512P10F1, tileAVX512P10F2}},
				{12, [2]func(*tileArgs){tileAVX512P12F1, tileAVX512P12F2}},
				{14, [2]func(*tileArgs){tileAVX512P14F1, tileAVX512P14F2}},
			},
			slides: slidesAVX512,
			blocks: 2, depthwise: depthwiseAVX512, maxPool: maxPoolAVX512, sqDist: sqDistAVX512,
			scale: scaleAVX512, gate: gateAVX512, moments: momentsAVX512, copyRows: copyRowsAVX512, winogradIn: winogradInAVX512, winogradOut: winogradOutAVX512,
			acts: actsAVX2, softmax: softmaxAVX2, turn: turnAVX2, layerNorm: layerNormAVX2,
			atMost: atMostAVX2, sqDists: sqDistsAVX2, expMinus: expMinusAVX2,
			dots64: dots64AVX512, squares64: squares64AVX512, fetch: fetchAMD64,
		}
	case cpu.AVX2:
		return &set{
			tiles: []tileFunc{
				{1, [2]func(*tileArgs){tileAVX2P1F1}},
				{2, [2]func(*tileArgs){tileAVX2P2F1}},
				{4, [2]func(*tileArgs){tileAVX2P4F1}},
				{6, [2]func(*tileArgs){tileAVX2P6F1}},
			},
			slides: slidesAVX2,
			blocks: 1, depthwise: depthwiseAVX2, maxPool: maxPoolAVX2, sqDist: sqDistAVX2,
			scale: scaleAVX2, gate: gateAVX2, moments: momentsAVX2, copyRows: copyRowsAVX2, winogradIn: winogradInAVX2, winogradOut: winogradOutAVX2,
			acts: actsAVX2, softmax: softmaxAVX2, turn: turnAVX2, layerNorm: layerNormAVX2,
			atMost: atMostAVX2, sqDists: sqDistsAVX2, expMinus: expMinusAVX2,
			dots64: dots64AVX2, squares64: squares64AVX2, fetch: fetchAMD64,
		}
	}
	return genericSet()
}

// Implemented in *_amd64.s, which gen writes; twins in generic.go.

//go:noescape
func tileAVX512P1F1(a *tileArgs)

//go:noescape
func tileAVX512P2F1(a *tileArgs)

//go:noescape
func tileAVX512P4F1(a *tileArgs)

//go:noescape
func tileAVX512P7F1(a *tileArgs)

//go:noescape
func tileAVX512P8F1(a *tileArgs)

//go:noescape
func tileAVX512P10F1(a *tileArgs)

//go:noescape
func tileAVX512P12F1(a *tileArgs)

//go:noescape
func tileAVX512P14F1(a *tileArgs)

//go:noescape
func tileAVX512P1F2(a *tileArgs)

//go:noescape
func tileAVX512P2F2(a *tileArgs)

//go:noescape
func tileAVX512P4F2(a *tileArgs)

//go:noescape
func tileAVX512P7F2(a *tileArgs)

//go:noescape
func tileAVX512P8F2(a *tileArgs)

//go:noescape
func tileAVX512P10F2(a *tileArgs)

//go:noescape
func tileAVX512P12F2(a *tileArgs)

//go:noescape
func tileAVX512P14F2(a *tileArgs)

//go:noescape
func tileAVX2P1F1(a *tileArgs)

//go:noescape
func tileAVX2P2F1(a *tileArgs)

//go:noescape
func tileAVX2P4F1(a *tileArgs)

//go:noescape
func tileAVX2P6F1(a *tileArgs)

//go:noescape
func depthwiseAVX512(a *tapArgs)

//go:noescape
func maxPoolAVX512(a *tapArgs)

//go:noescape
func sqDistAVX512(a, b *float32, n int) float32

//go:noescape
func depthwiseAVX2(a *tapArgs)

//go:noescape
func maxPoolAVX2(a *tapArgs)

//go:noescape
func sqDistAVX2(a, b *float32, n int) float32

//go:noescape
func scaleAVX512(dst, x, y *float32, n int, s, t, c, lo, hi float32)

//go:noescape
func gateAVX512(dst, x, y *float32, n int, t, lo, hi float32)

//go:noescape
func momentsAVX512(x, y *float32, n int, shiftX, shiftY float32) (sum, product float32)

//go:noescape
func scaleAVX2(dst, x, y *float32, n int, s, t, c, lo, hi float32)

//go:noescape
func gateAVX2(dst, x, y *float32, n int, t, lo, hi float32)

//go:noescape
func momentsAVX2(x, y *float32, n int, shiftX, shiftY float32) (sum, product float32)

//go:noescape
func copyRowsAVX512(dst, src *float32, offsets *int64, steps, pitch, n int)

//go:noescape
func copyRowsAVX2(dst, src *float32, offsets *int64, steps, pitch, n int)

//go:noescape
func winogradInAVX512(a *winogradArgs)

//go:noescape
func winogradOutAVX512(a *winogradArgs)

//go:noescape
func winogradInAVX2(a *winogradArgs)

//go:noescape
func winogradOutAVX2(a *winogradArgs)

//go:noescape
func atMostAVX2(values, limits *float32, rows int) uint64

//go:noescape
func sqDistsAVX2(dst, x, rows *float32, n, count int)

//go:noescape
func expMinusAVX2(dst, x *float32, n int)

//go:noescape
func rows8AVX2(a *tile8Args, rows int)

//go:noescape
func askedAVX2(masks *uint16, sums *int32, queries *Query8, rows int, scale, base, rest *float32)

//go:noescape
func turnAVX2(dst, src *float32, dstPitch, srcPitch, dstStep, srcStep, squares int)

//go:noescape
func layerNormAVX2(a *normArgs)

//go:noescape
func dots64AVX512(dst *float64, pitch int, x *[]float64, from, panel *float64, n, count int)

//go:noescape
func squares64AVX512(dst *float64, pitch int, x *[]float64, panel *float64, n, count int)

//go:noescape
func dots64AVX2(dst *float64, pitch int, x *[]float64, from, panel *float64, n, count int)

//go:noescape
func squares64AVX2(dst *float64, pitch int, x *[]float64, panel *float64, n, count int)

//go:noescape
func fetchAMD64(x *float64, n int)
