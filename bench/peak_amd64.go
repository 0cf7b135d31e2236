package main

import "golang.org/x/sys/cpu"

// peak does so many rounds of independent multiply-adds and returns how many operations that were, counting multiplications and additions.
var peak = func() func(rounds int) float64 {
	switch {
	case cpu.X86.HasAVX512F:
		return func(rounds int) float64 { peakAVX512(rounds); return float64(rounds) * 24 * 16 * 2 }
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return func(rounds int) float64 { peakAVX2(rounds); return float64(rounds) * 12 * 8 * 2 }
	}
	return nil
}()

//go:noescape
func peakAVX2(rounds int)

//go:noescape
func peakAVX512(rounds int)
