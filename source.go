package blemish

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/transform"
)

// Picture is one decoded picture and what is known about it.
type Picture struct {
	Path      string // file or identifier, for messages and results
	Image     *imageio.Picture
	Kind      string        // "good" or the defect's name; "" where unknown
	Defective bool          // the truth, where Kind is known
	Mask      *imageio.Mask // defective pixels, at the picture's own size; nil where there is none
}

// Source is an ordered set of pictures that can be read again and again, in any order and by several goroutines at once.
type Source interface {
	Len() int
	Picture(ctx context.Context, i int) (Picture, error)
}

// Files is a Source of picture files.
type Files struct {
	Items  []dataset.Item
	Limits imageio.Limits
}

func (f Files) Len() int { return len(f.Items) }

// Picture decodes file i and its mask, if it has one.
func (f Files) Picture(ctx context.Context, i int) (Picture, error) {
	if err := ctx.Err(); err != nil {
		return Picture{}, err
	}
	item := f.Items[i]
	image, err := imageio.Open(item.Path, f.Limits)
	if err != nil {
		return Picture{}, err
	}
	p := Picture{Path: item.Path, Image: image, Kind: item.Kind, Defective: item.Defective}
	if item.MaskPath != "" {
		p.Mask, err = imageio.ReadMask(item.MaskPath, f.Limits)
		if err != nil {
			return Picture{}, err
		}
		if p.Mask.Width != image.Width || p.Mask.Height != image.Height {
			return Picture{}, fmt.Errorf("%s: mask is %dx%d, but its picture %s is %dx%d",
				item.MaskPath, p.Mask.Width, p.Mask.Height, item.Path, image.Width, image.Height)
		}
		if !slices.Contains(p.Mask.Data, 1) {
			p.Mask = nil // a defective picture whose defect nobody marked
		}
	}
	return p, nil
}

// BadPicture is a picture of a source that cannot be read.
type BadPicture struct {
	Index int
	Err   error // names the file and the reason
}

// Readable decodes every picture of a source and returns those that can be read; Options.Bad decides about the others.
func Readable(ctx context.Context, source Source, opts *Options) (Source, error) {
	rest, _, err := survey(ctx, source, opts)
	return rest, err
}

// survey decodes every picture of a source once: it finds the unreadable ones before long work begins, and returns the
// readable rest with the SHA-256 over their sizes and pixels, in order.
func survey(ctx context.Context, source Source, opts *Options) (rest Source, digest string, err error) {
	type outcome struct {
		sum [sha256.Size]byte
		err error
	}
	tick := opts.progress("check", source.Len())
	all := sha256.New()
	var keep []int
	var refused []error
	for o, err := range parallel.Ordered(ctx, opts.workers(), source.Len(), func(ctx context.Context, i int) (outcome, error) {
		picture, err := source.Picture(ctx, i)
		if ctx.Err() != nil {
			return outcome{}, ctx.Err()
		}
		if err != nil {
			return outcome{err: err}, nil
		}
		return outcome{sum: pixelDigest(picture.Image)}, nil
	}) {
		if err != nil {
			return nil, "", err
		}
		i := tick()
		if o.err != nil {
			if err := opts.bad(BadPicture{Index: i, Err: o.err}); err != nil {
				refused = append(refused, err)
			}
			continue
		}
		all.Write(o.sum[:])
		keep = append(keep, i)
	}
	if len(refused) > 0 {
		return nil, "", fmt.Errorf("%d of %d pictures cannot be read:\n%w", len(refused), source.Len(), errors.Join(refused...))
	}
	return subset{source, keep}, hex.EncodeToString(all.Sum(nil)), nil
}

func pixelDigest(p *imageio.Picture) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d %d\n", p.Width, p.Height, p.Channels, p.Depth)
	h.Write(p.Pix8)
	row := make([]byte, 0, 4096)
	for chunk := range slices.Chunk(p.Pix16, cap(row)/2) {
		row = row[:0]
		for _, v := range chunk {
			row = binary.LittleEndian.AppendUint16(row, v)
		}
		h.Write(row)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// subset is some pictures of a source.
type subset struct {
	Source
	indices []int
}

func (s subset) Len() int { return len(s.indices) }

func (s subset) Picture(ctx context.Context, i int) (Picture, error) {
	return s.Source.Picture(ctx, s.indices[i])
}

// prepared is a Source as a detector wants it: transformed, one tensor a picture.
type prepared struct {
	source     Source
	preprocess transform.Config
	workers    int
}

func (p prepared) Len() int { return p.source.Len() }

func (p prepared) Samples(ctx context.Context) iter.Seq2[detect.Sample, error] {
	return parallel.Ordered(ctx, p.workers, p.source.Len(), func(ctx context.Context, i int) (detect.Sample, error) {
		picture, err := p.source.Picture(ctx, i)
		if err != nil {
			return detect.Sample{}, err
		}
		x, _, err := p.preprocess.Apply(picture.Image)
		if err != nil {
			return detect.Sample{}, fmt.Errorf("%s: %w", picture.Path, err)
		}
		return detect.Sample{Name: picture.Path, Image: x}, nil
	})
}
