package knn

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"
)

func TestVectorsThatAreNotFiniteAreRefused(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, toBytes := range []bool{true, false} {
			p := points(9, 100, 5, 1)
			index := newIndex(p, 5, toBytes)
			p[33*5+2] = float32(v)
			if _, err := index.Nearest(context.Background(), p, 1); err == nil || !strings.Contains(err.Error(), "query 33 of 100") {
				t.Errorf("a query with %v: %v", v, err)
			}
			bad := newIndex(p, 5, toBytes)
			if _, err := bad.Nearest(context.Background(), p[:5], 1); err == nil || !strings.Contains(err.Error(), "vector 33 of 100") {
				t.Errorf("a vector with %v: %v", v, err)
			}
			for _, x := range []*Index{index, bad} { // has no error to return: it must end and find something
				if n := x.Neighbours(p[33*5:][:5], 3); len(n) != 3 || n[0].Index < 0 || n[0].Index > 99 {
					t.Errorf("a query with %v: neighbours %v", v, n)
				}
			}
		}
	}
}

// Distances to such points mean nothing, but choosing must end.
func TestPointsThatAreNotFiniteDoNotHang(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), 1e30} {
		p := points(9, 100, 5, 1)
		p[33*5] = float32(v)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if chosen, err := KCenterGreedy(ctx, Pad(p, 5), 100, 0, CoresetOptions{}); err != nil || len(chosen) != 100 {
			t.Errorf("%v: %d points chosen: %v", v, len(chosen), err)
		}
		cancel()
	}
}
