package kernel

// Activation is one picture's feature maps, channel-blocked: (ceil(C/Lanes), H+2·Border, W+2·Border, Lanes), zero in the border and
// in the lanes beyond C.
type Activation struct {
	C, H, W int
	Border  int // pixels of zeros on every side
	Lanes   int // channels that lie together: Block, or 4 for the first layer's input
	Data    []float32
}

// InputLanes are the lanes of an activation that holds a picture of at most 4 channels.
const InputLanes = 4

// Size is the length of Data.
func (a *Activation) Size() int { return a.Blocks() * a.plane() }

// Blocks is the number of channel blocks.
func (a *Activation) Blocks() int { return (a.C + a.Lanes - 1) / a.Lanes }

func (a *Activation) pitch() int { return (a.W + 2*a.Border) * a.Lanes }
func (a *Activation) plane() int { return (a.H + 2*a.Border) * a.pitch() }

// at is the index of the first lane of a pixel; y and x may lie in the border.
func (a *Activation) at(block, y, x int) int {
	return block*a.plane() + (y+a.Border)*a.pitch() + (x+a.Border)*a.Lanes
}

// clearBorder zeroes the border of one block: memory is used again for activations of other shapes.
func (a *Activation) clearBorder(block int) {
	if a.Border == 0 {
		return
	}
	p := a.Data[block*a.plane():][:a.plane()]
	edge := a.Border * a.pitch()
	clear(p[:edge])
	clear(p[len(p)-edge:])
	side := a.Border * a.Lanes
	for y := range a.H {
		row := p[edge+y*a.pitch():][:a.pitch()]
		clear(row[:side])
		clear(row[len(row)-side:])
	}
}

// Load fills the activation from one picture (C,H,W).
func (a *Activation) Load(src []float32) {
	for b := range a.Blocks() {
		a.clearBorder(b)
		c0 := b * a.Lanes
		channels := min(a.Lanes, a.C-c0)
		for y := range a.H {
			row := a.Data[a.at(b, y, 0):][:a.W*a.Lanes]
			if channels < a.Lanes {
				clear(row)
			}
			for c := range channels {
				in := src[((c0+c)*a.H+y)*a.W:][:a.W]
				for x, v := range in {
					row[x*a.Lanes+c] = v
				}
			}
		}
	}
}

// Store writes the activation as (C,H,W).
func (a *Activation) Store(dst []float32) {
	for b := range a.Blocks() {
		c0 := b * a.Lanes
		for y := range a.H {
			row := a.Data[a.at(b, y, 0):][:a.W*a.Lanes]
			for c := range min(a.Lanes, a.C-c0) {
				out := dst[((c0+c)*a.H+y)*a.W:][:a.W]
				for x := range out {
					out[x] = row[x*a.Lanes+c]
				}
			}
		}
	}
}

// Aligned returns n zeros where the kernels read and write them fastest.
func Aligned(n int) []float32 { return aligned(n) }
