package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/table"
)

// networkFlags are the autoencoder's settings; those given are laid over the preset's, or over the method's defaults.
type networkFlags struct {
	activation, output, optimizer string
	epochs, batch                 int
	lr                            float64
}

func (n *networkFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&n.activation, "activation", "", "autoencoder: between layers, such as tanh or relu")
	fl.StringVar(&n.output, "output", "", "autoencoder: after the last layer, such as sigmoid or identity")
	fl.StringVar(&n.optimizer, "optimizer", "", "autoencoder: adam or sgd")
	fl.IntVar(&n.epochs, "epochs", 0, "autoencoder: times to go through the rows")
	fl.Float64Var(&n.lr, "lr", 0, "autoencoder: learning rate")
	fl.IntVar(&n.batch, "batch", 0, "autoencoder: rows a step")
}

// options are the flags that were given, by the names of the method's options.
func (n *networkFlags) options(cmd *cobra.Command) (map[string]json.RawMessage, error) {
	options := map[string]json.RawMessage{}
	for flag, o := range map[string]struct {
		name  string
		value any
	}{
		"activation": {"activation", n.activation}, "output": {"output", n.output}, "optimizer": {"optimizer", n.optimizer},
		"epochs": {"epochs", n.epochs}, "lr": {"lr", n.lr}, "batch": {"batch_size", n.batch},
	} {
		if !cmd.Flags().Changed(flag) {
			continue
		}
		raw, err := json.Marshal(o.value)
		if err != nil {
			return nil, usagef("--%s: %v", flag, err)
		}
		options[o.name] = raw
	}
	return options, nil
}

// widths reads --layers for an autoencoder.
func widths(layers []string) (json.RawMessage, error) {
	var sizes []int
	for _, s := range layers {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return nil, usagef("--layers %s: want numbers, such as 65,32,8,32,65", strings.Join(layers, ","))
		}
		sizes = append(sizes, n)
	}
	return json.Marshal(sizes)
}

// chapter runs the study of handwritten digits: it ranks the rows by an autoencoder's error and shows the digit that it gives back worst.
func (f *outliersFlags) chapter(ctx context.Context, c console, path string, config blemish.OutlierConfig) error {
	if f.table.Label != "" || f.table.ID != "" || len(f.table.Drop) > 0 {
		return usagef("--preset chapter learns all 65 columns, the digit too: leave --label, --id and --drop away")
	}
	t, err := table.Open(path, f.table)
	if err != nil {
		return err
	}
	describeTable(c, path, t)
	raw := outlier.Matrix{Rows: t.Rows, Cols: t.Cols, Data: t.Data}
	x, err := outlier.ChapterRows(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	config.EpochEnd = func(epoch int, loss float64) {
		if (epoch+1)%outlier.ChapterLogEvery == 0 {
			fmt.Fprintf(c.err, "epoch %d: loss %.6f\n", epoch+1, loss)
		}
	}
	ranked, err := blemish.RankRows(ctx, x, config, &blemish.Options{Workers: f.workers})
	if err != nil {
		return err
	}
	f.announce(c, ranked, "rows")
	s := suspects{Outliers: ranked, what: "digits", rows: t.Index, picture: func(i int) (*imageio.Picture, error) { return digit(raw.Row(i)), nil }}
	for i := range raw.Rows {
		s.labels = append(s.labels, strconv.Itoa(int(raw.Row(i)[outlier.ChapterPixels])))
	}
	worst := ranked.Ranked[0]
	if f.picture != "" {
		if err := checkpoint.WriteFileAtomic(f.picture, func(w io.Writer) error { return png.Encode(w, enlarge(raw.Row(worst.Index))) }); err != nil {
			return err
		}
	}
	if f.json {
		err = f.write(c, s, path)
	} else {
		line := s.line(worst)
		fmt.Fprintf(c.out, "Index: %d, MSE: %.4f\nDigit: %s\n%s", line.Index, line.Score, *line.Label, drawDigit(raw.Row(worst.Index)))
	}
	if err != nil {
		return err
	}
	return f.writeReport(s, path)
}

// side is a digit's width and height.
const side = 8

// drawDigit draws 8x8 pixels of 0 to 16 in greys of a terminal, the ink dark in print and light on a dark screen.
func drawDigit(row []float64) string {
	greys := []rune(" ░▒▓█")
	var b strings.Builder
	for y := range side {
		for x := range side {
			g := greys[int(row[y*side+x]/16*float64(len(greys)-1)+0.5)]
			b.WriteRune(g)
			b.WriteRune(g) // a character is about half as wide as high
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// digit is a row's picture of 8x8 pixels.
func digit(row []float64) *imageio.Picture {
	p := imageio.New(side, side, 1, 8)
	for i := range p.Pix8 {
		p.Pix8[i] = uint8(row[i]/16*255 + 0.5)
	}
	return p
}

// enlarge draws a digit with each pixel as a square.
func enlarge(row []float64) image.Image {
	const square = 32
	small := digit(row)
	img := image.NewGray(image.Rect(0, 0, side*square, side*square))
	for y := range side * square {
		for x := range side * square {
			img.SetGray(x, y, color.Gray{Y: small.Pix8[y/square*side+x/square]})
		}
	}
	return img
}
