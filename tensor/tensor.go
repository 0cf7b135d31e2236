// Package tensor holds the one array type of Blemish: dense, row-major float32 with an explicit shape.
//
// There are no views and no strides: element (i, j, k) of a tensor of shape (a, b, c) is Data[(i*b+j)*c+k].
// Pictures are (C,H,W), batches are (N,C,H,W), anomaly maps are (H,W).
package tensor

import (
	"fmt"
	"slices"
)

// Tensor is a dense row-major array. len(Data) is always the product of Shape.
type Tensor struct {
	Shape []int
	Data  []float32
}

// New returns a tensor of zeros. It panics on a negative dimension: shapes are the program's own, never input.
func New(shape ...int) *Tensor {
	return &Tensor{Shape: slices.Clone(shape), Data: make([]float32, Volume(shape))}
}

// From wraps data, without a copy, in a tensor of the given shape. It panics if the lengths disagree.
func From(data []float32, shape ...int) *Tensor {
	if len(data) != Volume(shape) {
		panic(fmt.Sprintf("tensor: %d values do not fill shape %v", len(data), shape))
	}
	return &Tensor{Shape: slices.Clone(shape), Data: data}
}

// Volume is the number of elements of a shape; 1 for a scalar's empty shape.
func Volume(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 {
			panic(fmt.Sprintf("tensor: negative dimension in shape %v", shape))
		}
		n *= d
	}
	return n
}

// Dim returns the size of dimension i; negative i counts from the last.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	return t.Shape[i]
}

// Clone returns a deep copy.
func (t *Tensor) Clone() *Tensor {
	return &Tensor{Shape: slices.Clone(t.Shape), Data: slices.Clone(t.Data)}
}

// Reshape returns a tensor of another shape over the same data. It panics if the volumes differ.
func (t *Tensor) Reshape(shape ...int) *Tensor { return From(t.Data, shape...) }

// Item returns entry i of the first dimension, sharing t's data: (C,H,W) out of (N,C,H,W).
func (t *Tensor) Item(i int) *Tensor {
	n := Volume(t.Shape[1:])
	return From(t.Data[i*n:(i+1)*n], t.Shape[1:]...)
}

// SameShape reports whether a and b have equal shapes.
func SameShape(a, b *Tensor) bool { return slices.Equal(a.Shape, b.Shape) }

// Stack copies tensors of one shape into a new leading dimension. It panics if shapes differ or there are none.
func Stack(items []*Tensor) *Tensor {
	if len(items) == 0 {
		panic("tensor: Stack of nothing")
	}
	out := New(append([]int{len(items)}, items[0].Shape...)...)
	n := len(items[0].Data)
	for i, t := range items {
		if !SameShape(t, items[0]) {
			panic(fmt.Sprintf("tensor: Stack of shapes %v and %v", items[0].Shape, t.Shape))
		}
		copy(out.Data[i*n:], t.Data)
	}
	return out
}
