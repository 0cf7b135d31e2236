//go:build !amd64 || noasm

package kernel

import "github.com/blemish/blemish/internal/cpu"

// int8SetOf are the functions on levels: the Go twins.
func int8SetOf(cpu.ISA, bool) *int8Set { return genericInt8() }
