package main

import (
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/report"
)

// drawings writes what --out asks for: overlay, raw map and mask of each picture.
type drawings struct {
	dir   string
	names map[string]string // picture -> beginning of its files' names
	scale report.Scale
	pixel *float64 // threshold of map values; nil where the model has none
}

func newDrawings(dir string, files []string, model *blemish.Model) (*drawings, error) {
	names, err := outputNames(files)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	d := &drawings{dir: dir, names: names, scale: displayScale(model)}
	if t := model.Info().Calibration.Pixel; t != nil {
		d.pixel = &t.Value
	}
	return d, nil
}

// outputNames gives each picture the shortest name, with as many of its folders as needed, that no other picture has.
func outputNames(files []string) (map[string]string, error) {
	names := make(map[string]string, len(files))
	for depth, left := 1, files; len(left) > 0; depth++ {
		owners := map[string][]string{}
		for _, f := range left {
			parts := strings.Split(filepath.ToSlash(filepath.Clean(f)), "/")
			if depth > len(parts) {
				return nil, fmt.Errorf("%s is given twice: its results would overwrite each other", f)
			}
			last := parts[len(parts)-depth:]
			name := strings.Join(last, "_")
			name = strings.TrimSuffix(name, filepath.Ext(name))
			owners[name] = append(owners[name], f)
		}
		var clashing []string
		for name, files := range owners {
			if len(files) == 1 {
				names[files[0]] = name
			} else {
				clashing = append(clashing, files...)
			}
		}
		left = clashing
	}
	return names, nil
}

func (d *drawings) write(s blemish.Scored) error {
	r := s.Result
	if r.Map == nil {
		return fmt.Errorf("%s: this method draws no maps: leave out --out", r.Path)
	}
	base := filepath.Join(d.dir, d.names[r.Path])
	files := []struct {
		name  string
		write func(io.Writer) error
	}{
		{"_overlay.png", func(w io.Writer) error {
			return png.Encode(w, report.Overlay(s.Picture.Image, r.Map, d.scale))
		}},
		{"_map.npy", func(w io.Writer) error { return imageio.WriteNPY(w, r.Map) }},
		{"_map.png", func(w io.Writer) error { return imageio.WriteMapPNG(w, r.Map) }},
	}
	if d.pixel != nil {
		files = append(files, struct {
			name  string
			write func(io.Writer) error
		}{"_mask.png", func(w io.Writer) error { return png.Encode(w, report.Mask(r.Map, *d.pixel)) }})
	}
	for _, f := range files {
		if err := checkpoint.WriteFileAtomic(base+f.name, f.write); err != nil {
			return err
		}
	}
	return nil
}
