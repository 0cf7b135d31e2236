// Command gen writes the assembly of package kernel:
//
//	go run . -out ../kernel_amd64.s
//
// Every function's Go twin is in ../generic.go.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, f := range []int{1, 2} {
		for _, p := range []int{1, 2, 4, 7, 8, 10, 12, 14} {
			tile(avx512, p, f)
		}
	}
	for _, p := range []int{1, 2, 4, 6} {
		tile(avx2, p, 1)
	}
	for _, v := range []isa{avx512, avx2} {
		taps(v, multiplyAdd)
		taps(v, maximum)
		sqDist(v)
		minInto(v)
	}
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

// strides addresses up to 14 pixels that lie a run-time number of bytes apart, with two bases and few registers.
type strides struct{ base, base7, one, three, five reg.GPPhysical }

func (s strides) pixel(p, disp int) Mem {
	m := Mem{Base: s.base, Disp: disp}
	if p >= 7 {
		m.Base = s.base7
		p -= 7
	}
	switch p {
	case 1, 2, 4:
		m.Index, m.Scale = s.one, uint8(p)
	case 3, 6:
		m.Index, m.Scale = s.three, uint8(p/3)
	case 5:
		m.Index, m.Scale = s.five, 1
	}
	return m
}

// tile multiplies P pixels by F blocks of 16 output channels; see tileArgs in ../tile.go for the arguments.
func tile(v isa, P, F int) {
	name := fmt.Sprintf("tile%sP%dF%d", v.name, P, F)
	TEXT(name, NOSPLIT, "func(a *byte)")
	V := F * block / v.width // vectors of output channels
	n := P * V
	arg := reg.RAX
	s := strides{reg.RDI, reg.RBX, reg.R9, reg.R10, reg.R11}
	offsets, steps, quads, weights, in, count := reg.R8, reg.RCX, reg.R12, reg.RDX, reg.RSI, reg.R13
	Load(Param("a"), arg)
	MOVQ(at(arg, 0), in)
	MOVQ(at(arg, 8), offsets)
	MOVQ(at(arg, 16), steps)
	MOVQ(at(arg, 24), quads)
	MOVQ(at(arg, 32), weights)
	MOVQ(at(arg, 56), count)
	for j := range V {
		VMOVUPS(at(count, j*v.width*float), v.regs[j])
	}
	for p := 1; p < P; p++ {
		for j := range V {
			VMOVAPS(v.regs[j], v.regs[p*V+j])
		}
	}
	MOVQ(at(arg, 80), s.one)
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 2}, s.three)
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 4}, s.five)
	spare := v.regs[n+V:] // registers for broadcast pixels
	if len(spare) > 4 {
		spare = spare[:4]
	}
	Label(name + "step")
	MOVQ(at(offsets, 0), s.base)
	ADDQ(Imm(8), offsets)
	ADDQ(in, s.base)
	if P > 7 {
		LEAQ(Mem{Base: s.base, Index: s.three, Scale: 2}, s.base7)
		ADDQ(s.one, s.base7)
	}
	MOVQ(quads, count)
	Label(name + "quad")
	b := 0
	for ic := range 4 {
		for j := range V {
			VMOVUPS(at(weights, (ic*V+j)*v.width*float), v.regs[n+j])
		}
		for p := range P {
			if len(spare) == 0 {
				for j := range V {
					VFMADD231PS_BCST(s.pixel(p, ic*float), v.regs[n+j], v.regs[p*V+j])
				}
				continue
			}
			r := spare[b%len(spare)]
			b++
			VBROADCASTSS(s.pixel(p, ic*float), r)
			for j := range V {
				VFMADD231PS(r, v.regs[n+j], v.regs[p*V+j])
			}
		}
	}
	ADDQ(U32(4*F*block*float), weights)
	ADDQ(Imm(4*float), s.base)
	if P > 7 {
		ADDQ(Imm(4*float), s.base7)
	}
	DECQ(count)
	JNZ(LabelRef(name + "quad"))
	DECQ(steps)
	JNZ(LabelRef(name + "step"))

	out := []reg.GPPhysical{reg.RSI, reg.RDI}
	residual := []reg.GPPhysical{reg.R8, reg.R9}
	MOVQ(at(arg, 40), out[0])
	MOVQ(at(arg, 48), out[1])
	MOVQ(at(arg, 64), residual[0])
	MOVQ(at(arg, 72), residual[1])
	lo, hi := v.regs[len(v.regs)-2], v.regs[len(v.regs)-1]
	VBROADCASTSS(at(arg, 88), lo)
	VBROADCASTSS(at(arg, 92), hi)
	store := func(withResidual bool) {
		per := block / v.width // vectors in a block
		for p := range P {
			for j := range V {
				r, f, d := v.regs[p*V+j], j/per, (p*block+j%per*v.width)*float
				if withResidual {
					VADDPS(at(residual[f], d), r, r)
				}
				VMAXPS(lo, r, r)
				VMINPS(hi, r, r)
				VMOVUPS(r, at(out[f], d))
			}
		}
		VZEROUPPER()
		RET()
	}
	TESTQ(residual[0], residual[0])
	JZ(LabelRef(name + "plain"))
	store(true)
	Label(name + "plain")
	store(false)
}

type operation struct {
	name  string
	apply func(v isa, x Mem, w, acc reg.VecPhysical)
}

var (
	multiplyAdd = operation{"depthwise", func(_ isa, x Mem, w, acc reg.VecPhysical) { VFMADD231PS(x, w, acc) }}
	maximum     = operation{"maxPool", func(_ isa, x Mem, _, acc reg.VecPhysical) { VMAXPS(x, acc, acc) }}
)

// taps combines a list of taps for each pixel of a row, 16 channels at once; see tapArgs in ../taps.go.
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

// minInto sets dst[i] to the smaller of dst[i] and a[i], n a positive multiple of 16.
func minInto(v isa) {
	name := "minInto" + v.name
	TEXT(name, NOSPLIT, "func(dst, a *float32, n int)")
	dst, a, n := reg.RDI, reg.RSI, reg.RCX
	Load(Param("dst"), dst)
	Load(Param("a"), a)
	Load(Param("n"), n)
	Label(name + "loop")
	for j := range block / v.width {
		r := v.regs[j]
		VMOVUPS(at(a, j*v.width*float), r)
		VMINPS(at(dst, j*v.width*float), r, r)
		VMOVUPS(r, at(dst, j*v.width*float))
	}
	ADDQ(Imm(block*float), dst)
	ADDQ(Imm(block*float), a)
	SUBQ(Imm(block), n)
	JNZ(LabelRef(name + "loop"))
	VZEROUPPER()
	RET()
}
