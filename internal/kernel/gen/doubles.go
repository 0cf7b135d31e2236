package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const double = 8 // bytes

// dots64 sets dst[i][r] to Σ(x[i][j]-from[j])·panel[j][r] over n values, n positive, for count slices x[i]. A row of dst begins pitch bytes behind the
// one before. Each sum is in order.
func dots64(v isa) {
	meet64(v, "dots64", "func(dst *float64, pitch int, x *[]float64, from, panel *float64, n, count int)", true,
		func(x, w, _, acc reg.VecPhysical) { VFMADD231PD(x, w, acc) })
}

// squares64 sets dst[i][r] to Σ(x[i][j]-panel[j][r])², likewise.
func squares64(v isa) {
	meet64(v, "squares64", "func(dst *float64, pitch int, x *[]float64, panel *float64, n, count int)", false,
		func(x, w, t, acc reg.VecPhysical) {
			VSUBPD(w, x, t)
			VFMADD231PD(t, t, acc)
		})
}

// meet64 takes as many slices at a time as there are registers for sums that do not wait for each other, then one; with an origin, less that.
func meet64(v isa, name, signature string, origin bool, step func(x, w, t, acc reg.VecPhysical)) {
	name += v.name
	TEXT(name, NOSPLIT, signature)
	lanes := v.width / 2
	V := block / lanes
	dst, pitch, x, panel, n, count := reg.RDI, reg.R9, reg.RSI, reg.RDX, reg.R10, reg.RCX
	from := reg.R8
	for i, r := range []reg.GPPhysical{dst, pitch, x, panel, n, count} {
		Load(Param([]string{"dst", "pitch", "x", "panel", "n", "count"}[i]), r)
	}
	if origin {
		Load(Param("from"), from)
	}
	SHLQ(Imm(3), n) // bytes
	rows, w, at := []reg.GPPhysical{reg.R11, reg.R12, reg.R13, reg.RBX}, reg.RAX, reg.R15
	sum := func(label string, together int) {
		accs, free := v.regs[:together*V], v.regs[together*V:]
		xs, shift, y, t := free[:together], free[together], free[together+1], free[together+2]
		for i := range together {
			MOVQ(Mem{Base: x, Disp: i * 3 * 8}, rows[i])
		}
		for _, r := range accs {
			v.zero(r)
		}
		MOVQ(panel, w)
		XORQ(at, at)
		Label(label)
		if origin {
			VBROADCASTSD(Mem{Base: from, Index: at, Scale: 1}, shift)
		}
		for i := range together {
			VBROADCASTSD(Mem{Base: rows[i], Index: at, Scale: 1}, xs[i])
			if origin {
				VSUBPD(shift, xs[i], xs[i])
			}
		}
		for j := range V {
			VMOVUPD(Mem{Base: w, Disp: j * lanes * double}, y)
			for i := range together {
				step(xs[i], y, t, accs[i*V+j])
			}
		}
		ADDQ(U32(block*double), w)
		ADDQ(Imm(double), at)
		CMPQ(at, n)
		JL(LabelRef(label))
		for i := range together {
			for j := range V {
				VMOVUPD(accs[i*V+j], Mem{Base: dst, Disp: j * lanes * double})
			}
			ADDQ(pitch, dst)
		}
		ADDQ(U32(uint32(together*3*8)), x)
	}
	together := 8 / V
	Label(name + "many")
	CMPQ(count, Imm(uint64(together)))
	JL(LabelRef(name + "few"))
	sum(name+"group", together)
	SUBQ(Imm(uint64(together)), count)
	JMP(LabelRef(name + "many"))
	Label(name + "few")
	TESTQ(count, count)
	JZ(LabelRef(name + "done"))
	sum(name+"one", 1)
	DECQ(count)
	JMP(LabelRef(name + "few"))
	Label(name + "done")
	VZEROUPPER()
	RET()
}

// fetch asks for the cache lines of n bytes, and does not wait for them.
func fetch() {
	TEXT("fetchAMD64", NOSPLIT, "func(x *float64, n int)")
	x, n := reg.RSI, reg.RCX
	Load(Param("x"), x)
	Load(Param("n"), n)
	ADDQ(x, n)
	Label("fetchLine")
	PREFETCHT0(Mem{Base: x})
	ADDQ(Imm(64), x)
	CMPQ(x, n)
	JL(LabelRef("fetchLine"))
	RET()
}
