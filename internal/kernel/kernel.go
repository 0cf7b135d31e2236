// Package kernel computes. It is the only package with assembly and unsafe.
//
// Activations are channel-blocked: (C/16, H, W, 16), with a border of zeros around each plane, so that a convolution is a walk over
// a list of input offsets, the same for every pixel. One family of functions, tile, multiplies P pixels by F blocks of 16 output
// channels; convolutions of any size, products of matrices and distances are all made of it.
//
// For each instruction set the fastest functions are chosen once (package cpu). Their Go twins in generic.go are documentation,
// fallback and test oracle. Every sum has a fixed order: no result depends on the number of workers.
package kernel

import (
	"sync"
	"unsafe"

	"github.com/blemish/blemish/internal/cpu"
)

//go:generate sh -c "cd gen && go run . -part tiles -out ../tiles_amd64.s"
//go:generate sh -c "cd gen && go run . -part vectors -out ../vectors_amd64.s"
//go:generate sh -c "cd gen && go run . -part acts -out ../acts_amd64.s"
//go:generate sh -c "cd gen && go run . -part search -out ../search_amd64.s"
//go:generate sh -c "cd gen && go run . -part doubles -out ../doubles_amd64.s"
//go:generate sh -c "cd gen && go run . -part winograd -out ../winograd_amd64.s"
//go:generate sh -c "cd gen && go run . -part int8 -out ../int8_amd64.s"
//go:generate sh -c "cd gen && go run ./neon -out ../kernel_arm64.s"

// Block is the number of channels that lie together.
const Block = 16

// tileArgs are the arguments of a tile function. The assembly knows this layout.
type tileArgs struct {
	in       unsafe.Pointer // input of the first pixel
	offsets  *int64         // bytes from in, one a step
	steps    int
	quads    int            // groups of 4 input channels a step
	weights  *float32       // (steps, 4·quads, F·16)
	out0     unsafe.Pointer // (P,16) of the first block
	out1     unsafe.Pointer // and of the second
	bias     *float32       // (F·16), where sums begin
	residual [2]unsafe.Pointer
	stride   int // bytes from one input pixel to the next
	lo, hi   float32
	pitch    int // bytes from one pixel of out, and of residual, to the next
	more     int // tiles right behind the first one
}

// tapArgs are the arguments of depthwise and maxPool. The assembly knows this layout.
type tapArgs struct {
	in      unsafe.Pointer
	offsets *int64 // bytes from in, one a tap
	taps    int
	weights *float32 // (taps,16)
	out     unsafe.Pointer
	pixels  int
	bias    *float32 // (16), where sums and maxima begin
	stride  int      // bytes from one input pixel to the next
	lo, hi  float32
}

type tileFunc struct {
	pixels int
	run    [2]func(*tileArgs) // for one block and for two; nil where there is none
}

// set is one instruction set's functions.
type set struct {
	tiles     []tileFunc // by pixels, ascending
	slides    []tileFunc // likewise, by rows; none where tiles of packed windows will do
	blocks    int        // that a tile can do at once
	depthwise func(*tapArgs)
	maxPool   func(*tapArgs)
	sqDist    func(a, b *float32, n int) float32
	scale     func(dst, x, y *float32, n int, s, t, c, lo, hi float32)
	gate      func(dst, x, y *float32, n int, t, lo, hi float32)
	moments   func(x, y *float32, n int, shiftX, shiftY float32) (sum, product float32)
	copyRows  func(dst, src *float32, offsets *int64, steps, pitch, n int)

	atMost   func(values, limits *float32, rows int) uint64
	sqDists  func(dst, x, rows *float32, n, count int)
	expMinus func(dst, x *float32, n int)

	dots64    func(dst *float64, pitch int, x *[]float64, from, panel *float64, n, count int)
	squares64 func(dst *float64, pitch int, x *[]float64, panel *float64, n, count int)
	fetch     func(x *float64, n int)

	winogradIn, winogradOut func(*winogradArgs)

	turn      func(dst, src *float32, dstPitch, srcPitch, dstStep, srcStep, squares int)
	layerNorm func(*normArgs)

	acts    [acts]func(x *float32, n int)
	softmax func(x *float32, n int, s float32)
}

var active = sync.OnceValue(func() *set { return setOf(cpu.Active()) })

// use is replaced in tests, to force an instruction set.
var use = func() *set { return active() }

// aligned returns n zeros on a cache line's boundary.
func aligned(n int) []float32 {
	const line = 16
	b := make([]float32, n+line-1)
	skip := 0
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))) / 4 % line; at != 0 {
		skip = int(line - at)
	}
	return b[skip : skip+n : skip+n]
}

// roundUp is the smallest multiple of m that is at least n.
func roundUp(n, m int) int { return (n + m - 1) / m * m }
