package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// turn transposes squares of 8x8 values, one behind another.
func turn(v isa) {
	name := "turn" + v.name
	TEXT(name, NOSPLIT, "func(dst, src *float32, dstPitch, srcPitch, dstStep, srcStep, squares int)")
	dst, src, dstPitch, srcPitch, dstStep, srcStep, n := reg.RDI, reg.RSI, reg.R8, reg.R9, reg.R10, reg.R11, reg.RCX
	for i, r := range []reg.GPPhysical{dst, src, dstPitch, srcPitch, dstStep, srcStep, n} {
		Load(Param([]string{"dst", "src", "dstPitch", "srcPitch", "dstStep", "srcStep", "squares"}[i]), r)
	}
	a, b := reg.RAX, reg.RBX // rows 3 and 4
	srcThree, dstThree := reg.R12, reg.R13
	LEAQ(Mem{Base: srcPitch, Index: srcPitch, Scale: 2}, srcThree)
	LEAQ(Mem{Base: dstPitch, Index: dstPitch, Scale: 2}, dstThree)
	row := func(base, four, pitch, three reg.Register, i, disp int) Mem {
		m := Mem{Base: base, Disp: disp}
		if i >= 4 {
			m.Base = four
			i -= 4
		}
		switch i {
		case 1, 2:
			m.Index, m.Scale = pitch, uint8(i)
		case 3:
			m.Index, m.Scale = three, 1
		}
		return m
	}
	Label(name + "loop")
	LEAQ(Mem{Base: src, Index: srcPitch, Scale: 4}, a)
	LEAQ(Mem{Base: dst, Index: dstPitch, Scale: 4}, b)
	r := v.regs
	for i := range 4 { // the left halves of rows i and i+4, and their right halves
		for half := range 2 {
			x := r[4*half+i]
			VMOVUPS(row(src, a, srcPitch, srcThree, i, 16*half), x.AsX())
			VINSERTF128(Imm(1), row(src, a, srcPitch, srcThree, i+4, 16*half), x, x)
		}
	}
	for half := range 2 {
		x, y := r[4*half:][:4], r[8+4*half:][:4]
		VUNPCKLPS(x[1], x[0], y[0]) // of both halves: 00 10 01 11
		VUNPCKHPS(x[1], x[0], y[1]) // 02 12 03 13
		VUNPCKLPS(x[3], x[2], y[2])
		VUNPCKHPS(x[3], x[2], y[3])
		VSHUFPS(Imm(0x44), y[2], y[0], x[0])
		VSHUFPS(Imm(0xee), y[2], y[0], x[1])
		VSHUFPS(Imm(0x44), y[3], y[1], x[2])
		VSHUFPS(Imm(0xee), y[3], y[1], x[3])
		for i := range 4 {
			VMOVUPS(x[i], row(dst, b, dstPitch, dstThree, 4*half+i, 0))
		}
	}
	ADDQ(srcStep, src)
	ADDQ(dstStep, dst)
	DECQ(n)
	JNZ(LabelRef(name + "loop"))
	VZEROUPPER()
	RET()
}

// layerNorm normalises the channels of each pixel of a row; see normArgs in ../layernorm.go.
func layerNorm(v isa) {
	name := "layerNorm" + v.name
	TEXT(name, NOSPLIT, "func(a *byte)")
	arg, in, inPlane, out, outPlane := reg.RAX, reg.RSI, reg.R8, reg.RDI, reg.R9
	pixels, at16, count, scale, shift := reg.R10, reg.RDX, reg.RCX, reg.R11, reg.R12
	Load(Param("a"), arg)
	MOVQ(at(arg, 0), in)
	MOVQ(at(arg, 8), inPlane)
	MOVQ(at(arg, 16), out)
	MOVQ(at(arg, 24), outPlane)
	MOVQ(at(arg, 40), pixels)
	y := func(i int) reg.VecPhysical { return v.regs[i] }
	mean, d, f, lo, hi, n := y(8), y(9), y(10), y(11), y(12), y(13)
	VBROADCASTSS(at(arg, 64), n)
	VBROADCASTSS(at(arg, 72), lo)
	VBROADCASTSS(at(arg, 76), hi)
	walk := func(label string, body func(half int)) {
		MOVQ(in, at16)
		MOVQ(at(arg, 32), count)
		Label(name + label)
		each(body)
		ADDQ(inPlane, at16)
	}
	again := func(label string) {
		DECQ(count)
		JNZ(LabelRef(name + label))
	}
	// total leaves the sum of all values of a and b, divided by n, in a.
	total := func(a, b reg.VecPhysical) {
		VADDPS(b, a, a)
		VEXTRACTF128(Imm(1), a, reg.X15)
		VADDPS(reg.X15, a.AsX(), a.AsX())
		VMOVHLPS(a.AsX(), a.AsX(), reg.X15)
		VADDPS(reg.X15, a.AsX(), a.AsX())
		VMOVSHDUP(a.AsX(), reg.X15)
		VADDSS(reg.X15, a.AsX(), a.AsX())
		VDIVSS(n.AsX(), a.AsX(), a.AsX())
	}
	Label(name + "pixel")
	for i := range 6 {
		v.zero(y(i))
	}
	walk("sum", func(i int) { VADDPS(at(at16, 32*i), y(i), y(i)) })
	again("sum")
	total(y(0), y(1))
	VBROADCASTSS(y(0).AsX(), mean)
	walk("squares", func(i int) {
		t := y(6 + i)
		VMOVUPS(at(at16, 32*i), t)
		VSUBPS(mean, t, t)
		VADDPS(t, y(2+i), y(2+i))
		VFMADD231PS(t, t, y(4+i))
	})
	again("squares")
	total(y(2), y(3)) // what rounding the mean left
	total(y(4), y(5))
	VBROADCASTSS(y(2).AsX(), d)
	VFNMADD231SS(y(2).AsX(), y(2).AsX(), y(4).AsX())
	VXORPS(reg.X15, reg.X15, reg.X15)
	VMAXSS(y(4).AsX(), reg.X15, y(4).AsX()) // a NaN stays one
	VADDSS(at(arg, 68), y(4).AsX(), y(4).AsX())
	VSQRTSS(y(4).AsX(), y(4).AsX(), y(4).AsX())
	VBROADCASTSS(y(4).AsX(), f)
	MOVQ(at(arg, 48), scale)
	MOVQ(at(arg, 56), shift)
	MOVQ(out, reg.RBX)
	walk("write", func(i int) {
		t := y(6 + i)
		VMOVUPS(at(at16, 32*i), t)
		VSUBPS(mean, t, t)
		VSUBPS(d, t, t)
		VDIVPS(f, t, t)
		VMOVUPS(at(scale, 32*i), y(i))
		VFMADD213PS(at(shift, 32*i), t, y(i))
		VMAXPS(lo, y(i), y(i))
		VMINPS(hi, y(i), y(i))
		VMOVUPS(y(i), at(reg.RBX, 32*i))
	})
	ADDQ(Imm(64), scale)
	ADDQ(Imm(64), shift)
	ADDQ(outPlane, reg.RBX)
	again("write")
	ADDQ(Imm(64), in)
	ADDQ(Imm(64), out)
	DECQ(pixels)
	JNZ(LabelRef(name + "pixel"))
	VZEROUPPER()
	RET()
}
