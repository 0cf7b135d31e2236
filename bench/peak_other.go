//go:build !amd64

package main

var peak func(rounds int) float64
