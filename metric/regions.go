package metric

// Components labels the 8-connected foreground components of a mask (nonzero is foreground), row by row: 0 is background, components
// are 1 to n in the order of their first pixels.
func Components(mask []uint8, width, height int) (labels []int32, n int) {
	labels = make([]int32, width*height)
	var stack []int
	for start, v := range mask[:width*height] {
		if v == 0 || labels[start] != 0 {
			continue
		}
		n++
		labels[start] = int32(n)
		stack = append(stack[:0], start)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			x, y := at%width, at/width
			for yy := max(0, y-1); yy <= min(height-1, y+1); yy++ {
				for xx := max(0, x-1); xx <= min(width-1, x+1); xx++ {
					if i := yy*width + xx; mask[i] != 0 && labels[i] == 0 {
						labels[i] = int32(n)
						stack = append(stack, i)
					}
				}
			}
		}
	}
	return labels, n
}

// Region is the bounding box of connected pixels above a threshold, in pixels, and their highest value.
type Region struct {
	X      int     `json:"x"`
	Y      int     `json:"y"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Score  float64 `json:"score"`
}

// Regions finds the connected regions of a map (height, width) above a threshold, in the order of their first pixels.
func Regions(values []float32, width, height int, threshold float32) []Region {
	mask := make([]uint8, len(values))
	for i, v := range values {
		if v > threshold {
			mask[i] = 1
		}
	}
	labels, n := Components(mask, width, height)
	regions := make([]Region, n)
	for i, l := range labels {
		if l == 0 {
			continue
		}
		x, y := i%width, i/width
		r := &regions[l-1]
		if r.Width == 0 {
			*r = Region{x, y, 1, 1, float64(values[i])}
			continue
		}
		right, bottom := max(r.X+r.Width, x+1), max(r.Y+r.Height, y+1)
		r.X, r.Y = min(r.X, x), min(r.Y, y)
		r.Width, r.Height = right-r.X, bottom-r.Y
		r.Score = max(r.Score, float64(values[i]))
	}
	return regions
}
