package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
)

func newInfo(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info FILE",
		Short: "Say what a model file holds and where it comes from",
		Example: `  blemish info tiles.blemish
  blemish info tiles.blemish --json`,
		Args: wantArgs(1, 1, "one model file"),
		RunE: func(_ *cobra.Command, args []string) error {
			info, err := blemish.ReadInfo(args[0])
			if err != nil {
				return err
			}
			stat, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(c.out)
				enc.SetIndent("", "  ")
				return enc.Encode(info)
			}
			return writeInfo(c.out, info, stat.Size())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func writeInfo(w io.Writer, info blemish.Info, bytes int64) error {
	preprocess, err := json.Marshal(info.Preprocess)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "method\t%s %s\n", info.Method, info.Options)
	if info.Backbone.Name == blemish.NoBackbone {
		fmt.Fprintf(table, "backbone\t%s\n", info.Backbone.Name)
	} else {
		fmt.Fprintf(table, "backbone\t%s, layers %s\n", info.Backbone.Name, strings.Join(info.Backbone.Layers, ", "))
		fmt.Fprintf(table, "backbone digest\t%s\n", info.Backbone.Digest)
	}
	fmt.Fprintf(table, "preprocessing\t%s\n", preprocess)
	fmt.Fprintf(table, "pictures\t%d, of which %d held out for calibration\n", info.Provenance.Pictures, info.Provenance.HeldOut)
	fmt.Fprintf(table, "data digest\t%s\n", info.Provenance.Data)
	fmt.Fprintf(table, "seed\t%d\n", info.Provenance.Seed)
	fmt.Fprintf(table, "trained by\tblemish %s with %s\n", info.Provenance.Blemish, info.Provenance.InstructionSet)
	fmt.Fprintf(table, "size\t%.1f MB, model format %d\n", float64(bytes)/1e6, info.Format)
	if err := table.Flush(); err != nil {
		return err
	}
	writeSuspects(w, info.Provenance)
	writeCalibration(w, info.Calibration)
	return nil
}

func writeCalibration(w io.Writer, c blemish.Calibration) {
	if c.Image == nil {
		fmt.Fprintln(w, "no threshold: scores only; calibrate with: blemish calibrate FILE DIR")
		return
	}
	fmt.Fprintf(w, "picture threshold %.4f: %s\n", c.Image.Value, c.Image)
	if c.Pixel != nil {
		fmt.Fprintf(w, "pixel threshold   %.4f: %s\n", c.Pixel.Value, c.Pixel)
	}
}
