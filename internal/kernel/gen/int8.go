package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile8Loop are the registers that tiles of bytes share; see tile8Args in ../int8.go.
type tile8Loop struct {
	strides
	in, offsets, counts, groups, weights, sums, count reg.GPPhysical
}

func beginTile8(name string) (tile8Loop, reg.GPPhysical) {
	TEXT(name, NOSPLIT, "func(a *byte)")
	l := tile8Loop{strides{reg.RDI, reg.RBX, reg.R9, reg.R10, reg.R11}, reg.RSI, reg.R8, reg.R12, reg.RCX, reg.RDX, reg.R13, reg.R14}
	arg, bias := reg.RAX, reg.R15
	Load(Param("a"), arg)
	for i, r := range []reg.GPPhysical{l.in, l.offsets, l.counts, l.groups, l.weights, l.sums, bias, l.one} {
		MOVQ(at(arg, 8*i), r)
	}
	LEAQ(Mem{Base: l.one, Index: l.one, Scale: 2}, l.three)
	LEAQ(Mem{Base: l.one, Index: l.one, Scale: 4}, l.five)
	return l, bias
}

// step points at the next step's inputs.
func (l tile8Loop) step(P int) {
	MOVQ(at(l.offsets, 0), l.base)
	ADDQ(Imm(8), l.offsets)
	ADDQ(l.in, l.base)
	if P > 7 {
		LEAQ(Mem{Base: l.base, Index: l.three, Scale: 2}, l.base7)
		ADDQ(l.one, l.base7)
	}
}

// tile8Pairs multiplies P pixels by 16 output channels. Within a group of steps, sums of two products each stay in 16 bits, whose range
// the weights' packing has made sure of; at its end they become 32 bits wide and are added to the sums in memory.
func tile8Pairs(v isa, P int) {
	name := fmt.Sprintf("tile8%sP%d", v.name, P)
	l, bias := beginTile8(name)
	V := block / v.width // vectors of output channels
	acc := func(p, j int) reg.VecPhysical { return v.regs[p*V+j] }
	w := v.regs[P*V:][:V]
	spare := v.regs[P*V+V:]
	for j := range V {
		load32(v, at(bias, j*v.width*float), w[j])
		for p := range P {
			store32(v, w[j], at(l.sums, (p*block+j*v.width)*float))
		}
	}
	Label(name + "group")
	MOVQ(at(l.counts, 0), l.count)
	ADDQ(Imm(8), l.counts)
	for p := range P {
		for j := range V {
			v.zero(acc(p, j))
		}
	}
	Label(name + "step")
	l.step(P)
	for j := range V {
		load32(v, at(l.weights, j*v.width*float), w[j])
	}
	ADDQ(Imm(4*block), l.weights)
	for p := range P {
		x := spare[p*V%len(spare)]
		VPBROADCASTD(l.pixel(p, 0), x)
		for j := range V {
			t := x // the last product takes its place
			if j < V-1 {
				t = spare[(p*V+1)%len(spare)]
			}
			VPMADDUBSW(w[j], x, t)
			VPADDW(t, acc(p, j), acc(p, j))
		}
	}
	DECQ(l.count)
	JNZ(LabelRef(name + "step"))
	ones := spare[0]
	VPBROADCASTD(onesData(), ones)
	for p := range P {
		for j := range V {
			m := at(l.sums, (p*block+j*v.width)*float)
			VPMADDWD(ones, acc(p, j), acc(p, j))
			VPADDD(m, acc(p, j), acc(p, j))
			store32(v, acc(p, j), m)
		}
	}
	DECQ(l.groups)
	JNZ(LabelRef(name + "group"))
	VZEROUPPER()
	RET()
}

var ones *Mem

// onesData is a pair of 16-bit ones.
func onesData() Mem {
	if ones == nil {
		m := GLOBL("onesInt16", RODATA|NOPTR)
		DATA(0, U32(0x00010001))
		ones = &m
	}
	return *ones
}

// load32 loads a register of either width.
func load32(v isa, m Mem, r reg.VecPhysical) {
	if v.width == 16 {
		VMOVDQU32(m, r)
	} else {
		VMOVDQU(m, r)
	}
}

// store32 stores a register of either width.
func store32(v isa, r reg.VecPhysical, m Mem) {
	if v.width == 16 {
		VMOVDQU32(r, m)
	} else {
		VMOVDQU(r, m)
	}
}

// tile8VNNI multiplies P pixels by 16 output channels with AVX512_VNNI, whose sums of four products are 32 bits wide.
func tile8VNNI(P int) {
	name := fmt.Sprintf("tile8VNNIP%d", P)
	l, bias := beginTile8(name)
	v := avx512
	w, x := v.regs[P], v.regs[P+1:]
	for p := range P {
		VMOVDQU32(at(bias, 0), v.regs[p])
	}
	Label(name + "group")
	MOVQ(at(l.counts, 0), l.count)
	ADDQ(Imm(8), l.counts)
	Label(name + "step")
	l.step(P)
	VMOVDQU32(at(l.weights, 0), w)
	ADDQ(Imm(4*block), l.weights)
	for p := range P {
		VPBROADCASTD(l.pixel(p, 0), x[p%4])
		VPDPBUSD(w, x[p%4], v.regs[p])
	}
	DECQ(l.count)
	JNZ(LabelRef(name + "step"))
	DECQ(l.groups)
	JNZ(LabelRef(name + "group"))
	for p := range P {
		VMOVDQU32(v.regs[p], at(l.sums, p*block*float))
	}
	VZEROUPPER()
	RET()
}

// requantize turns sums into levels; see Quantizing in ../int8_quantize.go, whose constants' order it knows.
func requantize() {
	TEXT("requantizeAVX2", NOSPLIT, "func(a *byte)")
	const lo, hi, zero, own, otherZero, other, level, sumLo, sumHi, from, to, againLo, againHi = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
	const nearest = 8 // and no exceptions
	arg, sums, out, pixels, scale, constants, residual, last := reg.RAX, reg.RSI, reg.RDI, reg.RCX, reg.RDX, reg.R8, reg.R9, reg.R10
	Load(Param("a"), arg)
	for i, r := range []reg.GPPhysical{sums, out, pixels, scale, constants, residual, last} {
		MOVQ(at(arg, 8*i), r)
	}
	c := func(row int) Mem { return at(constants, row*32) }
	t, r, scales := []reg.VecPhysical{reg.Y0, reg.Y1}, []reg.VecPhysical{reg.Y2, reg.Y3}, []reg.VecPhysical{reg.Y4, reg.Y5}
	loop := func(label string, withResidual, again bool) {
		keep := map[int]reg.VecPhysical{}
		rows := []int{lo, hi, zero}
		if withResidual {
			rows = append(rows, own, otherZero, other, level, sumLo, sumHi)
		} else if again {
			rows = append(rows, from, to, againLo, againHi)
		}
		for i, row := range rows {
			keep[row] = avx2.regs[6+i]
			VMOVUPS(c(row), keep[row])
		}
		k := func(row int) Op {
			if r, ok := keep[row]; ok {
				return r
			}
			return c(row)
		}
		for j := range 2 {
			VMOVUPS(at(scale, j*32), scales[j])
		}
		Label(label)
		each := func(f func(j int)) {
			for j := range 2 {
				f(j)
			}
		}
		clamp := func(lo, hi int, round bool) {
			each(func(j int) { VMAXPS(k(lo), t[j], t[j]) })
			each(func(j int) { VMINPS(k(hi), t[j], t[j]) })
			if round {
				each(func(j int) { VROUNDPS(Imm(nearest), t[j], t[j]) })
			}
		}
		each(func(j int) { VCVTDQ2PS(at(sums, j*32), t[j]) })
		each(func(j int) { VMULPS(scales[j], t[j], t[j]) })
		clamp(lo, hi, withResidual || again)
		if withResidual {
			each(func(j int) { VPMOVZXBD(at(residual, j*8), r[j]) })
			each(func(j int) { VCVTDQ2PS(r[j], r[j]) })
			each(func(j int) { VSUBPS(k(otherZero), r[j], r[j]) })
			each(func(j int) { VMULPS(k(other), r[j], r[j]) })
			each(func(j int) { VMULPS(k(own), t[j], t[j]) })
			each(func(j int) { VADDPS(r[j], t[j], t[j]) })
			each(func(j int) { VDIVPS(k(level), t[j], t[j]) })
			clamp(sumLo, sumHi, again)
			ADDQ(Imm(block), residual)
		}
		if again {
			each(func(j int) { VMULPS(k(from), t[j], t[j]) })
			each(func(j int) { VDIVPS(k(to), t[j], t[j]) })
			clamp(againLo, againHi, false)
		}
		each(func(j int) { VCVTPS2DQ(t[j], t[j]) })
		each(func(j int) { VPADDD(k(zero), t[j], t[j]) })
		VPACKSSDW(reg.Y1, reg.Y0, reg.Y0)
		VPERMQ(Imm(0xd8), reg.Y0, reg.Y0)
		VEXTRACTI128(Imm(1), reg.Y0, reg.X1)
		VPACKUSWB(reg.X1, reg.X0, reg.X0)
		VMOVDQU(reg.X0, at(out, 0))
		ADDQ(Imm(block*float), sums)
		ADDQ(Imm(block), out)
		DECQ(pixels)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	name := "requantize"
	TESTQ(residual, residual)
	JZ(LabelRef(name + "alone"))
	TESTQ(last, last)
	JZ(LabelRef(name + "sum"))
	loop(name+"sumAgainLoop", true, true)
	Label(name + "sum")
	loop(name+"sumLoop", true, false)
	Label(name + "alone")
	TESTQ(last, last)
	JZ(LabelRef(name + "plain"))
	loop(name+"againLoop", false, true)
	Label(name + "plain")
	loop(name+"plainLoop", false, false)
}

// maxPool8 takes the largest of a list of taps for each pixel of a row, 16 channels at once; see pool8Args in ../int8.go.
func maxPool8() {
	TEXT("maxPool8AVX2", NOSPLIT, "func(a *byte)")
	s := strides{reg.RDI, reg.RBX, reg.R9, reg.R10, reg.R11}
	arg, in, first, taps, out, pixels, offsets, count := reg.RAX, reg.RSI, reg.R8, reg.RDX, reg.R12, reg.R13, reg.R14, reg.RCX
	Load(Param("a"), arg)
	for i, r := range []reg.GPPhysical{in, first, taps, out, pixels, s.one} {
		MOVQ(at(arg, 8*i), r)
	}
	LEAQ(Mem{Base: s.one, Index: s.one, Scale: 2}, s.three)
	x := []reg.VecPhysical{reg.X0, reg.X1, reg.X2, reg.X3}
	group := func(label string, P int) {
		for p := range P {
			VPXOR(x[p], x[p], x[p])
		}
		MOVQ(first, offsets)
		MOVQ(taps, count)
		Label(label)
		MOVQ(at(offsets, 0), s.base)
		ADDQ(Imm(8), offsets)
		ADDQ(in, s.base)
		for p := range P {
			VPMAXUB(s.pixel(p, 0), x[p], x[p])
		}
		DECQ(count)
		JNZ(LabelRef(label))
		for p := range P {
			VMOVDQU(x[p], at(out, p*block))
		}
		ADDQ(Imm(uint64(P*block)), out)
		LEAQ(Mem{Base: in, Index: s.one, Scale: uint8(P)}, in)
		SUBQ(Imm(uint64(P)), pixels)
	}
	Label("maxPool8many")
	CMPQ(pixels, Imm(4))
	JL(LabelRef("maxPool8few"))
	group("maxPool8x4", 4)
	JMP(LabelRef("maxPool8many"))
	Label("maxPool8few")
	TESTQ(pixels, pixels)
	JZ(LabelRef("maxPool8done"))
	group("maxPool8x1", 1)
	JMP(LabelRef("maxPool8few"))
	Label("maxPool8done")
	RET()
}
