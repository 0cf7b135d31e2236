package infer

import (
	"context"
	"fmt"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/tensor"
)

// Run computes the taps' values of a batch (N,C,H,W), each with the pictures as its first dimension. Pictures run one by one, side by side
// as far as there are any; results depend neither on workers nor on the other pictures.
func (n *Imported) Run(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	if len(batch.Shape) != 4 || batch.Shape[1] != n.channels || tensor.Volume(batch.Shape) == 0 {
		return nil, &fault.ShapeError{What: "batch", Want: fmt.Sprintf("(N,%d,H,W)", n.channels), Got: batch.Shape}
	}
	if h, w, ok := n.OnlySize(); ok && (batch.Shape[2] != h || batch.Shape[3] != w) {
		return nil, &fault.UnsupportedError{
			What: fmt.Sprintf("a %dx%d picture in a network that was exported for pictures of %dx%d (width x height) alone", batch.Shape[3], batch.Shape[2], w, h),
			Hint: fmt.Sprintf("resize it (--resize letterbox or exact, --size %dx%d), or export the network with open sizes (dynamic axes, and of a vision transformer positions that are resized)", h, w)}
	}
	if n.fused != nil {
		return n.fused.Run(ctx, batch, workers)
	}
	if n.int8 != nil {
		return n.int8.Run(ctx, batch, workers)
	}
	given, err := n.runFront(ctx, batch, workers)
	if err != nil || n.front != nil && len(n.steps) == 0 {
		return given, err
	}
	count := batch.Shape[0]
	workers = parallel.Workers(workers)
	within := max(1, workers/count)
	results, errs := make([][]*array, count), make([]error, count)
	parallel.For(workers/within, count, func(i int) {
		results[i], errs[i] = n.runOne(ctx, &array{append([]int{1}, batch.Shape[1:]...), batch.Item(i).Data, nil, "F32"}, given, i, within)
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	out := make([]*tensor.Tensor, len(n.taps))
	for t := range out {
		first := results[0][t]
		if first.rank() < 1 || first.shape[0] != 1 || !first.isFloat() {
			return nil, &fault.UnsupportedError{What: fmt.Sprintf("a layer of shape %v and type %s for one picture", first.shape, first.dtype), Hint: "want floats, (1,…)"}
		}
		out[t] = tensor.New(append([]int{count}, first.shape[1:]...)...)
		for i, r := range results {
			copy(out[t].Item(i).Data, r[t].floats)
		}
	}
	return out, nil
}

// runFront computes what runs as a Network.
func (n *Imported) runFront(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error) {
	if n.front == nil {
		return nil, nil
	}
	return n.front.network.Run(ctx, batch, workers)
}

// runOne computes picture i of a batch, with what was computed of all of them already.
func (n *Imported) runOne(ctx context.Context, picture *array, given []*tensor.Tensor, i, workers int) ([]*array, error) {
	values := append([]*array{}, n.values...)
	values[n.input] = picture
	for k, v := range n.given {
		values[v] = &array{append([]int{1}, given[k].Shape[1:]...), given[k].Item(i).Data, nil, "F32"}
	}
	for i, s := range n.steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := n.call(s, values, workers)
		if err != nil {
			return nil, err
		}
		for j, y := range s.out {
			if y >= 0 && j < len(out) {
				values[y] = out[j]
			}
		}
		for _, x := range s.in { // let go of what nobody reads any more
			if x >= 0 && n.last[x] <= i && n.values[x] == nil {
				values[x] = nil
			}
		}
	}
	taps := make([]*array, len(n.taps))
	for i, v := range n.taps {
		if taps[i] = values[v]; taps[i] == nil {
			return nil, fmt.Errorf("tap %d was not computed", i)
		}
	}
	return taps, nil
}

// InputSize is the height and width that the network was exported for, or that its positions imply; ok is false where they are open.
func (n *Imported) InputSize() (height, width int, ok bool) {
	if len(n.shape) != 4 || n.shape[2] <= 0 || n.shape[3] <= 0 {
		return 0, 0, false
	}
	return n.shape[2], n.shape[3], true
}

// OnlySize is the size of the only pictures that the network takes; ok is false where it takes others. A network that was exported for one size
// takes others, too, if it is but layers that slide over a picture of any size: what is left to operators may hold numbers of pixels.
func (n *Imported) OnlySize() (height, width int, ok bool) {
	if n.fused != nil || n.int8 != nil || n.front != nil && len(n.steps) == 0 && n.front.only == (size{}) {
		return 0, 0, false
	}
	return n.InputSize()
}

// Channels is the number of channels of a picture.
func (n *Imported) Channels() int { return n.channels }

// Int8 says whether the network runs in 8-bit integers.
func (n *Imported) Int8() bool { return n.int8 != nil }

// Fused says whether the network runs as a fused plan.
func (n *Imported) Fused() bool { return n.fused != nil }
