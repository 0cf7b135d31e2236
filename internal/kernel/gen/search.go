package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// atMost sets bit r where one of the 16 values of row r is at most limits[r], of up to 64 rows.
func atMost(v isa) {
	name := "atMost" + v.name
	TEXT(name, NOSPLIT, "func(values, limits *float32, rows int) uint64")
	values, limits, rows, mask, lanes := reg.RSI, reg.RDI, reg.RCX, reg.RAX, reg.RDX
	Load(Param("values"), values)
	Load(Param("limits"), limits)
	Load(Param("rows"), rows)
	XORQ(mask, mask)
	at := reg.R8
	MOVQ(rows, at)
	SHLQ(Imm(6), at) // bytes of 16 values
	ADDQ(at, values)
	Label(name + "row") // from the last to the first
	SUBQ(Imm(block*float), values)
	VBROADCASTSS(Mem{Base: limits, Index: rows, Scale: float, Disp: -float}, v.regs[0])
	for j := range block / v.width {
		VCMPPS(Imm(notLess), Mem{Base: values, Disp: j * v.width * float}, v.regs[0], v.regs[1+j])
	}
	VORPS(v.regs[1], v.regs[2], v.regs[1])
	VMOVMSKPS(v.regs[1], lanes.As32())
	NEGL(lanes.As32()) // carries if it is not 0
	ADCQ(mask, mask)
	DECQ(rows)
	JNZ(LabelRef(name + "row"))
	VZEROUPPER()
	Store(mask, ReturnIndex(0))
	RET()
}

// notLess is a predicate of VCMPPS, false for NaN and quiet.
const notLess = 0x1d

// sqDists sets dst[i] to Σ(x[j]-rows[i][j])² over n values, n a positive multiple of 16, for count rows one after the other: four at a time, so
// that x is loaded once. Each sum has 8 partial ones.
func sqDists(v isa) {
	name := "sqDists" + v.name
	TEXT(name, NOSPLIT, "func(dst, x, rows *float32, n, count int)")
	dst, x, n, count, bytes, at := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.R9, reg.RAX
	rows := []reg.GPPhysical{reg.R8, reg.R10, reg.R11, reg.R12}
	Load(Param("dst"), dst)
	Load(Param("x"), x)
	Load(Param("rows"), rows[0])
	Load(Param("n"), n)
	Load(Param("count"), count)
	MOVQ(n, bytes)
	SHLQ(Imm(2), bytes)
	sum := func(label string, together int) {
		for i := 1; i < together; i++ {
			LEAQ(Mem{Base: rows[i-1], Index: bytes, Scale: 1}, rows[i])
		}
		for i := range together {
			v.zero(v.regs[i])
		}
		XORQ(at, at)
		Label(label)
		for j := range block / v.width {
			VMOVUPS(Mem{Base: x, Index: at, Scale: 1, Disp: j * v.width * float}, v.regs[8])
			for i := range together {
				t := v.regs[4+i]
				VSUBPS(Mem{Base: rows[i], Index: at, Scale: 1, Disp: j * v.width * float}, v.regs[8], t)
				VFMADD231PS(t, t, v.regs[i])
			}
		}
		ADDQ(Imm(block*float), at)
		CMPQ(at, bytes)
		JL(LabelRef(label))
		LEAQ(Mem{Base: rows[together-1], Index: bytes, Scale: 1}, rows[0])
	}
	Label(name + "many")
	CMPQ(count, Imm(4))
	JL(LabelRef(name + "few"))
	sum(name+"four", 4)
	VHADDPS(v.regs[1], v.regs[0], v.regs[0])
	VHADDPS(v.regs[3], v.regs[2], v.regs[2])
	VHADDPS(v.regs[2], v.regs[0], v.regs[0]) // of each row the sum of the lower four lanes, and of the upper four
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	VADDPS(reg.X1, reg.X0, reg.X0)
	VMOVUPS(reg.X0, Mem{Base: dst})
	ADDQ(Imm(4*float), dst)
	SUBQ(Imm(4), count)
	JMP(LabelRef(name + "many"))
	Label(name + "few")
	TESTQ(count, count)
	JZ(LabelRef(name + "done"))
	sum(name+"one", 1)
	VHADDPS(v.regs[0], v.regs[0], v.regs[0])
	VHADDPS(v.regs[0], v.regs[0], v.regs[0])
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	VADDSS(reg.X1, reg.X0, reg.X0)
	VMOVSS(reg.X0, Mem{Base: dst})
	ADDQ(Imm(float), dst)
	DECQ(count)
	JMP(LabelRef(name + "few"))
	Label(name + "done")
	VZEROUPPER()
	RET()
}

// expMinus sets dst to e^-x for x from 0 to +Inf, over n values, n a positive multiple of 16: 2^k·e^r with |r| ≤ ½ln2, and Taylor's series to the
// seventh power. What is less than the least normal number is 0.
func expMinus(v isa) {
	name := "expMinus" + v.name
	TEXT(name, NOSPLIT, "func(dst, x *float32, n int)")
	dst, x, n := reg.RDI, reg.RSI, reg.RCX
	Load(Param("dst"), dst)
	Load(Param("x"), x)
	Load(Param("n"), n)
	c := v.regs[6:]
	const least, log2e, high, low, one, bias = 0, 1, 2, 3, 4, 5
	bits := func(f float64) uint32 { return math.Float32bits(float32(f)) }
	high32 := math.Float32frombits(bits(math.Ln2) &^ 0xfff) // times a k of 8 bits it is exact
	numbers(v, c, bits(-126*math.Ln2), bits(math.Log2E), math.Float32bits(high32), bits(math.Ln2-float64(high32)), bits(1), 127)
	coefficients := GLOBL("inverseFactorials", RODATA|NOPTR)
	factorial := 5040.
	for i := range 7 { // 1/7! to 1/1!
		DATA(4*i, U32(bits(1/factorial)))
		factorial /= float64(7 - i)
	}
	Label(name + "loop")
	for j := range block / v.width {
		d := j * v.width * float
		z, k, p, keep := v.regs[0], v.regs[1], v.regs[2], v.regs[3]
		v.zero(z)
		VSUBPS(at(x, d), z, z)
		VCMPPS(Imm(notLess), c[least], z, keep)
		VMAXPS(c[least], z, z)
		VMULPS(z, c[log2e], k)
		VROUNDPS(Imm(0), k, k) // to the nearest
		VFNMADD231PS(k, c[high], z)
		VFNMADD231PS(k, c[low], z)
		VBROADCASTSS(coefficients.Offset(0), p)
		for i := 1; i < 7; i++ {
			VBROADCASTSS(coefficients.Offset(4*i), v.regs[4])
			VFMADD213PS(v.regs[4], z, p)
		}
		VFMADD213PS(c[one], z, p)
		VCVTPS2DQ(k, k)
		VPADDD(c[bias], k, k)
		VPSLLD(Imm(23), k, k)
		VMULPS(k, p, p)
		VANDPS(keep, p, p)
		VMOVUPS(p, at(dst, d))
	}
	ADDQ(Imm(block*float), dst)
	ADDQ(Imm(block*float), x)
	SUBQ(Imm(block), n)
	JNZ(LabelRef(name + "loop"))
	VZEROUPPER()
	RET()
}
