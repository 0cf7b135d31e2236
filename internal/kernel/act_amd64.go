//go:build amd64 && !noasm

package kernel

var actsAVX2 = [acts]func(x *float32, n int){
	ActSigmoid: actSigmoidAVX2, ActSiLU: actSiLUAVX2, ActGELU: actGELUAVX2, ActGELUTanh: actGELUTanhAVX2, ActHardSwish: actHardSwishAVX2,
}

// Implemented in acts_amd64.s, which gen writes; twins in act.go. They move less than they compute, and AVX-512 takes them too.

//go:noescape
func actSigmoidAVX2(x *float32, n int)

//go:noescape
func actSiLUAVX2(x *float32, n int)

//go:noescape
func actGELUAVX2(x *float32, n int)

//go:noescape
func actGELUTanhAVX2(x *float32, n int)

//go:noescape
func actHardSwishAVX2(x *float32, n int)

//go:noescape
func softmaxAVX2(x *float32, n int, s float32)
