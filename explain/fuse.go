package explain

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// Fuse combines maps (h,w) of one picture made at several layers: their geometric mean, position by position. Deep layers know what is a defect,
// shallow ones where it ends: the mean is high where all of them are. Multiplying a layer's maps by a number multiplies the fused ones, so that
// layers of different scale need no stretching, and maps of different pictures stay comparable. What is below zero counts as zero.
//
// (Jiang et al., IEEE TIP 2021, take the maximum of maps stretched to each picture's own highest value instead: then a good picture's map is
// as high as a defective one's.)
func Fuse(maps ...*tensor.Tensor) (*tensor.Tensor, error) {
	if len(maps) == 0 {
		return nil, &fault.ConfigError{Field: "layers", Value: 0, Reason: "want at least one map to fuse"}
	}
	for _, m := range maps {
		if len(m.Shape) != 2 || !tensor.SameShape(m, maps[0]) {
			return nil, &fault.ShapeError{What: "maps to fuse", Want: fmt.Sprintf("(h,w), all as the first: %v", maps[0].Shape), Got: m.Shape}
		}
	}
	out := tensor.New(maps[0].Shape...)
	for i := range out.Data {
		logs := 0.0 // a product could leave the range of float64
		for _, m := range maps {
			logs += math.Log(max(float64(m.Data[i]), 0))
		}
		out.Data[i] = float32(math.Exp(logs / float64(len(maps))))
	}
	return out, nil
}
