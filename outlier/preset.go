package outlier

import (
	"fmt"

	"github.com/blemish/blemish/fault"
)

// Chapter is the study of handwritten digits: 8x8 pixels from 0 to 16 and the digit, 65 columns, as in the UCI file optdigits.tra. An
// autoencoder 65-48-32-8-32-48-65 learns for 200 epochs of batches of 10 by plain gradient descent at rate 0.002. The published result is
// row 486, a 7, with an MSE of 0.1360.
func Chapter() AutoencoderConfig {
	return AutoencoderConfig{
		Layers: []int{65, 48, 32, 8, 32, 48, 65}, Activation: "tanh", Output: "sigmoid", Scale: "none",
		Optimizer: "sgd", LR: 0.002, BatchSize: 10, Epochs: 200, Contamination: 0.1,
	}
}

// ChapterPixels are the pixels of a digit, row by row; the digit itself follows them.
const ChapterPixels = 64

// ChapterLogEvery is the number of epochs from one line of the log to the next.
const ChapterLogEvery = 8

// ChapterRows scales digits as the study does: pixels by 1/16, the digit by 1/9.
func ChapterRows(x Matrix) (Matrix, error) {
	if x.Cols != ChapterPixels+1 {
		return Matrix{}, &fault.ShapeError{What: "table of digits", Want: "65 columns: 64 pixels and the digit", Got: []int{x.Rows, x.Cols}}
	}
	scaled := NewMatrix(x.Rows, x.Cols)
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			most := 16.0
			if j == ChapterPixels {
				most = 9
			}
			if !(v >= 0 && v <= most) {
				return Matrix{}, fmt.Errorf("row %d, column %d (both from 0) is %v, want 0 to %v", i, j, v, most)
			}
			scaled.Row(i)[j] = v / most
		}
	}
	return scaled, nil
}
