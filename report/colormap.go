package report

import (
	"image/color"
	"sync"
)

// infernoAnchors are every 15th of the 256 entries of the colour map "inferno" by N. Smith and S. van der Walt (matplotlib, 2015,
// dedicated to the public domain under CC0). It is perceptually uniform: readable in gray and with any kind of colour blindness.
var infernoAnchors = [18][3]int{
	{0, 0, 4}, {10, 7, 34}, {30, 12, 69}, {56, 9, 98}, {81, 14, 108}, {105, 22, 110}, {128, 31, 108}, {152, 39, 102}, {176, 49, 91},
	{198, 61, 77}, {217, 77, 61}, {233, 97, 43}, {244, 121, 24}, {250, 148, 7}, {252, 176, 20}, {248, 205, 55}, {242, 234, 105}, {252, 255, 164},
}

// inferno holds the whole map, interpolated linearly between the anchors: within 5/255 of the original.
var inferno = sync.OnceValue(func() *[256]color.RGBA {
	const gap = 15
	var table [256]color.RGBA
	for i := range table {
		a, part := infernoAnchors[i/gap], i%gap
		b := infernoAnchors[min(i/gap+1, len(infernoAnchors)-1)]
		mix := func(c int) uint8 { return uint8(((gap-part)*a[c] + part*b[c] + gap/2) / gap) }
		table[i] = color.RGBA{R: mix(0), G: mix(1), B: mix(2), A: 255}
	}
	return &table
})
