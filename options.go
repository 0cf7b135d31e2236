package blemish

import (
	"github.com/blemish/blemish/backbone/weights"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/internal/parallel"
)

// Progress reports how far a long operation is.
type Progress = detect.Progress

// Options says how to run something; it never changes a result. Nil means defaults.
type Options struct {
	Workers  int                  // goroutines; 0 means GOMAXPROCS
	Progress func(Progress)       // called from one goroutine at a time; may be nil
	Weights  *weights.Store       // where pretrained weights are kept; nil means the default store
	Warn     func(message string) // told what the caller should know but that stops nothing; may be nil

	// Bad decides about a training picture that cannot be read: nil leaves it out, an error refuses the whole set.
	// Without it every bad picture is refused.
	Bad func(BadPicture) error
}

func (o *Options) workers() int {
	if o == nil {
		return parallel.Workers(0)
	}
	return parallel.Workers(o.Workers)
}

func (o *Options) warn(message string) {
	if o != nil && o.Warn != nil {
		o.Warn(message)
	}
}

func (o *Options) bad(b BadPicture) error {
	if o != nil && o.Bad != nil {
		return o.Bad(b)
	}
	return b.Err
}

func (o *Options) report(p Progress) {
	if o != nil && o.Progress != nil {
		o.Progress(p)
	}
}

// progress returns a function that counts one more item of a stage as done and returns that item's index.
func (o *Options) progress(stage string, total int) func() int {
	done := 0
	return func() int {
		done++
		o.report(Progress{Stage: stage, Done: done, Total: total})
		return done - 1
	}
}

func (o *Options) weights() (*weights.Store, error) {
	if o != nil && o.Weights != nil {
		return o.Weights, nil
	}
	dir, err := weights.DefaultDir()
	if err != nil {
		return nil, err
	}
	return &weights.Store{Dir: dir}, nil
}
