package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/imageio"
)

// badFiles says what becomes of a picture that cannot be read.
type badFiles string

const (
	badFail badFiles = "fail"
	badSkip badFiles = "skip"
)

func (b badFiles) check() error {
	if b != badFail && b != badSkip {
		return usagef("--bad-files %q: want fail or skip", string(b))
	}
	return nil
}

// runFlags are the flags that change how a command runs, but not what comes out.
type runFlags struct {
	workers   int
	maxPixels int64
	bad       string
}

func (f *runFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.workers, "workers", 0, "goroutines to use; 0 means one per core. It never changes a result")
	cmd.Flags().Int64Var(&f.maxPixels, "max-pixels", imageio.DefaultMaxPixels, "refuse pictures that declare more pixels than this")
	cmd.Flags().StringVar(&f.bad, "bad-files", string(badFail), "what to do with files that cannot be read: fail or skip (each is named)")
	complete(cmd, "bad-files", string(badFail), string(badSkip))
}

func (f *runFlags) check() error {
	if f.workers < 0 {
		return usagef("--workers %d: want 0 or more", f.workers)
	}
	if f.maxPixels < 1 {
		return usagef("--max-pixels %d: want at least 1", f.maxPixels)
	}
	return badFiles(f.bad).check()
}

func (f *runFlags) limits() imageio.Limits { return imageio.Limits{MaxPixels: f.maxPixels} }

// options shows progress and warnings on stderr.
func (f *runFlags) options(c console, p *progress) *blemish.Options {
	o := &blemish.Options{
		Workers:  f.workers,
		Progress: p.report,
		Warn: func(message string) {
			p.finish()
			fmt.Fprintf(c.err, "note: %s\n", message)
		},
	}
	if badFiles(f.bad) == badSkip {
		o.Bad = func(b blemish.BadPicture) error {
			p.finish()
			fmt.Fprintf(c.err, "skipped: %v\n", b.Err)
			return nil
		}
	}
	return o
}

// complete offers fixed words when a shell completes a flag's value.
func complete(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was not defined: a programmer's error
	}
}

// parseSize reads "256" or "256x640" (height x width).
func parseSize(s string) (height, width int, err error) {
	h, w, two := strings.Cut(s, "x")
	if !two {
		w = h
	}
	height, err = strconv.Atoi(h)
	if err == nil {
		width, err = strconv.Atoi(w)
	}
	if err != nil || height < 1 || width < 1 {
		return 0, 0, usagef("--size %q: want pixels such as 256, or height x width such as 256x640", s)
	}
	return height, width, nil
}

// methodOptions turns name=value pairs into a JSON object. A value that is not JSON is taken as a string.
func methodOptions(pairs []string) (json.RawMessage, error) {
	object := map[string]json.RawMessage{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("--set %q: want name=value", pair)
		}
		raw := json.RawMessage(value)
		if !json.Valid(raw) {
			raw, _ = json.Marshal(value)
		}
		object[name] = raw
	}
	return json.Marshal(object)
}
