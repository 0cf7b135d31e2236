package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/internal/cpu"
)

func newVersion(c console) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, and the instruction set in use",
		Example: "  blemish version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.out, "blemish %s %s/%s %s %s\n", blemish.Version, runtime.GOOS, runtime.GOARCH, cpu.Active(), runtime.Version())
			return err
		},
	}
}
