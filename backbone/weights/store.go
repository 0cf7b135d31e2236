package weights

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
)

//go:embed efficientnet-lite0.safetensors
var embedded []byte

// Store is a folder of weights. The zero Client means http.DefaultClient.
type Store struct {
	Dir    string
	Client *http.Client

	registry []Entry       // in tests; nil means the known ones
	pause    time.Duration // before a second try; 0 means pullPause
}

// DefaultDir is $BLEMISH_WEIGHTS, or blemish/weights in the user's cache directory.
func DefaultDir() (string, error) {
	if dir := os.Getenv("BLEMISH_WEIGHTS"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for weights: %w; set BLEMISH_WEIGHTS to a folder", err)
	}
	return filepath.Join(cache, "blemish", "weights"), nil
}

// State says where weights are.
type State string

const (
	StateEmbedded State = "embedded"
	StatePresent  State = "present"
	StateAbsent   State = "absent"
)

// Listed is an Entry and where it is.
type Listed struct {
	Entry
	State State
}

// List says of all known weights where they are.
func (s *Store) List() ([]Listed, error) {
	var out []Listed
	for _, e := range s.entries() {
		l := Listed{e, StateAbsent}
		if e.Embedded() {
			l.State = StateEmbedded
		} else if _, err := os.Stat(s.path(e)); err == nil {
			l.State = StatePresent
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func (s *Store) entries() []Entry {
	if s.registry != nil {
		return s.registry
	}
	return registry
}

func (s *Store) lookup(backbone string) (Entry, error) {
	for _, e := range s.entries() {
		if e.Backbone == backbone {
			return e, nil
		}
	}
	return lookup(backbone)
}

// A backbone's weights and their SHA-256 lie side by side in the folder.
func (s *Store) path(e Entry) string       { return filepath.Join(s.Dir, e.Backbone+".weights") }
func (s *Store) digestPath(e Entry) string { return s.path(e) + ".sha256" }

// Open opens a backbone's weights. Where they are absent the error says how to get them.
func (s *Store) Open(backbone string) (*checkpoint.File, error) {
	e, err := s.lookup(backbone)
	if err != nil {
		return nil, err
	}
	if e.Embedded() {
		return checkpoint.NewFile(bytes.NewReader(embedded), int64(len(embedded)))
	}
	f, err := checkpoint.Open(s.path(e))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the weights of %s are not here: get them with\n  blemish weights pull %s\n"+
			"or, where the network is closed, fetch %s elsewhere and\n  blemish weights import %s FILE", e.Backbone, e.Backbone, e.URL, e.Backbone)
	}
	return f, err
}

// Import copies a local file (.pth, .safetensors or .onnx) into the store, after checking that it holds tensors.
func (s *Store) Import(ctx context.Context, backbone, file string) error {
	e, err := s.lookup(backbone)
	if err != nil {
		return err
	}
	if e.Embedded() {
		return fmt.Errorf("the weights of %s are part of the program: there is nothing to import", backbone)
	}
	c, err := checkpoint.Open(file)
	if err != nil {
		return err
	}
	n := len(c.Names())
	c.Close()
	if n == 0 {
		return fmt.Errorf("%s: %w", file, &fault.FormatError{Format: "weights", Reason: "it holds no tensors"})
	}
	src, err := os.Open(file)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.MkdirAll(s.Dir, 0o777); err != nil {
		return err
	}
	h := sha256.New()
	err = checkpoint.WriteFileAtomic(s.path(e), func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, h), &contextReader{ctx, src})
		return err
	})
	if err != nil {
		return err
	}
	return s.writeDigest(e, hex.EncodeToString(h.Sum(nil)))
}

func (s *Store) writeDigest(e Entry, digest string) error {
	return checkpoint.WriteFileAtomic(s.digestPath(e), func(w io.Writer) error {
		_, err := io.WriteString(w, digest+"\n")
		return err
	})
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Verify compares weights with the digest noted when they came.
func (s *Store) Verify(backbone string) error {
	e, err := s.lookup(backbone)
	if err != nil {
		return err
	}
	f, err := s.Open(backbone)
	if err != nil {
		return err
	}
	f.Close()
	if e.Embedded() {
		return nil // checked by the tests of the program it is part of
	}
	want, err := os.ReadFile(s.digestPath(e))
	if err != nil {
		return err
	}
	got, err := fileDigest(s.path(e))
	if err != nil {
		return err
	}
	if got != strings.TrimSpace(string(want)) {
		return fmt.Errorf("%s is damaged: SHA-256 %s, want %s; pull or import it again", s.path(e), got, strings.TrimSpace(string(want)))
	}
	return nil
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
