package checkpoint

import (
	"encoding/binary"
	"math"

	"github.com/blemish/blemish/tensor"
)

// Rounded is what is read of a tensor that was written as t: for 16-bit types, its values to the nearest that they have.
func Rounded(x *tensor.Tensor, t DType) (*tensor.Tensor, error) {
	raw, err := encode(nil, x.Data, t)
	if err != nil {
		return nil, err
	}
	out := tensor.New(x.Shape...)
	convert(out.Data, raw, t, binary.LittleEndian)
	return out, nil
}

// halfToFloat converts IEEE 754 binary16 to float32, exactly.
func halfToFloat(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // zero or subnormal: fraction · 2^-24
		f := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// floatToHalf rounds to nearest even. ok is false where a finite value overflows.
func floatToHalf(f float32) (h uint16, ok bool) {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00, true
	case bits == 0x7f800000:
		return sign | 0x7c00, true
	case bits >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00, false
	case bits < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(bits))*(1<<24))), true
	}
	bits += 0xfff + bits>>13&1
	return sign | uint16(bits>>13-112<<10), true
}
