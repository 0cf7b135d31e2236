package report

import (
	"image/color"
	"math"
	"sync"
)

// inferno holds the colour map of that name by N. Smith and S. van der Walt (2015): perceptually uniform, readable in gray and
// with any kind of colour blindness. Computed from the polynomial of degree 6 that M. Zucker fitted to it (shadertoy WlfXRN,
// CC0), whose values lie within 5/255 of the original table.
var inferno = sync.OnceValue(func() *[256]color.RGBA {
	coefficients := [7][3]float64{
		{0.0002189403691192265, 0.001651004631001012, -0.01948089843709184},
		{0.1065134194856116, 0.5639564367884091, 3.932712388889277},
		{11.60249308247187, -3.972853965665698, -15.9423941062914},
		{-41.70399613139459, 17.43639888205313, 44.35414519872813},
		{77.162935699427, -33.40235894210092, -81.80730925738993},
		{-71.31942824499214, 32.62606426397723, 73.20951985803202},
		{25.13112622477341, -12.24266895238567, -23.07032500287172},
	}
	var table [256]color.RGBA
	for i := range table {
		t := float64(i) / 255
		var rgb [3]uint8
		for c := range rgb {
			v := 0.0
			for k := len(coefficients) - 1; k >= 0; k-- {
				v = float64(v*t) + coefficients[k][c] // the conversion forbids a fused multiply-add: same bytes on every CPU
			}
			rgb[c] = uint8(math.Round(255 * min(max(v, 0), 1)))
		}
		table[i] = color.RGBA{R: rgb[0], G: rgb[1], B: rgb[2], A: 255}
	}
	return &table
})
