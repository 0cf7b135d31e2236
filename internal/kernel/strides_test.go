package kernel

import (
	"slices"
	"testing"
)

func counted(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i + 1)
	}
	return x
}

func TestInterleaveUndoesDeinterleave(t *testing.T) {
	for n := range 40 {
		x := counted(n)
		even, odd := make([]float32, (n+1)/2), make([]float32, n/2)
		Deinterleave(even, odd, x)
		for i, v := range even {
			if v != float32(2*i+1) {
				t.Fatalf("%d values: even %v", n, even)
			}
		}
		for i, v := range odd {
			if v != float32(2*i+2) {
				t.Fatalf("%d values: odd %v", n, odd)
			}
		}
		back := make([]float32, n)
		Interleave(back, even, odd)
		if !slices.Equal(back, x) {
			t.Fatalf("%d values come back as %v", n, back)
		}
	}
}

// Value (r, q) of phase (ry, rx) is the picture's at row r·s+ry-top and column q·s+rx-left, zero outside.
func TestPlanesHoldThePhasesOfAPicture(t *testing.T) {
	for _, stride := range []int{1, 2, 3} {
		for _, in := range []Shape2D{{1, 1}, {5, 4}, {6, 7}, {4, 21}, {3, 24}} {
			for _, top := range []int{-1, 0, 1, 3} {
				for _, left := range []int{-2, -1, 0, 1, 2, 3} {
					p := &Planes{N: 2, C: 3, Stride: stride, H: (in.H+max(top, 0))/stride + 2, W: (in.W+max(left, 0))/stride + 2}
					p.Data = make([]float32, PlanesSize(2, 3, stride, Shape2D{p.H, p.W}))
					for i := range p.Data {
						p.Data[i] = -7 // what was there before
					}
					x := counted(6 * in.H * in.W)
					p.Fill(1, x, in, top, left)
					for i, v := range p.Data[:6*p.channel()] {
						q, r, phase, channel := i%p.W, i/p.W%p.H, i/(p.W*p.H)%(stride*stride), i/p.channel()
						row, column := r*stride+phase/stride-top, q*stride+phase%stride-left
						want := float32(0)
						if row >= 0 && row < in.H && column >= 0 && column < in.W {
							want = x[(channel*in.H+row)*in.W+column]
						}
						if v != want {
							t.Fatalf("stride %d, picture %v, top %d, left %d: channel %d, phase %d, row %d, column %d is %v, want %v", stride, in, top, left, channel, phase, r, q, v, want)
						}
					}
				}
			}
		}
	}
}

func TestTranspose(t *testing.T) {
	for _, s := range []Shape2D{{1, 1}, {3, 5}, {17, 9}, {300, 500}} {
		x, y := counted(s.H*s.W), make([]float32, s.H*s.W)
		Transpose(3, y, x, s.H, s.W)
		for i, v := range x {
			if y[i%s.W*s.H+i/s.W] != v {
				t.Fatalf("%v: value %d is elsewhere", s, i)
			}
		}
	}
}
