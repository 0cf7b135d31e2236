// Package blemish finds what is wrong in pictures of things that should all look alike. It learns from good pictures,
// scores new ones, shows where they differ, and decides with a false-alarm rate that was asked for.
package blemish
