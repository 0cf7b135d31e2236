package cpu

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/cpu"
)

// EnvVNNI is the environment variable that forbids VNNI where it is "off". Results do not depend on it, only times.
const EnvVNNI = "BLEMISH_VNNI"

// HasVNNI says whether this machine and build have AVX512_VNNI, products of bytes summed in 32 bits.
func HasVNNI() bool {
	isas := Available()
	return isas[len(isas)-1] == AVX512 && cpu.X86.HasAVX512VNNI
}

// VNNI says whether the kernels of the active instruction set use AVX512_VNNI; chosen once. It panics if EnvVNNI is neither empty nor "off".
var VNNI = sync.OnceValue(func() bool {
	switch off := os.Getenv(EnvVNNI); off {
	case "":
		return Active() == AVX512 && HasVNNI()
	case "off":
		return false
	default:
		panic(fmt.Sprintf("%s=%s: want off, or nothing", EnvVNNI, off))
	}
})
