#include "textflag.h"

// func readAVX2(p *float32, n int)
// Reads n floats, a multiple of 64, into nothing.
TEXT ·readAVX2(SB), NOSPLIT, $0-16
	MOVQ   p+0(FP), AX
	MOVQ   n+8(FP), CX
	SHRQ   $6, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7

again:
	VADDPS (AX), Y0, Y0
	VADDPS 32(AX), Y1, Y1
	VADDPS 64(AX), Y2, Y2
	VADDPS 96(AX), Y3, Y3
	VADDPS 128(AX), Y4, Y4
	VADDPS 160(AX), Y5, Y5
	VADDPS 192(AX), Y6, Y6
	VADDPS 224(AX), Y7, Y7
	ADDQ   $256, AX
	DECQ   CX
	JNZ    again
	VZEROUPPER
	RET

// func triadAVX2(to, a, b *float32, n int)
// to[i] = a[i] + to[0]·b[i] for n floats, a multiple of 16.
TEXT ·triadAVX2(SB), NOSPLIT, $0-32
	MOVQ         to+0(FP), DI
	MOVQ         a+8(FP), AX
	MOVQ         b+16(FP), BX
	MOVQ         n+24(FP), CX
	SHRQ         $4, CX
	VBROADCASTSS (DI), Y2

again:
	VMOVUPS     (AX), Y0
	VMOVUPS     32(AX), Y1
	VFMADD231PS (BX), Y2, Y0
	VFMADD231PS 32(BX), Y2, Y1
	VMOVUPS     Y0, (DI)
	VMOVUPS     Y1, 32(DI)
	ADDQ        $64, AX
	ADDQ        $64, BX
	ADDQ        $64, DI
	DECQ        CX
	JNZ         again
	VZEROUPPER
	RET
