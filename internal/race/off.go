//go:build !race

// Package race says whether the race detector is on. Then pools forget what they hold, at random, so that tests cannot count allocations.
package race

const Enabled = false
