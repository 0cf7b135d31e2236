package report

import "strconv"

// Directions along pixel edges, clockwise on a page whose y points down.
const (
	east = iota
	south
	west
	north
)

var step = [4][2]int{east: {1, 0}, south: {0, 1}, west: {-1, 0}, north: {0, -1}}

// outline traces the borders of the marked regions of a w x h mask along pixel edges and returns them as SVG path data in pixel
// units: closed loops of horizontal and vertical runs, outer borders clockwise, holes counter-clockwise. Pixels that touch
// at a corner belong to one region (8-connectivity). Empty where nothing is marked. O(w·h).
func outline(mask []uint8, w, h int) string {
	edges := borderEdges(mask, w, h)
	var path []byte
	for start := range edges {
		for edges[start]&(1<<east) != 0 { // every loop has an edge towards the east
			path = appendLoop(path, edges, w+1, start)
		}
	}
	return string(path)
}

// borderEdges returns, for each corner of the pixel grid, the set of directions in which a border leaves it with the region on its right.
func borderEdges(mask []uint8, w, h int) []uint8 {
	edges := make([]uint8, (w+1)*(h+1))
	marked := func(x, y int) bool { return x >= 0 && y >= 0 && x < w && y < h && mask[y*w+x] != 0 }
	for y := range h {
		for x := range w {
			if mask[y*w+x] == 0 {
				continue
			}
			corner := y*(w+1) + x
			if !marked(x, y-1) {
				edges[corner] |= 1 << east
			}
			if !marked(x+1, y) {
				edges[corner+1] |= 1 << south
			}
			if !marked(x, y+1) {
				edges[corner+w+2] |= 1 << west
			}
			if !marked(x-1, y) {
				edges[corner+w+1] |= 1 << north
			}
		}
	}
	return edges
}

// appendLoop walks one loop from its start towards the east, clearing the edges it takes.
func appendLoop(path []byte, edges []uint8, stride, start int) []byte {
	path = append(path, 'M')
	path = strconv.AppendInt(path, int64(start%stride), 10)
	path = append(path, ' ')
	path = strconv.AppendInt(path, int64(start/stride), 10)
	at, heading := start, east
	for {
		run := 0
		for edges[at]&(1<<heading) != 0 {
			edges[at] &^= 1 << heading
			at += step[heading][0] + step[heading][1]*stride
			run++
		}
		if at == start {
			return append(path, 'z')
		}
		if heading == east || heading == west {
			path = append(path, 'h')
		} else {
			path = append(path, 'v')
		}
		path = strconv.AppendInt(path, int64(run*(step[heading][0]+step[heading][1])), 10)
		if next := left(heading); edges[at]&(1<<next) != 0 { // left first joins pixels that touch at a corner
			heading = next
		} else {
			heading = right(heading)
		}
	}
}

func left(heading int) int  { return (heading + 3) % 4 }
func right(heading int) int { return (heading + 1) % 4 }
