//go:build race

package autograd

// underRace says that the race detector is on: pools then forget what they hold, at random, so that allocations cannot be counted.
const underRace = true
