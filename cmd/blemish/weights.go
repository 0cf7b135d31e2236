package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone/weights"
)

func newWeights(c console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weights",
		Short: "Manage the pretrained weights of backbones",
		Long: `The default backbone's weights are part of this program. Those of others are pulled from their publishers once, or imported from
a file, and kept in the user's cache directory ($BLEMISH_WEIGHTS overrides it); no network is used after that.`,
		Example: `  blemish weights list
  blemish weights pull resnet18
  blemish weights import wide-resnet50-2 wide_resnet50_2-95faca4d.pth
  blemish weights verify resnet18
  blemish weights where`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	store := func() (*weights.Store, error) {
		dir, err := weights.DefaultDir()
		return &weights.Store{Dir: dir}, err
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the backbones and whether their weights are here", Args: noArgs, Example: "  blemish weights list",
			RunE: func(*cobra.Command, []string) error {
				s, err := store()
				if err != nil {
					return err
				}
				table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "backbone\tstate\tlicence\tsource")
				list, err := s.List()
				if err != nil {
					return err
				}
				for _, e := range list {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.Backbone, e.State, e.Licence, e.URL)
				}
				return table.Flush()
			},
		},
		&cobra.Command{
			Use: "pull NAME", Short: "Download weights from their publisher, with resume and digest check", Example: "  blemish weights pull resnet18",
			Args: wantArgs(1, 1, "one backbone"),
			RunE: func(cmd *cobra.Command, args []string) error {
				s, err := store()
				if err != nil {
					return err
				}
				bar := newProgress(c.err)
				defer bar.finish()
				path, err := s.Pull(cmd.Context(), args[0], func(done, total int64) {
					bar.report(blemish.Progress{Stage: args[0] + " (KiB)", Done: int(done >> 10), Total: int(total >> 10)})
				})
				if err != nil {
					return err
				}
				bar.finish()
				_, err = fmt.Fprintln(c.out, path)
				return err
			},
		},
		&cobra.Command{
			Use: "import NAME FILE", Short: "Take weights from a local .pth, .safetensors or .onnx file",
			Example: "  blemish weights import vgg16 vgg16-397923af.pth",
			Args:    wantArgs(2, 2, "a backbone and a file"),
			RunE: func(cmd *cobra.Command, args []string) error {
				s, err := store()
				if err != nil {
					return err
				}
				return s.Import(cmd.Context(), args[0], args[1])
			},
		},
		&cobra.Command{
			Use: "verify NAME", Short: "Check weights against their digest", Example: "  blemish weights verify resnet18",
			Args: wantArgs(1, 1, "one backbone"),
			RunE: func(_ *cobra.Command, args []string) error {
				s, err := store()
				if err != nil {
					return err
				}
				if err := s.Verify(args[0]); err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.out, "%s: whole\n", args[0])
				return err
			},
		},
		&cobra.Command{
			Use: "where", Short: "Print the folder where weights are kept", Args: noArgs, Example: "  blemish weights where",
			RunE: func(*cobra.Command, []string) error {
				s, err := store()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.out, s.Dir)
				return err
			},
		},
	)
	return cmd
}
