package explain

import (
	"errors"
	"math"
	"testing"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

func TestFusedMapsAreHighWhereAllAre(t *testing.T) {
	a := tensor.From([]float32{4, 0, -1, 1e-30, 8}, 1, 5)
	b := tensor.From([]float32{9, 5, -3, 1e-30, 0.125}, 1, 5)
	c := tensor.From([]float32{6, 1, 2, 1e-30, 27}, 1, 5)
	for _, k := range []struct {
		maps []*tensor.Tensor
		want []float64 // by hand: roots of products
	}{
		{[]*tensor.Tensor{a}, []float64{4, 0, 0, 1e-30, 8}},
		{[]*tensor.Tensor{a, b}, []float64{6, 0, 0, 1e-30, 1}},
		{[]*tensor.Tensor{a, b, c}, []float64{6, 0, 0, 1e-30, 3}}, // 1e-90 is no float32
	} {
		got, err := Fuse(k.maps...)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Data {
			if !(math.Abs(float64(v)-k.want[i]) <= 1e-6*k.want[i]) { // float32's rounding
				t.Errorf("%d maps: value %d is %v, want %v", len(k.maps), i, v, k.want[i])
			}
		}
	}
	if a.Data[2] != -1 {
		t.Error("a map was changed")
	}
	var config *fault.ConfigError
	if _, err := Fuse(); !errors.As(err, &config) {
		t.Errorf("nothing to fuse: %v", err)
	}
	var shape *fault.ShapeError
	if _, err := Fuse(a, tensor.New(5, 1)); !errors.As(err, &shape) {
		t.Errorf("maps of two shapes: %v", err)
	}
}
