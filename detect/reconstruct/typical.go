package reconstruct

import (
	"context"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// leastShare of the mean error is added to every cell, so that places which always come back perfectly do not make an alarm of anything.
const leastShare = 0.1

// learnTypical finds the mean error of the good pictures for each cell of a grid that is stretched over them: edges of parts and of print come back
// worse than what lies between them, in every picture.
func (d *Detector) learnTypical(ctx context.Context, pictures []seen, o *detect.FitOptions) error {
	n := d.settings.Typical
	sums := make([]float64, n*n)
	for i, p := range pictures {
		m, err := d.blurred(ctx, p, o.Workers)
		if err != nil {
			return err
		}
		addCells(sums, m, n)
		o.Progress(detect.Progress{Stage: "typical errors", Done: i + 1, Total: len(pictures)})
	}
	mean := 0.0
	for i := range sums {
		sums[i] /= float64(len(pictures))
		mean += sums[i] / float64(n*n)
	}
	if !(mean > 1e-12) { // nothing ever comes back wrong
		mean = 1
	}
	d.typical = tensor.New(n, n)
	for i, v := range sums {
		d.typical.Data[i] = float32(max(v, 0) + leastShare*mean) // 1 - SSIM can be rounded below 0
	}
	return nil
}

// addCells adds the mean of each cell of a map (h,w); cells of a map that is smaller than the grid share pixels.
func addCells(sums []float64, m *tensor.Tensor, n int) {
	h, w := m.Shape[0], m.Shape[1]
	for i := range n {
		y0, y1 := i*h/n, ((i+1)*h+n-1)/n
		for j := range n {
			x0, x1 := j*w/n, ((j+1)*w+n-1)/n
			sum := 0.0
			for y := y0; y < y1; y++ {
				for _, v := range m.Data[y*w+x0 : y*w+x1] {
					sum += float64(v)
				}
			}
			sums[i*n+j] += sum / float64((y1-y0)*(x1-x0))
		}
	}
}

// divide a map by the typical errors, stretched over it.
func divide(m, typical *tensor.Tensor) {
	for i, v := range transform.ResizeMaps(typical, m.Shape[0], m.Shape[1]).Data {
		m.Data[i] /= v
	}
}
