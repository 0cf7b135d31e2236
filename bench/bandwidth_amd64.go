package main

//go:noescape
func readAVX2(p *float32, n int)

//go:noescape
func triadAVX2(to, a, b *float32, n int)

// read reads floats, a multiple of 64, into nothing.
func read(p []float32) { readAVX2(&p[0], len(p)) }

// triad is to[i] = a[i] + to[0]·b[i], for a multiple of 16 floats.
func triad(to, a, b []float32) { triadAVX2(&to[0], &a[0], &b[0], len(to)) }
