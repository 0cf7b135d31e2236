package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/synth"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"blemish": main})
}

func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("BLEMISH_WEIGHTS", filepath.Join(e.WorkDir, "weights"))
			networks, err := filepath.Abs("../../infer/testdata/onnx")
			e.Setenv("NETWORKS", networks)
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"render":  func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(renderTree(ts.MkAbs(args[0]))) },
			"fields":  fields,
			"smaller": smaller,
		},
	})
}

// renderTree writes a small MVTec AD category of brushed metal.
func renderTree(dir string) error {
	at := 0
	add := func(folder, defect string, n int) error {
		for range n {
			picture, mask, err := synth.Render(synth.Spec{Surface: "brushed metal", Defect: defect, Seed: 9, Index: at})
			if err != nil {
				return err
			}
			if err := writePNG(filepath.Join(dir, folder, fmt.Sprintf("%03d.png", at)), picture); err != nil {
				return err
			}
			if mask != nil {
				m := &imageio.Picture{Width: mask.Width, Height: mask.Height, Channels: 1, Depth: 8, Pix8: bytes.Clone(mask.Data)}
				for i := range m.Pix8 {
					m.Pix8[i] *= 255
				}
				if err := writePNG(filepath.Join(dir, "ground_truth", defect, fmt.Sprintf("%03d_mask.png", at)), m); err != nil {
					return err
				}
			}
			at++
		}
		return nil
	}
	for _, part := range []struct {
		folder, defect string
		n              int
	}{{"train/good", "", 12}, {"test/good", "", 4}, {"test/stain", "stain", 3}, {"test/scratch", "scratch", 3}} {
		if err := add(part.folder, part.defect, part.n); err != nil {
			return err
		}
	}
	return nil
}

func writePNG(path string, p *imageio.Picture) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, p.Image()); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o666)
}

// fields checks that every line of a file is a JSON object with exactly the given fields.
func fields(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var object map[string]any
		ts.Check(json.Unmarshal([]byte(line), &object))
		for _, name := range args[1:] {
			if _, ok := object[name]; !ok {
				ts.Fatalf("%s has no field %q: %s", args[0], name, line)
			}
		}
		if len(object) != len(args)-1 {
			ts.Fatalf("%s has %d fields, want %q: %s", args[0], len(object), args[1:], line)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" || c.RunE == nil {
			t.Errorf("%s: help, example or action is missing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(console{}))
}

func TestInterruptedTrainingStopsAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := renderTree(filepath.Join(dir, "set")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out := filepath.Join(dir, "model", "m")
	if err := os.Mkdir(filepath.Dir(out), 0o777); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, cancel)
	var stderr bytes.Buffer
	code := run(ctx, []string{"train", filepath.Join(dir, "set"), "-o", out, "--set", "coreset_ratio=1"}, nil, &stderr, &stderr)
	stopped := time.Now()
	if code != exitFailed || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if late := time.Since(stopped); late > 2*time.Second {
		t.Errorf("stopped %v late", late)
	}
	if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// smaller says whether the first of two files is at least a third smaller than the second.
func smaller(ts *testscript.TestScript, neg bool, args []string) {
	var sizes [2]int64
	for i, name := range args {
		st, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		sizes[i] = st.Size()
	}
	if (3*sizes[0] <= 2*sizes[1]) == neg {
		ts.Fatalf("%s takes %d bytes, %s %d", args[0], sizes[0], args[1], sizes[1])
	}
}
