package knn

import (
	"context"
	"math"
	"testing"
	"time"
)

// Distances to such vectors mean nothing, but looking for them must end and find something.
func TestVectorsThatAreNotFiniteDoNotHangOrCrash(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), 1e30} {
		p := points(9, 100, 5, 1)
		index := NewIndex(p, 5)
		p[33*5] = float32(v)
		for _, x := range []*Index{index, NewIndex(p, 5)} {
			found, err := x.Nearest(context.Background(), p, 1)
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range found {
				if n.Index < 0 || n.Index >= 100 {
					t.Errorf("%v: query %d finds vector %d", v, i, n.Index)
				}
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if chosen, err := KCenterGreedy(ctx, Pad(p, 5), 100, 0, CoresetOptions{}); err != nil || len(chosen) != 100 {
			t.Errorf("%v: %d points chosen: %v", v, len(chosen), err)
		}
		cancel()
	}
}
