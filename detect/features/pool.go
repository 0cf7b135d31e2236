package features

import (
	"math"

	"github.com/blemish/blemish/tensor"
)

// cells are a picture's feature maps, summed up in gh·gw cells, so that any of them can be left out.
type cells struct {
	gh, gw int
	taps   []tapCells
}

// tapCells is one feature map: for each channel and cell the sum, the sum of squares and the maximum of its positions.
type tapCells struct {
	channels, positions int
	counts              []float64 // (cells) positions
	sum, square, top    []float64 // (channels, cells)
}

// divide sums maps (C,h,w) up in at most most cells a side, but no more than the smallest map has positions.
func divide(maps []*tensor.Tensor, most int) cells {
	c := cells{gh: max(most, 1), gw: max(most, 1)}
	for _, m := range maps {
		c.gh, c.gw = min(c.gh, m.Shape[1]), min(c.gw, m.Shape[2])
	}
	for _, m := range maps {
		h, w, n := m.Shape[1], m.Shape[2], c.gh*c.gw
		t := tapCells{
			channels: m.Shape[0], positions: h * w, counts: make([]float64, n),
			sum: make([]float64, m.Shape[0]*n), square: make([]float64, m.Shape[0]*n), top: make([]float64, m.Shape[0]*n),
		}
		cellOf := make([]int, h*w)
		for y := range h {
			for x := range w {
				cell := y*c.gh/h*c.gw + x*c.gw/w
				cellOf[y*w+x] = cell
				t.counts[cell]++
			}
		}
		for i := range t.top {
			t.top[i] = math.Inf(-1)
		}
		for k := range t.channels {
			sum, square, top := t.sum[k*n:][:n], t.square[k*n:][:n], t.top[k*n:][:n]
			for i, v := range m.Data[k*h*w:][:h*w] {
				v, cell := float64(v), cellOf[i]
				sum[cell] += v
				square[cell] += v * v
				top[cell] = max(top[cell], v)
			}
		}
		c.taps = append(c.taps, t)
	}
	return c
}

// nothing is the cell to leave out when all are to count.
const nothing = -1

// vector pools every channel of every map over all cells but one: for each of the pools the channels of all maps.
func (c cells) vector(pools []Pool, without int) []float64 {
	var v []float64
	for _, pool := range pools {
		for _, t := range c.taps {
			n := len(t.counts)
			positions := float64(t.positions)
			if without >= 0 {
				positions -= t.counts[without]
			}
			for k := range t.channels {
				var sum, square float64
				top := math.Inf(-1)
				for cell := range n {
					if cell == without {
						continue
					}
					sum += t.sum[k*n+cell]
					square += t.square[k*n+cell]
					top = max(top, t.top[k*n+cell])
				}
				mean := sum / positions
				switch pool {
				case Mean:
					v = append(v, mean)
				case Max:
					v = append(v, top)
				case Std:
					v = append(v, math.Sqrt(max(0, square/positions-mean*mean)))
				}
			}
		}
	}
	return v
}
