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

// rows8 multiplies rows of levels by 16 vectors of bytes, three rows at a time; see tile8Args in ../int8.go. Sums of products stay in 16 bits
// for 16 values, which fit as ../sieve8.go says.
func rows8(v isa) {
	name := "rows8" + v.name
	TEXT(name, NOSPLIT, "func(a *byte, rows int)")
	arg, in, counts, first, sums, bias, stride, rows := reg.RAX, reg.RSI, reg.R12, reg.RDX, reg.R14, reg.R15, reg.R9, reg.R10
	x, w, left := reg.RDI, reg.RBX, reg.RCX
	Load(Param("a"), arg)
	Load(Param("rows"), rows)
	MOVQ(at(arg, 0), in)
	MOVQ(at(arg, 2*8), counts)
	for i, r := range []reg.GPPhysical{first, sums, bias, stride} {
		MOVQ(at(arg, (4+i)*8), r)
	}
	MOVQ(at(counts, 0), counts)
	SHRQ(Imm(2), counts)
	V := block / v.width
	together := func(label string, P int) {
		acc := func(p, j int) reg.VecPhysical { return v.regs[p*V+j] }
		words := func(p, j int) reg.VecPhysical { return v.regs[(P+p)*V+j] }
		weights, spare := v.regs[2*P*V:][:V], v.regs[(2*P+1)*V:]
		Label(label)
		for p := range P {
			for j := range V {
				VMOVDQU(at(bias, j*v.width*float), acc(p, j))
			}
		}
		MOVQ(in, x)
		MOVQ(first, w)
		MOVQ(counts, left)
		Label(label + "values")
		for quad := range 4 {
			for j := range V {
				VMOVDQU(at(w, (quad*V+j)*v.width*float), weights[j])
			}
			for p := range P {
				m := Mem{Base: x, Disp: 4 * quad}
				if p > 0 {
					m.Index, m.Scale = stride, uint8(p)
				}
				VPBROADCASTD(m, spare[0])
				for j := range V {
					if quad == 0 {
						VPMADDUBSW(weights[j], spare[0], words(p, j))
						continue
					}
					t := spare[1-j/(V-1)] // the last product takes the level's place
					VPMADDUBSW(weights[j], spare[0], t)
					VPADDW(t, words(p, j), words(p, j))
				}
			}
		}
		VPBROADCASTD(onesData(), weights[0])
		for p := range P {
			for j := range V {
				VPMADDWD(weights[0], words(p, j), words(p, j))
				VPADDD(words(p, j), acc(p, j), acc(p, j))
			}
		}
		ADDQ(Imm(block), x)
		ADDQ(U32(4*block*float), w)
		DECQ(left)
		JNZ(LabelRef(label + "values"))
		for p := range P {
			for j := range V {
				VMOVDQU(acc(p, j), at(sums, (p*block+j*v.width)*float))
			}
			ADDQ(stride, in)
		}
		ADDQ(Imm(uint64(P*block*float)), sums)
		SUBQ(Imm(uint64(P)), rows)
	}
	const P = 3
	SUBQ(Imm(P), rows)
	JL(LabelRef(name + "few"))
	together(name+"three", P)
	JGE(LabelRef(name + "three"))
	Label(name + "few")
	ADDQ(Imm(P), rows)
	JZ(LabelRef(name + "done"))
	together(name+"one", 1)
	JNZ(LabelRef(name + "one"))
	Label(name + "done")
	VZEROUPPER()
	RET()
}

// asked sets bit j of masks[r] where query r asks for vector j of 16; see askedGeneric in ../sieve8.go, and Query8 there for a query's numbers.
func asked(v isa) {
	name := "asked" + v.name
	TEXT(name, NOSPLIT, "func(masks *uint16, sums *int32, queries *float32, rows int, scale, base, rest *float32)")
	masks, sums, queries, rows, from := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.R8
	low, high := reg.RAX, reg.RBX
	Load(Param("masks"), masks)
	Load(Param("sums"), sums)
	Load(Param("queries"), queries)
	Load(Param("rows"), rows)
	constants := map[string][]reg.VecPhysical{"scale": v.regs[8:10], "base": v.regs[10:12], "rest": v.regs[12:14]}
	for _, name := range []string{"scale", "base", "rest"} {
		Load(Param(name), from)
		for j, r := range constants[name] {
			VMOVUPS(at(from, j*v.width*float), r)
		}
	}
	q, t, sum := v.regs[0], v.regs[1:3], v.regs[3:5]
	Label(name + "row")
	VBROADCASTSS(at(queries, 0), q)
	for j := range t {
		VMULPS(q, constants["scale"][j], t[j])
		VCVTDQ2PS(at(sums, j*v.width*float), sum[j])
		VFMADD213PS(constants["base"][j], sum[j], t[j])
	}
	VBROADCASTSS(at(queries, float), q)
	for j := range t {
		VFNMADD231PS(q, constants["rest"][j], t[j])
	}
	VBROADCASTSS(at(queries, 2*float), q)
	for j := range t {
		VCMPPS(Imm(notLess), t[j], q, t[j])
	}
	VMOVMSKPS(t[0], low.As32())
	VMOVMSKPS(t[1], high.As32())
	SHLL(Imm(uint64(v.width)), high.As32())
	ORL(high.As32(), low.As32())
	MOVW(low.As16(), at(masks, 0))
	ADDQ(Imm(2), masks)
	ADDQ(Imm(block*float), sums)
	ADDQ(Imm(3*float), queries)
	DECQ(rows)
	JNZ(LabelRef(name + "row"))
	VZEROUPPER()
	RET()
}

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
