//go:build !race

package nn_test

const underRace = false
