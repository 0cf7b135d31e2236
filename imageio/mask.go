package imageio

// Mask marks pixels: 1 where defective, 0 elsewhere.
type Mask struct {
	Width, Height int
	Data          []uint8 // row by row
}

// ReadMask decodes a mask file: every pixel that is not black is defective, as in MVTec AD.
func ReadMask(path string, limits Limits) (*Mask, error) {
	p, err := Open(path, limits)
	if err != nil {
		return nil, err
	}
	m := &Mask{Width: p.Width, Height: p.Height, Data: make([]uint8, p.Width*p.Height)}
	for i := range m.Data {
		for c := range p.Channels {
			if p.Depth == 8 && p.Pix8[i*p.Channels+c] > 0 || p.Depth == 16 && p.Pix16[i*p.Channels+c] > 0 {
				m.Data[i] = 1
			}
		}
	}
	return m, nil
}
