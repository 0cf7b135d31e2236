package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd writes the transforms of F(4x4,3x3) for 16 channels; see winogradArgs in ../winograd.go. One dimension is transformed into a
// table on the stack, then the other.
func winograd(v isa) {
	winogradIn(v)
	winogradOut(v)
}

// numbers broadcasts constants into registers.
func numbers(v isa, regs []reg.VecPhysical, values ...uint32) {
	for i, bits := range values {
		MOVL(U32(bits), reg.EAX)
		VMOVD(reg.EAX, regs[i].AsX())
		VBROADCASTSS(regs[i].AsX(), regs[i])
	}
}

// Constants, as bits: the points are 0, ±√½, ±√2 and ∞.
const (
	half, rootHalf, rootTwo, two, twoAndHalf = 0x3f000000, 0x3f3504f3, 0x3fb504f3, 0x40000000, 0x40200000
	winogradSide                             = 6
)

func winogradIn(v isa) {
	TEXT("winogradIn"+v.name, 0, "func(a *byte)")
	table := AllocLocal(winogradSide * winogradSide * v.width * float)
	in, inPitch, out, outPitch, row := reg.RSI, reg.R8, reg.RDI, reg.R9, reg.RDX
	arg := reg.RBX
	Load(Param("a"), arg)
	MOVQ(at(arg, 8), inPitch)
	MOVQ(at(arg, 24), outPitch)
	three, five := reg.R10, reg.R11
	LEAQ(Mem{Base: outPitch, Index: outPitch, Scale: 2}, three)
	LEAQ(Mem{Base: outPitch, Index: outPitch, Scale: 4}, five)
	d, y := v.regs[0:6], v.regs[6:10]
	c := v.regs[10:15]
	numbers(v, c, half, rootHalf, rootTwo, two, twoAndHalf)
	h, a, b, w, f := c[0], c[1], c[2], c[3], c[4]
	// transform puts Bᵀ·d.
	transform := func(put func(i int, r reg.VecPhysical)) {
		VADDPS(d[0], d[4], y[0]) // d0 - 2.5·d2 + d4
		VFNMADD231PS(d[2], f, y[0])
		put(0, y[0])
		VADDPS(d[1], d[5], y[1]) // d1 - 2.5·d3 + d5
		VFNMADD231PS(d[3], f, y[1])
		put(5, y[1])
		pair := func(first int, square, root reg.VecPhysical) { // d4 - square·d2 ± root·(d3 - square·d1)
			VMOVAPS(d[4], y[2])
			VFNMADD231PS(d[2], square, y[2])
			VMOVAPS(d[3], y[3])
			VFNMADD231PS(d[1], square, y[3])
			VMOVAPS(y[2], y[0])
			VFMADD231PS(y[3], root, y[0])
			VFNMADD231PS(y[3], root, y[2])
			put(first, y[0])
			put(first+1, y[2])
		}
		pair(1, w, a)
		pair(3, h, b)
	}
	for part := range block / v.width {
		MOVQ(at(arg, 0), in)
		MOVQ(at(arg, 16), out)
		for x := range winogradSide {
			MOVQ(in, row)
			for i := range winogradSide {
				VMOVUPS(at(row, (x*block+part*v.width)*float), d[i])
				if i+1 < winogradSide {
					ADDQ(inPitch, row)
				}
			}
			transform(func(i int, r reg.VecPhysical) { VMOVUPS(r, table.Offset((i*winogradSide+x)*v.width*float)) })
		}
		for i := range winogradSide {
			for x := range winogradSide {
				VMOVUPS(table.Offset((i*winogradSide+x)*v.width*float), d[x])
			}
			transform(func(x int, r reg.VecPhysical) {
				switch x {
				case 0:
					VMOVUPS(r, at(out, part*v.width*float))
				case 3:
					VMOVUPS(r, Mem{Base: out, Index: three, Scale: 1, Disp: part * v.width * float})
				case 5:
					VMOVUPS(r, Mem{Base: out, Index: five, Scale: 1, Disp: part * v.width * float})
				default:
					VMOVUPS(r, Mem{Base: out, Index: outPitch, Scale: uint8(x), Disp: part * v.width * float})
				}
			})
			ADDQ(outPitch, out)
			ADDQ(five, out)
		}
	}
	VZEROUPPER()
	RET()
}

func winogradOut(v isa) {
	name := "winogradOut" + v.name
	TEXT(name, 0, "func(a *byte)")
	const tile = 4
	table := AllocLocal(tile * winogradSide * v.width * float)
	in, inPitch, out, outPitch, bias, residual, row := reg.RSI, reg.R8, reg.RDI, reg.R9, reg.R10, reg.R11, reg.RDX
	arg, six := reg.RBX, reg.RCX
	Load(Param("a"), arg)
	MOVQ(at(arg, 8), inPitch)
	MOVQ(at(arg, 24), outPitch)
	MOVQ(at(arg, 32), bias)
	LEAQ(Mem{Base: inPitch, Index: inPitch, Scale: 2}, six)
	ADDQ(six, six)
	m, y, c := v.regs[0:6], v.regs[6:10], v.regs[10:14]
	lo, hi := v.regs[14], v.regs[15]
	numbers(v, c, half, rootHalf, rootTwo, two)
	VBROADCASTSS(at(arg, 48), lo)
	VBROADCASTSS(at(arg, 52), hi)
	// transform leaves Aᵀ·m in y.
	transform := func() {
		VADDPS(m[2], m[1], y[0]) // s
		VSUBPS(m[2], m[1], m[1])
		VMULPS(c[1], m[1], m[1]) // p = √½·(m1-m2)
		VADDPS(m[4], m[3], m[2]) // t
		VSUBPS(m[4], m[3], m[3])
		VMULPS(c[2], m[3], m[3]) // q = √2·(m3-m4)
		VMULPS(c[0], y[0], y[2])
		VFMADD231PS(c[3], m[2], y[2]) // s/2 + 2t
		VADDPS(m[2], y[0], y[0])
		VADDPS(m[0], y[0], y[0]) // m0 + s + t
		VADDPS(m[3], m[1], y[1]) // p + q
		VMOVAPS(m[5], y[3])
		VFMADD231PS(c[0], m[1], y[3])
		VFMADD231PS(c[3], m[3], y[3]) // p/2 + 2q + m5
	}
	for part := range block / v.width {
		d := part * v.width * float
		MOVQ(at(arg, 0), in)
		for x := range winogradSide {
			MOVQ(in, row)
			for i := range winogradSide {
				VMOVUPS(at(row, d), m[i])
				if i+1 < winogradSide {
					ADDQ(six, row)
				}
			}
			if x+1 < winogradSide {
				ADDQ(inPitch, in)
			}
			transform()
			for i := range tile {
				VMOVUPS(y[i], table.Offset((i*winogradSide+x)*v.width*float))
			}
		}
		MOVQ(at(arg, 16), out)
		MOVQ(at(arg, 40), residual)
		for i := range tile {
			for x := range winogradSide {
				VMOVUPS(table.Offset((i*winogradSide+x)*v.width*float), m[x])
			}
			transform()
			for x := range tile {
				VADDPS(at(bias, d), y[x], y[x])
			}
			skip := LabelRef(name + string(rune('a'+part)) + string(rune('0'+i)))
			TESTQ(residual, residual)
			JZ(skip)
			for x := range tile {
				VADDPS(at(residual, x*block*float+d), y[x], y[x])
			}
			ADDQ(outPitch, residual)
			Label(string(skip))
			for x := range tile {
				VMAXPS(lo, y[x], y[x])
				VMINPS(hi, y[x], y[x])
				VMOVUPS(y[x], at(out, x*block*float+d))
			}
			if i+1 < tile {
				ADDQ(outPitch, out)
			}
		}
	}
	VZEROUPPER()
	RET()
}
