package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// A checkpoint is a safetensors file: the network's tensors as model.*, those of optimiser i as optimizer.i.*, and the state as JSON in the
// metadata.
const (
	metadataKey     = "blemish.train"
	modelPrefix     = "model."
	optimizerPrefix = "optimizer.%d."
)

// state is how far training is, and what of it is not tensors.
type state struct {
	Epochs  int             `json:"epochs"` // whole ones
	Steps   int             `json:"steps"`  // in all of them
	Stopped bool            `json:"stopped"`
	LR      []float64       `json:"lr"` // of all groups of all optimisers
	Random  []byte          `json:"random,omitempty"`
	State   json.RawMessage `json:"state,omitempty"`
}

// begin resumes if there is something to resume from. Otherwise it finds out now, and not after an epoch, whether a checkpoint can be
// written.
func (c *Config) begin() (state, error) {
	if c.Checkpoint == "" {
		return state{}, nil
	}
	if c.Model == nil {
		return state{}, &fault.ConfigError{Field: "model", Value: nil, Reason: "want the network that checkpoints are to hold"}
	}
	if c.Resume {
		s, err := c.load()
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return state{}, fmt.Errorf("resuming from checkpoint %s: %w", c.Checkpoint, err)
		}
	}
	trial := errors.New("not to be kept")
	err := checkpoint.WriteFileAtomic(c.Checkpoint, func(w io.Writer) error {
		if err := checkpoint.WriteSafetensors(w, nil, c.entries()); err != nil {
			return err
		}
		return trial
	})
	if err != trial {
		return state{}, fmt.Errorf("writing checkpoint %s: %w", c.Checkpoint, err)
	}
	return state{}, nil
}

// entries lists the tensors to keep.
func (c *Config) entries() []checkpoint.Entry {
	var entries []checkpoint.Entry
	add := func(prefix string, tensors []nn.Buffer) {
		for _, t := range tensors {
			entries = append(entries, checkpoint.Entry{Name: prefix + t.Name, DType: checkpoint.F32, Tensor: t.Value})
		}
	}
	add(modelPrefix, nn.State(c.Model))
	for i, o := range c.Optimizers {
		add(fmt.Sprintf(optimizerPrefix, i), o.State())
	}
	return entries
}

// groups lists the parameter groups of all optimisers.
func (c *Config) groups() []*nn.Group {
	var groups []*nn.Group
	for _, o := range c.Optimizers {
		groups = append(groups, o.Groups()...)
	}
	return groups
}

// save replaces the checkpoint.
func (c *Config) save(s state) error {
	for _, p := range c.Model.Params() { // training cannot go on from NaN, but may from the checkpoint before
		for _, x := range p.Value.Data {
			if x-x != 0 {
				return &autograd.NonFiniteError{Layer: "parameter " + p.Name, What: "value"}
			}
		}
	}
	for _, g := range c.groups() {
		s.LR = append(s.LR, g.LR)
	}
	var err error
	if c.Random != nil {
		if s.Random, err = c.Random.MarshalBinary(); err != nil {
			return err
		}
	}
	if c.State != nil {
		if s.State, err = json.Marshal(c.State); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(c.Checkpoint, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, map[string]string{metadataKey: string(text)}, c.entries())
	})
}

// load sets everything to what the checkpoint holds. After an error some of it may be set.
func (c *Config) load() (s state, err error) {
	f, err := checkpoint.Open(c.Checkpoint)
	if err != nil {
		return s, err
	}
	defer f.Close()
	if err := json.Unmarshal([]byte(f.Metadata()[metadataKey]), &s); err != nil {
		return s, &fault.FormatError{Format: "training checkpoint", Reason: "its metadata " + metadataKey + " is missing or damaged", Err: err}
	}
	if err := c.loadTensors(f); err != nil {
		return s, err
	}
	groups := c.groups()
	if len(s.LR) != len(groups) {
		return s, fmt.Errorf("it holds the learning rates of %d parameter groups, but there are %d", len(s.LR), len(groups))
	}
	for i, g := range groups {
		g.LR = s.LR[i]
	}
	if c.Random != nil {
		if err := c.Random.UnmarshalBinary(s.Random); err != nil {
			return s, fmt.Errorf("random numbers: %w", err)
		}
	}
	if c.State != nil {
		if err := json.Unmarshal(s.State, c.State); err != nil {
			return s, fmt.Errorf("state: %w", err)
		}
	}
	return s, nil
}

// loadTensors refuses a file that was written for another network or other optimisers.
func (c *Config) loadTensors(f *checkpoint.File) error {
	err := nn.LoadState(c.Model, func(name string) (*tensor.Tensor, error) { return f.Read(modelPrefix + name) })
	if err != nil {
		return fmt.Errorf("%w; is it that of another network?", err)
	}
	for i, o := range c.Optimizers {
		tensors := map[string]*tensor.Tensor{}
		prefix := fmt.Sprintf(optimizerPrefix, i)
		for _, name := range f.Names() {
			if own, ok := strings.CutPrefix(name, prefix); ok {
				if tensors[own], err = f.Read(name); err != nil {
					return err
				}
			}
		}
		if err := o.LoadState(tensors); err != nil {
			return err
		}
	}
	if have, want := len(f.Names()), len(c.entries()); have != want {
		return fmt.Errorf("it holds %d tensors, here are %d; is it that of another network?", have, want)
	}
	return nil
}
