//go:build (!amd64 && !arm64) || noasm

package kernel

import "github.com/blemish/blemish/internal/cpu"

func setOf(cpu.ISA) *set { return genericSet() }
