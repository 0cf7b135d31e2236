// Command gen writes the assembly of package kernel, a file for each part:
//
//	go run . -part tiles -out ../tiles_amd64.s
//
// Every function's Go twin is in ../generic.go.
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var parts = map[string]func(){
	"tiles": func() {
		for _, f := range []int{1, 2} {
			for _, p := range []int{1, 2, 4, 7, 8, 10, 12, 14} {
				tile(avx512, p, f)
			}
			for _, p := range []int{1, 2, 4, 8, 14} {
				slide(avx512, p, f)
			}
		}
		for _, p := range []int{1, 2, 4, 6} {
			tile(avx2, p, 1)
		}
		for _, p := range []int{1, 2, 3, 4, 6} {
			slide(avx2, p, 1)
		}
	},
	"vectors": func() {
		for _, v := range []isa{avx512, avx2} {
			taps(v, multiplyAdd)
			taps(v, maximum)
			sqDist(v)
			scale(v)
			gate(v)
			moments(v)
			copyRows(v)
		}
		turn(avx2) // AVX-512 takes them too
		layerNorm(avx2)
	},
	"acts":     acts,
	"search":   func() { atMost(avx2); rows8(avx2); asked(avx2); sqDists(avx2); expMinus(avx2) }, // AVX-512 takes them too
	"doubles":  func() { dots64(avx512); squares64(avx512); dots64(avx2); squares64(avx2); fetch() },
	"winograd": func() { winograd(avx512); winograd(avx2) },
	"int8": func() {
		for p := 1; p <= 6; p++ {
			tile8Pairs(avx2, p)
		}
		for _, p := range []int{1, 2, 4, 7, 14} {
			tile8Pairs(avx512, p)
			tile8VNNI(p)
		}
		requantize()
		maxPool8()
	},
}

func main() {
	name := flag.String("part", "", "which file's functions")
	flag.Parse()
	part, ok := parts[*name]
	if !ok {
		fmt.Fprintf(os.Stderr, "gen: no part %q\n", *name)
		os.Exit(2)
	}
	ConstraintExpr("amd64,!noasm")
	part()
	Generate()
}

// isa is how 16 channels lie in registers.
type isa struct {
	name  string
	regs  []reg.VecPhysical
	width int // floats in a register
}

var (
	avx512 = isa{"AVX512", []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}, 16}
	avx2 = isa{"AVX2", []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}, 8}
)

func (v isa) zero(r reg.VecPhysical) {
	if v.width == 16 {
		VPXORD(r, r, r)
	} else {
		VXORPS(r, r, r)
	}
}

const (
	block = 16 // channels in a block
	float = 4  // bytes
)

func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

type operation struct {
	name  string
	apply func(v isa, x Mem, w, acc reg.VecPhysical)
}

var (
	multiplyAdd = operation{"depthwise", func(_ isa, x Mem, w, acc reg.VecPhysical) { VFMADD231PS(x, w, acc) }}
	maximum     = operation{"maxPool", func(_ isa, x Mem, _, acc reg.VecPhysical) { VMAXPS(x, acc, acc) }}
)

// taps combines a list of taps for each pixel of a row, 16 channels at once; see tapArgs in ../kernel.go.
func taps(v isa, op operation) {
	name := op.name + v.name
	TEXT(name, NOSPLIT, "func(a *byte)")
	V := block / v.width
	s := strides{reg.RDI, reg.RBX, reg.R9, reg.R10, reg.R11}
	arg, in, offsets, weights, out, pixels, count := reg.RAX, reg.RSI, reg.R8, reg.RDX, reg.R12, reg.R13, reg.RCX
	bias := reg.R14
	Load(Param("a"), arg)
	MOVQ(at(arg, 0), in)
	MOVQ(at(arg, 32), out)
	MOVQ(at(arg, 40), pixels)
	MOVQ(at(arg, 48), bias)
	MOVQ(at(arg, 56), s.one)
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 2}, s.three)
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 4}, s.five)
	lo, hi := v.regs[len(v.regs)-2], v.regs[len(v.regs)-1]
	VBROADCASTSS(at(arg, 64), lo)
	VBROADCASTSS(at(arg, 68), hi)
	group := func(P int) {
		label := fmt.Sprintf("%sx%d", name, P)
		for p := range P {
			for j := range V {
				VMOVUPS(at(bias, j*v.width*float), v.regs[p*V+j])
			}
		}
		MOVQ(at(arg, 8), offsets)
		MOVQ(at(arg, 16), count)
		MOVQ(at(arg, 24), weights)
		Label(label)
		MOVQ(at(offsets, 0), s.base)
		ADDQ(Imm(8), offsets)
		ADDQ(in, s.base)
		for j := range V {
			w := v.regs[P*V+j]
			if op.name == multiplyAdd.name {
				VMOVUPS(at(weights, j*v.width*float), w)
			}
			for p := range P {
				op.apply(v, s.pixel(p, j*v.width*float), w, v.regs[p*V+j])
			}
		}
		ADDQ(Imm(block*float), weights)
		DECQ(count)
		JNZ(LabelRef(label))
		for p := range P {
			for j := range V {
				r := v.regs[p*V+j]
				VMAXPS(lo, r, r)
				VMINPS(hi, r, r)
				VMOVUPS(r, at(out, (p*block+j*v.width)*float))
			}
		}
		ADDQ(U32(uint32(P*block*float)), out)
		IMUL3Q(U32(uint32(P)), s.one, count)
		ADDQ(count, in)
	}
	P := 7
	if V > 1 {
		P = 5 // two registers a pixel
	}
	Label(name + "many")
	CMPQ(pixels, Imm(uint64(P)))
	JL(LabelRef(name + "few"))
	group(P)
	SUBQ(Imm(uint64(P)), pixels)
	JMP(LabelRef(name + "many"))
	Label(name + "few")
	TESTQ(pixels, pixels)
	JZ(LabelRef(name + "done"))
	group(1)
	DECQ(pixels)
	JMP(LabelRef(name + "few"))
	Label(name + "done")
	VZEROUPPER()
	RET()
}

// sqDist sums (a[i]-b[i])² over n values, n a multiple of 16, in 4 (AVX-512: 16 lanes) or 8 (AVX2: 8 lanes) partial sums.
func sqDist(v isa) {
	name := "sqDist" + v.name
	TEXT(name, NOSPLIT, "func(a, b *float32, n int) float32")
	a, b, n := reg.RSI, reg.RDI, reg.RCX
	Load(Param("a"), a)
	Load(Param("b"), b)
	Load(Param("n"), n)
	V := block / v.width
	accs := 4 * V
	for i := range accs {
		v.zero(v.regs[i])
	}
	step := func(first, vectors int) {
		for i := range vectors {
			t := v.regs[accs+i%4]
			VMOVUPS(at(a, i*v.width*float), t)
			VSUBPS(at(b, i*v.width*float), t, t)
			VFMADD231PS(t, t, v.regs[first+i])
		}
		ADDQ(U32(uint32(vectors*v.width*float)), a)
		ADDQ(U32(uint32(vectors*v.width*float)), b)
	}
	Label(name + "many")
	CMPQ(n, Imm(4*block))
	JL(LabelRef(name + "few"))
	step(0, accs)
	SUBQ(Imm(4*block), n)
	JMP(LabelRef(name + "many"))
	Label(name + "few")
	TESTQ(n, n)
	JZ(LabelRef(name + "sum"))
	step(0, V)
	SUBQ(Imm(block), n)
	JMP(LabelRef(name + "few"))
	Label(name + "sum")
	for w := accs / 2; w >= 1; w /= 2 {
		for i := range w {
			VADDPS(v.regs[i+w], v.regs[i], v.regs[i])
		}
	}
	if v.width == 16 {
		VEXTRACTF64X4(Imm(1), reg.Z0, reg.Y1)
		VADDPS(reg.Y1, reg.Y0, reg.Y0)
	}
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	VADDPS(reg.X1, reg.X0, reg.X0)
	VMOVHLPS(reg.X0, reg.X0, reg.X1)
	VADDPS(reg.X1, reg.X0, reg.X0)
	VMOVSHDUP(reg.X0, reg.X1)
	VADDSS(reg.X1, reg.X0, reg.X0)
	VZEROUPPER()
	Store(reg.X0, ReturnIndex(0))
	RET()
}

// broadcast fills registers with scalar parameters.
func broadcast(regs []reg.VecPhysical, params ...string) {
	for i, p := range params {
		mem, err := Param(p).Resolve()
		if err != nil {
			panic(err)
		}
		VBROADCASTSS(mem.Addr, regs[i])
	}
}

// scale sets dst to s·x + t·y + c, clamped to lo..hi, over n values, n a positive multiple of 16. y may be nil.
func scale(v isa) {
	name := "scale" + v.name
	TEXT(name, NOSPLIT, "func(dst, x, y *float32, n int, s, t, c, lo, hi float32)")
	dst, x, y, n := reg.RDI, reg.RSI, reg.RDX, reg.RCX
	Load(Param("dst"), dst)
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("n"), n)
	broadcast(v.regs, "s", "t", "c", "lo", "hi")
	s, t, c, lo, hi := v.regs[0], v.regs[1], v.regs[2], v.regs[3], v.regs[4]
	loop := func(label string, withY bool) {
		Label(label)
		for j := range block / v.width {
			d := j * v.width * float
			r := v.regs[8+j]
			VMOVAPS(c, r)
			if withY {
				VFMADD231PS(at(y, d), t, r)
			}
			VFMADD231PS(at(x, d), s, r)
			VMAXPS(lo, r, r)
			VMINPS(hi, r, r)
			VMOVUPS(r, at(dst, d))
		}
		ADDQ(Imm(block*float), dst)
		ADDQ(Imm(block*float), x)
		if withY {
			ADDQ(Imm(block*float), y)
		}
		SUBQ(Imm(block), n)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	TESTQ(y, y)
	JZ(LabelRef(name + "one"))
	loop(name+"two", true)
	loop(name+"one", false)
}

// gate sets dst to t·dst + x where lo < y < hi, and to t·dst elsewhere, over n values, n a positive multiple of 16. With t = 0, dst is
// not read.
func gate(v isa) {
	name := "gate" + v.name
	TEXT(name, NOSPLIT, "func(dst, x, y *float32, n int, t, lo, hi float32)")
	dst, x, y, n := reg.RDI, reg.RSI, reg.RDX, reg.RCX
	Load(Param("dst"), dst)
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("n"), n)
	broadcast(v.regs, "t", "lo", "hi")
	t, lo, hi := v.regs[0], v.regs[1], v.regs[2]
	zero := v.regs[5]
	v.zero(zero)
	loop := func(label string, accumulate bool) {
		Label(label)
		for j := range block / v.width {
			d := j * v.width * float
			r, old := v.regs[8+j], v.regs[10+j]
			VMOVUPS(at(y, d), r)
			if v.width == 16 {
				VCMPPS(Imm(greater), lo, r, reg.K1)
				VCMPPS(Imm(less), hi, r, reg.K1, reg.K1)
				VMOVUPS_Z(at(x, d), reg.K1, r)
			} else {
				m := v.regs[12+j]
				VCMPPS(Imm(greater), lo, r, m)
				VCMPPS(Imm(less), hi, r, r)
				VANDPS(m, r, r)
				VANDPS(at(x, d), r, r)
			}
			if accumulate {
				VMOVUPS(at(dst, d), old)
				VFMADD231PS(old, t, r)
			}
			VMOVUPS(r, at(dst, d))
		}
		ADDQ(Imm(block*float), dst)
		ADDQ(Imm(block*float), x)
		ADDQ(Imm(block*float), y)
		SUBQ(Imm(block), n)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	VUCOMISS(reg.X0, reg.X5) // t and zero
	JNE(LabelRef(name + "more"))
	loop(name+"first", false)
	loop(name+"more", true)
}

// Predicates of VCMPPS: ordered and quiet, so that NaN fails both.
const (
	greater = 0x1e
	less    = 0x11
)

// moments sums (y-shiftY) and (x-shiftX)·(y-shiftY) over n values, n a multiple of 16, in 64 partial sums each.
func moments(v isa) {
	name := "moments" + v.name
	TEXT(name, NOSPLIT, "func(x, y *float32, n int, shiftX, shiftY float32) (sum, product float32)")
	x, y, n := reg.RSI, reg.RDI, reg.RCX
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("n"), n)
	const accs = 4 // vectors
	sx, sy := v.regs[2*accs], v.regs[2*accs+1]
	broadcast(v.regs[2*accs:], "shiftX", "shiftY")
	for i := range 2 * accs {
		v.zero(v.regs[i])
	}
	step := func(vectors int) {
		for i := range vectors {
			a, b := v.regs[2*accs+2+i%2*2], v.regs[2*accs+3+i%2*2]
			VMOVUPS(at(y, i*v.width*float), b)
			VSUBPS(sy, b, b)
			VMOVUPS(at(x, i*v.width*float), a)
			VSUBPS(sx, a, a)
			VADDPS(b, v.regs[i], v.regs[i])
			VFMADD231PS(a, b, v.regs[accs+i])
		}
		ADDQ(U32(uint32(vectors*v.width*float)), x)
		ADDQ(U32(uint32(vectors*v.width*float)), y)
	}
	Label(name + "many")
	CMPQ(n, Imm(uint64(accs*v.width)))
	JL(LabelRef(name + "few"))
	step(accs)
	SUBQ(Imm(uint64(accs*v.width)), n)
	JMP(LabelRef(name + "many"))
	Label(name + "few")
	TESTQ(n, n)
	JZ(LabelRef(name + "sum"))
	step(block / v.width)
	SUBQ(Imm(block), n)
	JMP(LabelRef(name + "few"))
	Label(name + "sum")
	for _, first := range []int{0, accs} {
		for w := accs / 2; w >= 1; w /= 2 {
			for i := range w {
				VADDPS(v.regs[first+i+w], v.regs[first+i], v.regs[first+i])
			}
		}
	}
	// the sums lie in registers 0 and 4; 1 is free
	for i, z := range []reg.VecPhysical{reg.Z0, reg.Z4} {
		y := []reg.VecPhysical{reg.Y0, reg.Y4}[i]
		x := []reg.VecPhysical{reg.X0, reg.X4}[i]
		if v.width == 16 {
			VEXTRACTF64X4(Imm(1), z, reg.Y1)
			VADDPS(reg.Y1, y, y)
		}
		VEXTRACTF128(Imm(1), y, reg.X1)
		VADDPS(reg.X1, x, x)
		VMOVHLPS(x, x, reg.X1)
		VADDPS(reg.X1, x, x)
		VMOVSHDUP(x, reg.X1)
		VADDSS(reg.X1, x, x)
	}
	VZEROUPPER()
	Store(reg.X0, ReturnIndex(0))
	Store(reg.X4, ReturnIndex(1))
	RET()
}

// copyRows copies n values, at most 32, from src plus each offset to dst, pitch bytes further each time.
func copyRows(v isa) {
	name := "copyRows" + v.name
	TEXT(name, NOSPLIT, "func(dst, src *float32, offsets *int64, steps, pitch, n int)")
	dst, src, offsets, steps, pitch, n := reg.RDI, reg.RSI, reg.R8, reg.RCX, reg.R9, reg.RDX
	for i, r := range []reg.GPPhysical{dst, src, offsets, steps, pitch, n} {
		Load(Param([]string{"dst", "src", "offsets", "steps", "pitch", "n"}[i]), r)
	}
	V := 2 * block / v.width
	masks := []reg.OpmaskPhysical{reg.K1, reg.K2}
	if v.width == 16 { // the lowest n bits of 32, in two masks
		MOVQ(U64(1), reg.RAX)
		MOVQ(n, reg.RCX)
		SHLQ(reg.CL, reg.RAX)
		DECQ(reg.RAX)
		KMOVW(reg.EAX, masks[0])
		SHRQ(Imm(16), reg.RAX)
		KMOVW(reg.EAX, masks[1])
		Load(Param("steps"), steps)
	} else { // lane i of vector j counts if 8j+i < n
		VMOVD(n.As32(), reg.X15)
		VPBROADCASTD(reg.X15, reg.Y15)
		lanes := GLOBL("lanes", RODATA|NOPTR)
		for i := range 2 * block {
			DATA(i*4, U32(uint32(i)))
		}
		for j := range V {
			VMOVDQU(lanes.Offset(j*32), v.regs[8+j])
			VPCMPGTD(v.regs[8+j], reg.Y15, v.regs[8+j])
		}
	}
	in := reg.RAX
	loop := func(label string, vectors int) {
		Label(label)
		MOVQ(at(offsets, 0), in)
		ADDQ(Imm(8), offsets)
		ADDQ(src, in)
		for j := range vectors {
			d := j * v.width * float
			if v.width == 16 {
				VMOVUPS_Z(at(in, d), masks[j], v.regs[j])
				VMOVUPS(v.regs[j], masks[j], at(dst, d))
			} else {
				VMASKMOVPS(at(in, d), v.regs[8+j], v.regs[j])
				VMASKMOVPS(v.regs[j], v.regs[8+j], at(dst, d))
			}
		}
		ADDQ(pitch, dst)
		DECQ(steps)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	CMPQ(n, Imm(block))
	JLE(LabelRef(name + "narrow"))
	loop(name+"wide", V)
	loop(name+"narrow", V/2)
}
