//go:build !amd64

package main

// read reads floats.
func read(p []float32) {
	sum := float32(0)
	for _, v := range p {
		sum += v
	}
	p[0] = sum
}

// triad is to[i] = a[i] + to[0]·b[i].
func triad(to, a, b []float32) {
	f := to[0]
	for i, v := range a {
		to[i] = v + f*b[i]
	}
}
