package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// consts puts numbers into read-only memory, each once and eight times over.
type consts struct {
	mem  Mem
	at   map[uint32]int
	next int
}

func newConsts(name string) *consts {
	return &consts{mem: GLOBL(name, RODATA|NOPTR), at: map[uint32]int{}}
}

func (c *consts) bits(b uint32) Mem {
	at, ok := c.at[b]
	if !ok {
		at = c.next
		c.at[b] = at
		c.next += 32
		for i := range 8 {
			DATA(at+4*i, U32(b))
		}
	}
	return c.mem.Offset(at)
}

func (c *consts) float(v float64) Mem { return c.bits(math.Float32bits(float32(v))) }

// lanes are two registers that are worked on side by side, since one chain of steps would wait for itself.
type lanes [2]reg.VecPhysical

func each(f func(i int)) {
	for i := range 2 {
		f(i)
	}
}

// exponent replaces x by exp(x), with the polynomial of Cephes' expf; t and u are overwritten. NaN stays NaN.
func exponent(c *consts, x, t, u lanes) {
	each(func(i int) {
		VMOVUPS(c.float(88.37), t[i])
		VMINPS(x[i], t[i], x[i])
		VMOVUPS(c.float(-87.33), t[i])
		VMAXPS(x[i], t[i], x[i])
		VMULPS(c.float(math.Log2E), x[i], t[i])
		VROUNDPS(Imm(0), t[i], t[i])
		VFNMADD231PS(c.float(0.693359375), t[i], x[i])
		VFNMADD231PS(c.float(-2.12194440e-4), t[i], x[i])
		VMOVUPS(c.float(1.9875691500e-4), u[i])
	})
	for _, p := range []float64{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1} {
		each(func(i int) { VFMADD213PS(c.float(p), x[i], u[i]) })
	}
	each(func(i int) {
		VCVTPS2DQ(t[i], t[i])
		VPSLLD(Imm(23), t[i], t[i])
		VPADDD(t[i], u[i], x[i])
	})
}

// act replaces n values, a positive multiple of 16, by a function of each.
func act(c *consts, name string, apply func(x lanes)) {
	name = "act" + name + "AVX2"
	TEXT(name, NOSPLIT, "func(x *float32, n int)")
	Load(Param("x"), reg.RDI)
	Load(Param("n"), reg.RCX)
	x := lanes{reg.Y0, reg.Y1}
	Label(name + "loop")
	each(func(i int) { VMOVUPS(at(reg.RDI, i*32), x[i]) })
	apply(x)
	each(func(i int) { VMOVUPS(x[i], at(reg.RDI, i*32)) })
	ADDQ(Imm(64), reg.RDI)
	SUBQ(Imm(16), reg.RCX)
	JNZ(LabelRef(name + "loop"))
	VZEROUPPER()
	RET()
}

// sigmoidOf sets y to x·1/(1+exp(-z)), or without x to the quotient alone; z is overwritten.
func sigmoidOf(c *consts, z lanes, x *lanes) lanes {
	t, u := lanes{reg.Y4, reg.Y5}, lanes{reg.Y6, reg.Y7}
	each(func(i int) { VXORPS(c.bits(1<<31), z[i], z[i]) })
	exponent(c, z, t, u)
	each(func(i int) {
		VADDPS(c.float(1), z[i], z[i])
		if x != nil {
			VDIVPS(z[i], x[i], z[i])
			return
		}
		VMOVUPS(c.float(1), t[i])
		VDIVPS(z[i], t[i], z[i])
	})
	return z
}

func acts() {
	c := newConsts("actConstants")
	copied := func(x lanes) lanes {
		z := lanes{reg.Y2, reg.Y3}
		each(func(i int) { VMOVAPS(x[i], z[i]) })
		return z
	}
	back := func(z, x lanes) { each(func(i int) { VMOVAPS(z[i], x[i]) }) }
	act(c, "Sigmoid", func(x lanes) { back(sigmoidOf(c, copied(x), nil), x) })
	act(c, "SiLU", func(x lanes) { back(sigmoidOf(c, copied(x), &x), x) })
	act(c, "GELUTanh", func(x lanes) { // x·σ(2·√(2/π)·(x+0.044715x³))
		z := lanes{reg.Y2, reg.Y3}
		each(func(i int) {
			VMULPS(x[i], x[i], z[i])
			VMOVUPS(c.float(2*math.Sqrt(2/math.Pi)), reg.Y4)
			VMOVUPS(c.float(2*math.Sqrt(2/math.Pi)*0.044715), reg.Y5)
			VFMADD213PS(reg.Y4, reg.Y5, z[i])
			VMULPS(x[i], z[i], z[i])
		})
		back(sigmoidOf(c, z, &x), x)
	})
	act(c, "GELU", func(x lanes) {
		// Φ(-|x|) = exp(-x²/2)/2 · (a1·t + … + a5·t⁵), t = 1/(1+p·|x|/√2): Abramowitz and Stegun, 7.1.26
		z, t, u := lanes{reg.Y2, reg.Y3}, lanes{reg.Y4, reg.Y5}, lanes{reg.Y6, reg.Y7}
		q, p := lanes{reg.Y8, reg.Y9}, lanes{reg.Y10, reg.Y11}
		each(func(i int) {
			VANDPS(c.bits(1<<31-1), x[i], q[i])
			VMOVUPS(c.float(0.3275911/math.Sqrt2), p[i])
			VMOVUPS(c.float(1), t[i])
			VFMADD213PS(t[i], p[i], q[i])
			VDIVPS(q[i], t[i], q[i]) // t
			VMULPS(x[i], x[i], z[i])
			VMULPS(c.float(-0.5), z[i], z[i])
		})
		exponent(c, z, t, u)
		each(func(i int) { VMOVUPS(c.float(1.061405429/2), p[i]) })
		for _, a := range []float64{-1.453152027 / 2, 1.421413741 / 2, -0.284496736 / 2, 0.254829592 / 2} {
			each(func(i int) { VFMADD213PS(c.float(a), q[i], p[i]) })
		}
		each(func(i int) {
			VMULPS(q[i], p[i], p[i])
			VMULPS(z[i], p[i], p[i]) // Φ(-|x|)
			VMOVUPS(c.float(1), t[i])
			VSUBPS(p[i], t[i], t[i])
			VBLENDVPS(x[i], p[i], t[i], t[i])
			VMULPS(t[i], x[i], x[i])
		})
	})
	act(c, "HardSwish", func(x lanes) {
		z := lanes{reg.Y2, reg.Y3}
		each(func(i int) {
			VMOVUPS(c.float(1./6), z[i])
			VMOVUPS(c.float(0.5), reg.Y4)
			VFMADD213PS(reg.Y4, x[i], z[i])
			VXORPS(reg.Y5, reg.Y5, reg.Y5)
			VMAXPS(z[i], reg.Y5, z[i])
			VMOVUPS(c.float(1), reg.Y6)
			VMINPS(z[i], reg.Y6, z[i])
			VMULPS(z[i], x[i], x[i])
		})
	})
	softmax(c)
}

// softmax replaces n values, a positive multiple of 16, by exp(s·x)/Σ exp(s·x), s positive.
func softmax(c *consts) {
	const name = "softmaxAVX2"
	TEXT(name, NOSPLIT, "func(x *float32, n int, s float32)")
	x, n := reg.RDI, reg.RCX
	loop := func(label string, body func()) {
		Load(Param("x"), x)
		Load(Param("n"), n)
		Label(name + label)
		body()
		ADDQ(Imm(64), x)
		SUBQ(Imm(16), n)
		JNZ(LabelRef(name + label))
	}
	most, sum, scale := lanes{reg.Y8, reg.Y9}, lanes{reg.Y10, reg.Y11}, reg.Y12
	v, t, u := lanes{reg.Y0, reg.Y1}, lanes{reg.Y4, reg.Y5}, lanes{reg.Y6, reg.Y7}
	broadcast([]reg.VecPhysical{scale}, "s")
	Load(Param("x"), x)
	each(func(i int) { VMOVUPS(at(x, i*32), most[i]) })
	loop("most", func() { each(func(i int) { VMAXPS(at(x, i*32), most[i], most[i]) }) })
	VMAXPS(most[1], most[0], most[0])
	fold := func(y reg.VecPhysical, x0 reg.VecPhysical, combine func(a, b, to Op)) {
		VEXTRACTF128(Imm(1), y, reg.X1)
		combine(reg.X1, x0, x0)
		VMOVHLPS(x0, x0, reg.X1)
		combine(reg.X1, x0, x0)
		VMOVSHDUP(x0, reg.X1)
		combine(reg.X1, x0, x0)
		VBROADCASTSS(x0, y)
	}
	fold(reg.Y8, reg.X8, func(a, b, to Op) { VMAXPS(a, b, to) })
	VMULPS(scale, most[0], most[0])
	each(func(i int) { VXORPS(sum[i], sum[i], sum[i]) })
	loop("exp", func() {
		each(func(i int) {
			VMOVUPS(at(x, i*32), v[i])
			VFMSUB213PS(most[0], scale, v[i])
		})
		exponent(c, v, t, u)
		each(func(i int) {
			VADDPS(v[i], sum[i], sum[i])
			VMOVUPS(v[i], at(x, i*32))
		})
	})
	VADDPS(sum[1], sum[0], sum[0])
	fold(reg.Y10, reg.X10, func(a, b, to Op) { VADDPS(a, b, to) })
	VMOVUPS(c.float(1), t[0])
	VDIVPS(sum[0], t[0], sum[0])
	loop("share", func() {
		each(func(i int) {
			VMULPS(at(x, i*32), sum[0], v[i])
			VMOVUPS(v[i], at(x, i*32))
		})
	})
	VZEROUPPER()
	RET()
}
