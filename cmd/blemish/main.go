// Command blemish learns from good pictures, finds what is wrong in new ones, shows where, and decides.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes, the same for every subcommand.
const (
	exitDone      = 0 // done; for inspect: nothing anomalous, or not asked to fail on it
	exitAnomalies = 1 // anomalies found where asked to fail on them
	exitUsage     = 2 // the command line is wrong
	exitFailed    = 3 // anything else
)

// errAnomalies makes the command exit with exitAnomalies.
var errAnomalies = errors.New("anomalies found")

// usageError is a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run executes one command line: results on stdout, progress and messages on stderr. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(console{stdin, stdout, stderr})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errAnomalies):
		return exitAnomalies
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "blemish: %v\nTry: blemish --help\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "blemish: interrupted; nothing was left half-written")
		return exitFailed
	default:
		fmt.Fprintf(stderr, "blemish: %v\n", err)
		return exitFailed
	}
}

// console is where a command reads and writes.
type console struct {
	in  io.Reader
	out io.Writer // results
	err io.Writer // progress and messages
}

func newRoot(c console) *cobra.Command {
	root := &cobra.Command{
		Use:   "blemish",
		Short: "Find what is wrong in pictures of things that should all look alike",
		Long: `Blemish learns from pictures of good things, says which new pictures are not like them, shows where,
and decides with a false-alarm rate that was asked for.`,
		Example: `  blemish demo                                  # see it work, without any data of your own
  blemish train good-pictures/ -o model.blemish # learn
  blemish inspect model.blemish new/*.png       # judge new pictures
  blemish eval model.blemish labelled/          # measure`,
		Version:       blemish.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newDemo(c), newTrain(c), newInspect(c), newEval(c), newExplain(c), newOutliers(c), newCalibrate(c), newInfo(c), newWeights(c), newVersion(c),
	)
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return usagef("%s takes no arguments, got %q", cmd.CommandPath(), args)
}

// wantArgs checks the number of positional arguments and says which are meant.
func wantArgs(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("%s wants %s, got %d arguments", cmd.CommandPath(), names, len(args))
		}
		return nil
	}
}
