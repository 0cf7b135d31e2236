package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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

// longStep is how many quads make up for fetching where results go.
const longStep = 32

// frame keeps what a tile advances by when it goes on to the next pixels, but for what its registers hold in between.
type frame struct{ in, more, out0, out1, residual0, residual1 Mem }

func newFrame(arg reg.Register) frame {
	m := AllocLocal(48)
	f := frame{m.Offset(0), m.Offset(8), m.Offset(16), m.Offset(24), m.Offset(32), m.Offset(40)}
	for i, d := range []int{0, 104, 40, 48, 64, 72} {
		MOVQ(at(arg, d), reg.RDI)
		MOVQ(reg.RDI, m.Offset(8*i))
	}
	return f
}

// tile multiplies P pixels by F blocks of 16 output channels, and then as many pixels behind them as often as asked for; see tileArgs in
// ../kernel.go for the arguments.
func tile(v isa, P, F int) {
	name := fmt.Sprintf("tile%sP%dF%d", v.name, P, F)
	TEXT(name, NOSPLIT, "func(a *byte)")
	V := F * block / v.width // vectors of output channels
	n := P * V
	arg := reg.RAX
	s := strides{reg.RDI, reg.RBX, reg.R9, reg.R10, reg.R11}
	offsets, steps, quads, weights, in, count := reg.R8, reg.RCX, reg.R12, reg.RDX, reg.RSI, reg.R13
	Load(Param("a"), arg)
	local := newFrame(arg)
	MOVQ(at(arg, 24), quads)
	ahead := reg.R14 // weights that follow these
	MOVQ(at(arg, 16), ahead)
	IMULQ(quads, ahead)
	IMUL3Q(U32(uint32(4*F*block*float)), ahead, ahead)
	ADDQ(at(arg, 32), ahead)
	fetched := F // lines of them a quad: runs of four tiles and more fetch all
	Label(name + "tile")
	MOVQ(local.in, in)
	MOVQ(at(arg, 8), offsets)
	MOVQ(at(arg, 16), steps)
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
	CMPQ(quads, Imm(longStep))
	JLT(LabelRef(name + "short"))
	MOVQ(at(arg, 96), s.three)
	for _, m := range []Mem{local.out0, local.out1}[:F] { // rows of a large matrix are fetched while their sums are made
		MOVQ(m, s.base)
		for p := range P {
			PREFETCHT0(at(s.base, 0))
			if p+1 < P {
				ADDQ(s.three, s.base)
			}
		}
	}
	Label(name + "short")
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
	} else if P == 6 { // the next tile's pixels
		LEAQ(Mem{Base: s.base, Index: s.three, Scale: 2}, s.base7)
		next := s
		next.base = s.base7
		for p := range P {
			PREFETCHT0(next.pixel(p, 0))
		}
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
	for i := range fetched {
		PREFETCHT1(at(ahead, 64*i))
	}
	ADDQ(U32(uint32(64*fetched)), ahead)
	ADDQ(U32(4*F*block*float), weights)
	ADDQ(Imm(4*float), s.base)
	if P > 7 {
		ADDQ(Imm(4*float), s.base7)
	}
	DECQ(count)
	JNZ(LabelRef(name + "quad"))
	DECQ(steps)
	JNZ(LabelRef(name + "step"))

	local.finish(v, name, P, F)
}

// finish is finish, over and over: it goes on to the next tile, or returns.
func (l frame) finish(v isa, name string, P, F int) {
	arg, V := reg.RAX, F*block/v.width
	out := []reg.GPPhysical{reg.RSI, reg.RDI}
	residual := []reg.GPPhysical{reg.R8, reg.R9}
	for i, m := range []Mem{l.out0, l.out1}[:F] {
		MOVQ(m, out[i])
	}
	for i, m := range []Mem{l.residual0, l.residual1}[:F] {
		MOVQ(m, residual[i])
	}
	lo, hi := v.regs[len(v.regs)-2], v.regs[len(v.regs)-1]
	VBROADCASTSS(at(arg, 88), lo)
	VBROADCASTSS(at(arg, 92), hi)
	pitch := reg.R10
	MOVQ(at(arg, 96), pitch)
	TESTQ(residual[0], residual[0])
	JZ(LabelRef(name + "plain"))
	storeTile(v, P, V, out[:F], residual[:F], pitch, lo, hi)
	for i, m := range []Mem{l.residual0, l.residual1}[:F] {
		ADDQ(pitch, residual[i])
		MOVQ(residual[i], m)
	}
	JMP(LabelRef(name + "next"))
	Label(name + "plain")
	storeTile(v, P, V, out[:F], nil, pitch, lo, hi)
	Label(name + "next")
	DECQ(l.more)
	JS(LabelRef(name + "done"))
	for i, m := range []Mem{l.out0, l.out1}[:F] {
		ADDQ(pitch, out[i])
		MOVQ(out[i], m)
	}
	MOVQ(at(arg, 80), pitch)
	IMUL3Q(U32(uint32(P)), pitch, pitch)
	ADDQ(pitch, l.in)
	JMP(LabelRef(name + "tile"))
	Label(name + "done")
	VZEROUPPER()
	RET()
}

// storeTile adds residuals, where there are any, clamps and stores; it leaves out and residual at the last pixel.
func storeTile(v isa, P, V int, out, residual []reg.GPPhysical, pitch, lo, hi reg.Register) {
	per := block / v.width // vectors in a block
	for p := range P {
		for j := range V {
			r, f, d := v.regs[p*V+j], j/per, j%per*v.width*float
			if residual != nil {
				VADDPS(at(residual[f], d), r, r)
			}
			VMAXPS(lo, r, r)
			VMINPS(hi, r, r)
			VMOVUPS(r, at(out[f], d))
		}
		for f := range out {
			if p == P-1 {
				break
			}
			ADDQ(pitch, out[f])
			if residual != nil {
				ADDQ(pitch, residual[f])
			}
		}
	}
}

// slide multiplies P rows of a matrix by F blocks of 16 columns that lie anywhere, a row at each of the offsets: positions of a picture under
// a window's taps. See ../slide.go.
func slide(v isa, P, F int) {
	name := fmt.Sprintf("slide%sP%dF%d", v.name, P, F)
	TEXT(name, NOSPLIT, "func(a *byte)")
	V := F * block / v.width // vectors of columns
	n := P * V
	arg := reg.RAX
	s := strides{reg.RDI, reg.RBX, reg.R9, reg.R10, reg.R11}
	offsets, quads, plane, count, from := reg.R8, reg.R12, reg.RDX, reg.R13, reg.RSI
	Load(Param("a"), arg)
	MOVQ(at(arg, 0), s.base)
	MOVQ(at(arg, 8), offsets)
	MOVQ(at(arg, 24), quads)
	MOVQ(at(arg, 32), plane)
	MOVQ(at(arg, 56), count)
	for p := range P {
		VBROADCASTSS(at(count, p*float), v.regs[p*V])
		for j := 1; j < V; j++ {
			VMOVAPS(v.regs[p*V], v.regs[p*V+j])
		}
	}
	MOVQ(at(arg, 80), s.one)
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 2}, s.three)
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 4}, s.five)
	if P > 7 {
		LEAQ(Mem{Base: s.base, Index: s.three, Scale: 2}, s.base7)
		ADDQ(s.one, s.base7)
	}
	spare := v.regs[n+V:] // registers for broadcast values
	if len(spare) > 4 {
		spare = spare[:4]
	}
	Label(name + "quad")
	b := 0
	for i := range 4 {
		MOVQ(at(offsets, i*8), from)
		for j := range V {
			VMOVUPS(Mem{Base: plane, Index: from, Scale: 1, Disp: j * v.width * float}, v.regs[n+j])
		}
		for p := range P {
			if len(spare) == 0 {
				for j := range V {
					VFMADD231PS_BCST(s.pixel(p, i*float), v.regs[n+j], v.regs[p*V+j])
				}
				continue
			}
			r := spare[b%len(spare)]
			b++
			VBROADCASTSS(s.pixel(p, i*float), r)
			for j := range V {
				VFMADD231PS(r, v.regs[n+j], v.regs[p*V+j])
			}
		}
	}
	ADDQ(Imm(4*8), offsets)
	ADDQ(Imm(4*float), s.base)
	if P > 7 {
		ADDQ(Imm(4*float), s.base7)
	}
	DECQ(quads)
	JNZ(LabelRef(name + "quad"))
	finish(v, name, P, F)
}

// finish adds the residual, clamps and stores what slide has summed, and returns.
func finish(v isa, name string, P, F int) {
	arg, V := reg.RAX, F*block/v.width
	out := []reg.GPPhysical{reg.RSI, reg.RDI}
	residual := []reg.GPPhysical{reg.R8, reg.R9}
	MOVQ(at(arg, 40), out[0])
	MOVQ(at(arg, 48), out[1])
	MOVQ(at(arg, 64), residual[0])
	MOVQ(at(arg, 72), residual[1])
	lo, hi := v.regs[len(v.regs)-2], v.regs[len(v.regs)-1]
	VBROADCASTSS(at(arg, 88), lo)
	VBROADCASTSS(at(arg, 92), hi)
	pitch := reg.R10
	MOVQ(at(arg, 96), pitch)
	TESTQ(residual[0], residual[0])
	JZ(LabelRef(name + "plain"))
	storeTile(v, P, V, out[:F], residual[:F], pitch, lo, hi)
	VZEROUPPER()
	RET()
	Label(name + "plain")
	storeTile(v, P, V, out[:F], nil, pitch, lo, hi)
	VZEROUPPER()
	RET()
}
