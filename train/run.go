package train

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
)

// Config says what to train, and for how long. What a checkpoint holds: Model, Optimizers and their learning rates, Random, State.
type Config struct {
	Epochs     int
	Model      nn.Module // several networks: nn.Sequential holds them
	Optimizers []nn.Optimizer
	Random     *rand.PCG // beneath the tape's random numbers; may be nil
	State      any       // a pointer to what else changes, such as *nn.ReduceLROnPlateau, stored as JSON; may be nil

	Checkpoint string // file that is replaced after every epoch; "" for none
	Resume     bool   // go on from Checkpoint if it exists; else it is replaced

	Progress func(Progress)                              // called after every step
	EpochEnd func(ctx context.Context, p Progress) error // for validation and schedules, with the epoch's last step; may return ErrStop
}

// At is a place in training, counted from 0.
type At struct {
	Epoch int
	Step  int // in the epoch
	Total int // steps before this one in all epochs: what schedules go by
}

// String counts from 1.
func (a At) String() string { return fmt.Sprintf("epoch %d, step %d", a.Epoch+1, a.Step+1) }

// Progress is a step that was made.
type Progress struct {
	At
	Loss, Mean float64 // of the step, and over the epoch's steps so far
}

// ErrStop says that further epochs would not help: Run keeps the present one and returns nil, also when it is resumed.
var ErrStop = errors.New("train: enough")

// Run trains: in every epoch it calls step for each batch, then EpochEnd, then writes the checkpoint. Loader.Batches gives batches; step
// returns the loss, which must be finite. Errors name epoch and step.
//
// Run stops before the next step when ctx is cancelled. Then, and after an error, the checkpoint is that of the last whole epoch, the error
// names it, and a Run that resumes from it ends with the same bits as one that was never stopped, if batches and step depend on nothing but
// their arguments and what a checkpoint holds. Run does not switch the network between training and evaluation; an EpochEnd that does must
// switch back.
func Run[B any](ctx context.Context, c Config, batches func(ctx context.Context, epoch int) iter.Seq2[B, error],
	step func(ctx context.Context, at At, batch B) (loss float64, err error)) error {
	if c.Epochs < 1 {
		return &fault.ConfigError{Field: "epochs", Value: c.Epochs, Reason: "want 1 or more"}
	}
	done, err := c.begin()
	if err != nil {
		return err
	}
	for !done.Stopped && done.Epochs < c.Epochs {
		next, err := epoch(ctx, c, done, batches, step)
		if err == nil && c.Checkpoint != "" {
			if err = c.save(next); err != nil {
				err = fmt.Errorf("checkpoint of epoch %d: %w", next.Epochs, err)
			}
		}
		if err != nil && c.Checkpoint != "" && done.Epochs > 0 {
			err = fmt.Errorf("%w; checkpoint %s holds the state after epoch %d, resume from it", err, c.Checkpoint, done.Epochs)
		}
		if err != nil {
			return err
		}
		done = next
	}
	return nil
}

// epoch goes through the batches once and returns what is done then.
func epoch[B any](ctx context.Context, c Config, done state, batches func(context.Context, int) iter.Seq2[B, error],
	step func(context.Context, At, B) (float64, error)) (state, error) {
	at := At{Epoch: done.Epochs, Total: done.Steps}
	var p Progress
	sum := 0.0
	for batch, err := range batches(ctx, at.Epoch) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			p.Loss, err = guarded(ctx, step, at, batch)
		}
		if err != nil {
			return done, fmt.Errorf("%s: %w", at, err)
		}
		sum += p.Loss
		p.At, p.Mean = at, sum/float64(at.Step+1)
		if c.Progress != nil {
			c.Progress(p)
		}
		at.Step++
		at.Total++
	}
	if err := ctx.Err(); err != nil { // batches may have ended early because of it: this is not a whole epoch
		return done, fmt.Errorf("%s: %w", at, err)
	}
	if at.Step == 0 {
		return done, fmt.Errorf("epoch %d has no batches", at.Epoch+1)
	}
	next := state{Epochs: done.Epochs + 1, Steps: at.Total}
	if c.EpochEnd == nil {
		return next, nil
	}
	err := c.EpochEnd(ctx, p)
	if next.Stopped = errors.Is(err, ErrStop); err != nil && !next.Stopped {
		return done, fmt.Errorf("end of epoch %d: %w", next.Epochs, err)
	}
	return next, nil
}

// guarded makes a step. Shapes that do not fit, and a loss that is not finite, are errors.
func guarded[B any](ctx context.Context, step func(context.Context, At, B) (float64, error), at At, batch B) (loss float64, err error) {
	defer autograd.Catch(&err)
	loss, err = step(ctx, at, batch)
	if err == nil && loss-loss != 0 {
		err = &autograd.NonFiniteError{Layer: "loss", What: "value"}
	}
	return loss, err
}
