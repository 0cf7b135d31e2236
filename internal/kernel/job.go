package kernel

import "slices"

// Job is a layer made ready for values of given shapes: phases one after another, each of items that may run in any order, and at once,
// with the same results. Nothing is allocated when an item runs.
type Job interface {
	// Phases lists the number of items of each.
	Phases() []int
	// Shared is the number of floats that Values.Scratch needs, Own that of Worker.Scratch.
	Shared() int
	Own() int
	Do(v *Values, w *Worker, phase, item int)
}

// Layer says for what shapes a job is, and what is done to each result before it is written. Its activations have no Data.
type Layer struct {
	Out, In Activation
	Pad     [2]int // zeros above and to the left; those below and to the right follow from Out's size
	Lo, Hi  float32
	Act     Act // after the residual is added, and before clamping
}

// Values are what a job reads and writes.
type Values struct {
	Out, In  *Activation
	Residual *Activation // added before activation and clamping; nil for none; of Out's shape and border
	Scratch  []float32   // shared by all who run the job
}

// Worker is what one goroutine needs to run jobs.
type Worker struct {
	Scratch  []float32
	tile     tileArgs
	taps     tapArgs
	winograd winogradOwn
	norm     normArgs
	offsets  []int64
}

// job is what all have in common.
type job struct {
	phases      []int
	shared, own int
}

func (j *job) Phases() []int { return j.phases }
func (j *job) Shared() int   { return j.shared }
func (j *job) Own() int      { return j.own }

// balanced is how many items a phase is cut into where it can be: enough for some workers to end at about the same time.
const balanced = 16

// clearRows zeroes the border beside rows y0..y1 of a block, above the first row and below the last one.
func (a *Activation) clearRows(block, y0, y1 int) {
	if a.Border == 0 {
		return
	}
	p := a.Data[block*a.plane():][:a.plane()]
	edge, side := a.Border*a.pitch(), a.Border*a.Lanes
	if y0 == 0 {
		clear(p[:edge])
	}
	if y1 == a.H {
		clear(p[len(p)-edge:])
	}
	for y := y0; y < y1; y++ {
		row := p[edge+y*a.pitch():][:a.pitch()]
		clear(row[:side])
		clear(row[len(row)-side:])
	}
}

// row is a row of a block, without its border.
func (a *Activation) row(block, y int) []float32 {
	return a.Data[a.at(block, y, 0):][:a.W*a.Lanes]
}

// placed are tiles of a row, one right behind another: the first one's first pixel and how to compute them.
type placed struct {
	x    int
	tile tileFunc
	more int // tiles behind the first one
}

// pixels is how many they are together.
func (p *placed) pixels() int { return (p.more + 1) * p.tile.pixels }

// covers says what it costs to lay tiles over up to n pixels, in pixels, and with which tile each cheapest cover ends.
func (s *set) covers(n int) (cost []float64, last []tileFunc) {
	const latency = 4.0 // multiply-adds of one chain cannot follow one another faster: narrow tiles take as long as one of 4 pixels
	cost, last = make([]float64, n+1), make([]tileFunc, n+1)
	for m := 1; m <= n; m++ {
		for _, t := range s.tiles {
			if t.pixels > n {
				break
			}
			c := cost[max(0, m-t.pixels)] + max(float64(t.pixels), latency) + 0.25
			if last[m].pixels == 0 || c < cost[m] {
				cost[m], last[m] = c, t
			}
		}
	}
	return cost, last
}

// cover lays tiles over a row of n pixels, at the least cost; the first ones may overlap.
func (s *set) cover(n int) []placed {
	_, last := s.covers(n)
	var out []placed // from the last one on
	for m := n; m > 0; {
		t := last[m]
		x := max(0, m-t.pixels)
		if k := len(out) - 1; k >= 0 && out[k].tile.pixels == t.pixels && out[k].x == x+t.pixels {
			out[k].x, out[k].more = x, out[k].more+1
		} else {
			out = append(out, placed{x, t, 0})
		}
		m -= t.pixels
	}
	slices.Reverse(out)
	return out
}

// LoadRows fills rows y0..y1 from one picture (C,H,W), and the border beside them.
func (a *Activation) LoadRows(src []float32, y0, y1 int) {
	turn := use().turn
	for b := range a.Blocks() {
		a.clearRows(b, y0, y1)
		c0 := b * a.Lanes
		channels := min(a.Lanes, a.C-c0)
		for y := y0; y < y1; y++ {
			row := a.row(b, y)
			if channels == 3 && a.Lanes == InputLanes {
				red, green, blue := src[y*a.W:][:a.W], src[(a.H+y)*a.W:][:a.W], src[(2*a.H+y)*a.W:][:a.W]
				for x, v := range red {
					p := row[4*x:][:4]
					p[0], p[1], p[2], p[3] = v, green[x], blue[x], 0
				}
				continue
			}
			if channels < a.Lanes {
				clear(row)
			}
			first := 0
			if a.W >= square { // the last squares overlap
				first = channels / square * square
				for c := 0; c < first; c += square {
					in := src[((c0+c)*a.H+y)*a.W:]
					turn(&row[c], &in[0], 4*a.Lanes, 4*a.H*a.W, 4*a.Lanes*square, 4*square, a.W/square)
					if last := a.W - square; a.W%square > 0 {
						turn(&row[last*a.Lanes+c], &in[last], 4*a.Lanes, 4*a.H*a.W, 0, 0, 1)
					}
				}
			}
			for c := first; c < channels; c++ {
				in := src[((c0+c)*a.H+y)*a.W:][:a.W]
				for x, v := range in {
					row[x*a.Lanes+c] = v
				}
			}
		}
	}
}

// square is the rows and columns that are transposed at once.
const square = 8

// StoreBlock writes the channels of a block to their place in one picture (C,H,W).
func (a *Activation) StoreBlock(dst []float32, b int) {
	turn := use().turn
	c0 := b * a.Lanes
	channels := min(a.Lanes, a.C-c0)
	rows, width := a.H, a.W
	if a.Border == 0 {
		rows, width = 1, a.H*a.W
	}
	for y := range rows {
		row := a.Data[a.at(b, y, 0):][:width*a.Lanes]
		first := 0
		if width >= square { // the last squares overlap
			first = channels / square * square
			for c := 0; c < first; c += square {
				out := dst[(c0+c)*a.H*a.W+y*a.W:]
				turn(&out[0], &row[c], 4*a.H*a.W, 4*a.Lanes, 4*square, 4*a.Lanes*square, width/square)
				if last := width - square; width%square > 0 {
					turn(&out[last], &row[last*a.Lanes+c], 4*a.H*a.W, 4*a.Lanes, 0, 0, 1)
				}
			}
		}
		for c := first; c < channels; c++ {
			out := dst[(c0+c)*a.H*a.W+y*a.W:][:width]
			for x := range out {
				out[x] = row[x*a.Lanes+c]
			}
		}
	}
}

// StoreLast writes the channels of a block to their place in one picture (H,W,C).
func (a *Activation) StoreLast(dst []float32, b int) {
	c0 := b * a.Lanes
	channels := min(a.Lanes, a.C-c0)
	for y := range a.H {
		row := a.row(b, y)
		for x := range a.W {
			copy(dst[(y*a.W+x)*a.C+c0:][:channels], row[x*a.Lanes:])
		}
	}
}
