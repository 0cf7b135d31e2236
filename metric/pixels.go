package metric

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// PixelEvaluator compares anomaly maps with masks, pixel by pixel, exactly. It holds a bounded number of pixels in memory: sorted runs
// of them go to a temporary file, and are merged for the result.
type PixelEvaluator struct {
	buffer  []pixel
	scratch []pixel
	file    *os.File
	runs    []int64 // where each run in the file ends, in bytes
	groups  []string
	totals  []total // of each group; 0 is the pixels of good pictures
	room    int
}

// pixel is what ranks it, which group it is of, and the size of its region: 0 for good pixels.
type pixel struct {
	key    uint32 // orders as the scores do
	region uint32
	group  uint16
}

const (
	pixelBytes = 10
	// bufferedPixels bounds memory: twice 12 bytes each.
	bufferedPixels = 4 << 20
)

type total struct{ positives, negatives, regions int64 }

// PixelResult are the figures of a set of pictures.
type PixelResult struct {
	AUROC, AP, F1Max float64
	AUPRO            float64 // area under the per-region overlap curve up to a false-positive rate of 0.3, over 0.3
	AUPRO05          float64 // and of 0.05
}

// NewPixelEvaluator returns an empty evaluator; Close it.
func NewPixelEvaluator() (*PixelEvaluator, error) {
	return &PixelEvaluator{groups: []string{""}, totals: make([]total, 1), room: bufferedPixels}, nil
}

// Close removes the temporary file.
func (e *PixelEvaluator) Close() error {
	if e.file == nil {
		return nil
	}
	return errors.Join(e.file.Close(), os.Remove(e.file.Name()))
}

// orderedKey maps a float32 to an integer that orders as it does; -0 equals 0.
func orderedKey(f float32) uint32 {
	b := math.Float32bits(f + 0)
	if b == 1<<31 {
		b = 0
	}
	if b>>31 == 1 {
		return ^b
	}
	return b | 1<<31
}

// Add takes one picture's map (height, width). Without a mask all its pixels are good, and count for every group. With one, its foreground
// (nonzero) is defective, each 8-connected component a region, and all its pixels count for its group alone.
func (e *PixelEvaluator) Add(group string, scores []float32, mask []uint8, width, height int) error {
	if len(scores) != width*height || mask != nil && len(mask) != width*height {
		return fmt.Errorf("a map of %d and a mask of %d pixels are not %dx%d", len(scores), len(mask), width, height)
	}
	g := 0
	var labels []int32
	var sizes []uint32
	if mask != nil {
		g = e.groupOf(group)
		var n int
		labels, n = Components(mask, width, height)
		sizes = make([]uint32, n+1)
		for _, l := range labels {
			sizes[l]++
		}
		sizes[0] = 0
		e.totals[g].regions += int64(n)
	}
	for i, s := range scores {
		if s != s {
			return fmt.Errorf("map value %d is not a number", i)
		}
		p := pixel{key: orderedKey(s), group: uint16(g)}
		if mask != nil {
			p.region = sizes[labels[i]]
		}
		if p.region > 0 {
			e.totals[g].positives++
		} else {
			e.totals[g].negatives++
		}
		if len(e.buffer) == e.room {
			if err := e.spill(); err != nil {
				return err
			}
		}
		e.buffer = append(e.buffer, p)
	}
	return nil
}

func (e *PixelEvaluator) groupOf(name string) int {
	for i, g := range e.groups[1:] {
		if g == name {
			return i + 1
		}
	}
	e.groups = append(e.groups, name)
	e.totals = append(e.totals, total{})
	return len(e.groups) - 1
}

// sortBuffer sorts by key, descending: a radix sort of three passes of 11 bits.
func (e *PixelEvaluator) sortBuffer() {
	const bits, buckets = 11, 1 << 11
	if len(e.scratch) < len(e.buffer) {
		e.scratch = make([]pixel, len(e.buffer))
	}
	from, to := e.buffer, e.scratch[:len(e.buffer)]
	for shift := 0; shift < 32; shift += bits {
		var starts [buckets]int
		for i := range from {
			starts[^from[i].key>>shift&(buckets-1)]++
		}
		at := 0
		for b, n := range starts {
			starts[b] = at
			at += n
		}
		for _, p := range from {
			b := ^p.key >> shift & (buckets - 1)
			to[starts[b]] = p
			starts[b]++
		}
		from, to = to, from
	}
	copy(e.buffer, from) // an odd number of passes ends in the scratch
}

func (e *PixelEvaluator) spill() error {
	if e.file == nil {
		f, err := os.CreateTemp("", "blemish-pixels-*.tmp")
		if err != nil {
			return fmt.Errorf("a temporary file for pixels: %w", err)
		}
		e.file = f
	}
	e.sortBuffer()
	end := int64(0)
	if len(e.runs) > 0 {
		end = e.runs[len(e.runs)-1]
	}
	w := bufio.NewWriterSize(&writerAt{e.file, end}, 1<<20)
	var b [pixelBytes]byte
	for _, p := range e.buffer {
		binary.LittleEndian.PutUint32(b[:], p.key)
		binary.LittleEndian.PutUint32(b[4:], p.region)
		binary.LittleEndian.PutUint16(b[8:], p.group)
		if _, err := w.Write(b[:]); err != nil {
			return fmt.Errorf("pixels to a temporary file: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("pixels to a temporary file: %w", err)
	}
	e.runs = append(e.runs, end+int64(len(e.buffer))*pixelBytes)
	e.buffer = e.buffer[:0]
	return nil
}

type writerAt struct {
	f  *os.File
	at int64
}

func (w *writerAt) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}

// run reads sorted pixels, from memory or from the file.
type run struct {
	now    pixel
	more   bool
	memory []pixel
	file   *bufio.Reader
}

func (r *run) next() error {
	if r.file == nil {
		if r.more = len(r.memory) > 0; r.more {
			r.now, r.memory = r.memory[0], r.memory[1:]
		}
		return nil
	}
	var b [pixelBytes]byte
	if _, err := io.ReadFull(r.file, b[:]); err != nil {
		r.more = false
		if err == io.EOF {
			return nil
		}
		return fmt.Errorf("pixels from a temporary file: %w", err)
	}
	r.now, r.more = pixel{binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint16(b[8:])}, true
	return nil
}

// merge calls visit for all pixels, highest score first.
func (e *PixelEvaluator) merge(visit func(pixel)) error {
	e.sortBuffer()
	runs := []*run{{memory: e.buffer}}
	begin := int64(0)
	for _, end := range e.runs {
		runs = append(runs, &run{file: bufio.NewReaderSize(io.NewSectionReader(e.file, begin, end-begin), 1<<18)})
		begin = end
	}
	var heap []*run // the highest key on top
	down := func(i int) {
		for {
			c := 2*i + 1
			if c >= len(heap) {
				return
			}
			if c+1 < len(heap) && heap[c+1].now.key > heap[c].now.key {
				c++
			}
			if heap[i].now.key >= heap[c].now.key {
				return
			}
			heap[i], heap[c] = heap[c], heap[i]
			i = c
		}
	}
	for _, r := range runs {
		if err := r.next(); err != nil {
			return err
		}
		if r.more {
			heap = append(heap, r)
		}
	}
	for i := len(heap) - 1; i >= 0; i-- {
		down(i)
	}
	for len(heap) > 0 {
		visit(heap[0].now)
		if err := heap[0].next(); err != nil {
			return err
		}
		if !heap[0].more {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		down(0)
	}
	return nil
}
