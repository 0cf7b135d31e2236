// Command neon writes kernel_arm64.s: the functions of package kernel in ARM's Advanced SIMD. Go's assembler lacks the arithmetic of float
// vectors, which is given as words; encodings are those of the Arm Architecture Reference Manual, C7.2.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
)

var out bytes.Buffer

func line(format string, args ...any) { fmt.Fprintf(&out, "\t"+format+"\n", args...) }
func mark(name string)                { fmt.Fprintf(&out, "%s:\n", name) }

func function(name, arguments, comment string, size int) {
	fmt.Fprintf(&out, "\n// func %s(%s\n// %s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, arguments, comment, name, size)
}

// three is an instruction on vectors of four floats, or of two doubles: d = n op m.
func three(op uint32, name, lanes string) func(d, n, m int) {
	return func(d, n, m int) {
		line("WORD $0x%08x // %s V%d.%s, V%d.%s, V%d.%s", op|uint32(m)<<16|uint32(n)<<5|uint32(d), name, d, lanes, n, lanes, m, lanes)
	}
}

var (
	fadd   = three(0x4e20d400, "FADD", "4S")
	fsub   = three(0x4ea0d400, "FSUB", "4S")
	fmax   = three(0x4e20f400, "FMAX", "4S")
	fmin   = three(0x4ea0f400, "FMIN", "4S")
	fmla   = three(0x4e20cc00, "FMLA", "4S")
	fsub64 = three(0x4ee0d400, "FSUB", "2D")
	fmla64 = three(0x4e60cc00, "FMLA", "2D")
)

// fmlaLane is d += n · m[lane].
func fmlaLane(d, n, m, lane int) {
	line("WORD $0x%08x // FMLA V%d.4S, V%d.4S, V%d.S[%d]", 0x4f801000|uint32(lane&1)<<21|uint32(m)<<16|uint32(lane>>1)<<11|uint32(n)<<5|uint32(d), d, n, m, lane)
}

func four(first int) string {
	return fmt.Sprintf("[V%d.S4, V%d.S4, V%d.S4, V%d.S4]", first, first+1, first+2, first+3)
}

// bounds loads lo into V30 and hi into V31, repeated.
func bounds(at int) {
	line("FMOVS %d(R0), F30", at)
	line("FMOVS %d(R0), F31", at+4)
	line("VDUP V30.S[0], V30.S4")
	line("VDUP V31.S[0], V31.S4")
}

func clamp(v int) {
	fmax(v, v, 30)
	fmin(v, v, 31)
}

// tile keeps the sums of p pixels in V0…, four vectors each, a pixel's four input channels in V24… and weights in V30 and V31.
func tile(p int) {
	function(fmt.Sprintf("tileNEONP%d", p), "a *tileArgs)", fmt.Sprintf("tileGeneric(a, %d, 1)", p), 8)
	line("MOVD a+0(FP), R0")
	line("MOVD 0(R0), R1")    // in
	line("MOVD 80(R0), R7")   // stride
	line("MOVD 40(R0), R19")  // out0
	line("MOVD 64(R0), R20")  // residual
	line("MOVD 104(R0), R21") // more
	mark("tile")
	line("MOVD 8(R0), R2")  // offsets
	line("MOVD 16(R0), R3") // steps
	line("MOVD 32(R0), R5") // weights
	line("MOVD 56(R0), R6") // bias
	line("VLD1 (R6), %s", four(0))
	for i := 4; i < 4*p; i++ {
		line("VMOV V%d.B16, V%d.B16", i%4, i)
	}
	mark("step")
	line("MOVD.P 8(R2), R8")
	line("ADD R1, R8, R10")
	for i := 1; i < p; i++ {
		line("ADD R7, R%d, R%d", 9+i, 10+i)
	}
	line("MOVD 24(R0), R4") // quads
	mark("quad")
	for i := range p {
		line("VLD1.P 16(R%d), [V%d.S4]", 10+i, 24+i)
	}
	for lane := range 4 {
		for half := range 2 {
			line("VLD1.P 32(R5), [V30.S4, V31.S4]")
			for i := range p {
				fmlaLane(4*i+2*half, 30, 24+i, lane)
				fmlaLane(4*i+2*half+1, 31, 24+i, lane)
			}
		}
	}
	line("SUBS $1, R4")
	line("BNE quad")
	line("SUBS $1, R3")
	line("BNE step")
	line("MOVD 96(R0), R9") // pitch
	line("CBZ R20, clamp")
	for i := range p {
		line("VLD1 (R20), %s", four(24))
		for j := range 4 {
			fadd(4*i+j, 4*i+j, 24+j)
		}
		line("ADD R9, R20")
	}
	mark("clamp")
	bounds(88)
	for i := range p {
		for j := range 4 {
			clamp(4*i + j)
		}
		line("VST1 %s, (R19)", four(4*i))
		line("ADD R9, R19")
		line("ADD R7, R1") // the next tile's pixels
	}
	line("SUBS $1, R21")
	line("BPL tile")
	line("RET")
}

// taps walks over pixels and their taps; combine takes the input in V4…V7 and the weights in V8…V11 into V0…V3.
func taps(name, twin string, combine func(i int)) {
	function(name, "a *tapArgs)", twin+"(a)", 8)
	line("MOVD a+0(FP), R0")
	line("MOVD 0(R0), R1")  // in
	line("MOVD 32(R0), R5") // out
	line("MOVD 40(R0), R6") // pixels
	line("MOVD 48(R0), R7") // bias
	line("MOVD 56(R0), R9") // stride
	bounds(64)
	line("VLD1 (R7), %s", four(16))
	mark("pixel")
	for i := range 4 {
		line("VMOV V%d.B16, V%d.B16", 16+i, i)
	}
	line("MOVD 8(R0), R2")  // offsets
	line("MOVD 16(R0), R3") // taps
	line("MOVD 24(R0), R4") // weights
	mark("tap")
	line("MOVD.P 8(R2), R8")
	line("ADD R1, R8")
	line("VLD1 (R8), %s", four(4))
	line("VLD1.P 64(R4), %s", four(8))
	for i := range 4 {
		combine(i)
	}
	line("SUBS $1, R3")
	line("BNE tap")
	for i := range 4 {
		clamp(i)
	}
	line("VST1.P %s, 64(R5)", four(0))
	line("ADD R9, R1")
	line("SUBS $1, R6")
	line("BNE pixel")
	line("RET")
}

func sqDist() {
	function("sqDistNEON", "a, b *float32, n int) float32", "sqDistGeneric(a, b, n)", 28)
	line("MOVD a+0(FP), R0")
	line("MOVD b+8(FP), R1")
	line("MOVD n+16(FP), R2")
	for i := range 4 {
		line("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	mark("loop")
	line("VLD1.P 64(R0), %s", four(4))
	line("VLD1.P 64(R1), %s", four(8))
	for i := range 4 {
		fsub(4+i, 4+i, 8+i)
		fmla(i, 4+i, 4+i)
	}
	line("SUBS $16, R2")
	line("BNE loop")
	fadd(0, 0, 2)
	fadd(1, 1, 3)
	fadd(0, 0, 1)
	line("VMOV V0.D[1], V1.D[0]")
	fadd(0, 0, 1)
	line("VMOV V0.S[1], V1.S[0]")
	line("FADDS F1, F0, F0")
	line("FMOVS F0, ret+24(FP)")
	line("RET")
}

// meet64 keeps the sums of up to two slices of doubles in V0…V15, eight vectors each, their values in V24 and V25, the origin's in V28 and a row of the
// panel in V16…V23.
func meet64(name, twin string, origin bool, combine func(sum, x, w int)) {
	arguments, parameters := "dst *float64, pitch int, x *[]float64, ", []string{"dst", "pitch", "x", "panel", "n", "count"}
	if origin {
		arguments += "from, "
		parameters = []string{"dst", "pitch", "x", "from", "panel", "n", "count"}
	}
	registers := map[string]int{"dst": 0, "pitch": 1, "x": 2, "from": 3, "panel": 4, "n": 5, "count": 6}
	function(name, arguments+"panel *float64, n, count int)", twin, 8*len(parameters))
	for i, p := range parameters {
		line("MOVD %s+%d(FP), R%d", p, 8*i, registers[p])
	}
	sum := func(label string, slices int) {
		for i := range slices {
			line("MOVD %d(R2), R%d", 24*i, 10+i)
		}
		for i := range 8 * slices {
			line("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
		}
		line("MOVD R4, R7")
		if origin {
			line("MOVD R3, R8")
		}
		line("MOVD R5, R9")
		mark(label)
		for _, first := range []int{16, 20} {
			line("VLD1.P 64(R7), [V%d.D2, V%d.D2, V%d.D2, V%d.D2]", first, first+1, first+2, first+3)
		}
		if origin {
			line("VLD1R.P 8(R8), [V28.D2]")
		}
		for i := range slices {
			line("VLD1R.P 8(R%d), [V%d.D2]", 10+i, 24+i)
			if origin {
				fsub64(24+i, 24+i, 28)
			}
		}
		for j := range 8 {
			for i := range slices {
				combine(8*i+j, 24+i, 16+j)
			}
		}
		line("SUBS $1, R9")
		line("BNE %s", label)
		for i := range slices {
			line("MOVD R0, R12")
			for _, first := range []int{8 * i, 8*i + 4} {
				line("VST1.P [V%d.D2, V%d.D2, V%d.D2, V%d.D2], 64(R12)", first, first+1, first+2, first+3)
			}
			line("ADD R1, R0")
		}
		line("ADD $%d, R2", 24*slices)
	}
	mark("many")
	line("CMP $2, R6")
	line("BLT few")
	sum("two", 2)
	line("SUB $2, R6")
	line("B many")
	mark("few")
	line("CBZ R6, done")
	sum("one", 1)
	mark("done")
	line("RET")
}

func main() {
	path := flag.String("out", "../kernel_arm64.s", "file to write")
	flag.Parse()
	out.WriteString("// Code generated by gen/neon. DO NOT EDIT.\n\n//go:build !noasm\n\n#include \"textflag.h\"\n")
	for _, p := range []int{1, 2, 4, 6} {
		tile(p)
	}
	taps("depthwiseNEON", "depthwiseGeneric", func(i int) { fmla(i, 4+i, 8+i) })
	taps("maxPoolNEON", "maxPoolGeneric", func(i int) { fmax(i, i, 4+i) })
	sqDist()
	meet64("dots64NEON", "dots64Generic(dst, pitch, x, from, panel, n, count)", true, fmla64)
	meet64("squares64NEON", "squares64Generic(dst, pitch, x, panel, n, count)", false, func(sum, x, w int) {
		difference := 26 + sum/8 // one a slice
		fsub64(difference, x, w)
		fmla64(sum, difference, difference)
	})
	if err := os.WriteFile(*path, out.Bytes(), 0o666); err != nil {
		log.Fatal(err)
	}
}
