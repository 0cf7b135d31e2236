// Package cpu says which instruction set the kernels use.
package cpu

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/cpu"
)

// ISA is an instruction set that kernels are written for.
type ISA int

const (
	Generic ISA = iota // plain Go
	AVX2               // with FMA
	AVX512             // F, DQ, BW, VL
	NEON               // of every 64-bit ARM
)

var names = map[ISA]string{Generic: "generic", AVX2: "avx2", AVX512: "avx512", NEON: "neon"}

func (i ISA) String() string { return names[i] }

// EnvISA is the environment variable that forces an instruction set: generic, avx2, avx512 or neon.
const EnvISA = "BLEMISH_ISA"

// Available lists the instruction sets of this machine, slowest first.
func Available() []ISA {
	isas := []ISA{Generic}
	if !assembly {
		return isas
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		isas = append(isas, AVX2)
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL {
		isas = append(isas, AVX512)
	}
	if runtime.GOARCH == "arm64" {
		isas = append(isas, NEON)
	}
	return isas
}

// Active is the fastest available instruction set, or the one that EnvISA names; chosen once. It panics if that one is unknown or
// not to be had here, rather than compute with another one.
var Active = sync.OnceValue(func() ISA {
	isas := Available()
	want := os.Getenv(EnvISA)
	if want == "" {
		return isas[len(isas)-1]
	}
	for _, i := range isas {
		if i.String() == want {
			return i
		}
	}
	panic(fmt.Sprintf("%s=%s: this machine and build have %v", EnvISA, want, isas))
})
