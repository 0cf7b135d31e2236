// Package fault holds the error types that callers tell apart: each says what was wrong, with what, and what to do.
// Wrap them with %w and the path; find them with errors.As.
package fault

import "fmt"

// FormatError says that bytes are not a valid instance of their format: damaged, truncated, or of another kind.
type FormatError struct {
	Format string // "safetensors", "PNG", "model file", …
	Reason string // what is wrong and where, such as "header length 9e18 exceeds the file's 120 bytes"
	Err    error  // the decoder's own error, or nil
}

func (e *FormatError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("not a valid %s file: %s: %v", e.Format, e.Reason, e.Err)
	}
	return fmt.Sprintf("not a valid %s file: %s", e.Format, e.Reason)
}

func (e *FormatError) Unwrap() error { return e.Err }

// UnsupportedError says that input is well-formed but asks for something Blemish does not do.
type UnsupportedError struct {
	What string // such as "pickle global os.system", "TIFF compression 34712"
	Hint string // what to do instead; may be empty
}

func (e *UnsupportedError) Error() string {
	if e.Hint != "" {
		return fmt.Sprintf("%s is not supported: %s", e.What, e.Hint)
	}
	return e.What + " is not supported"
}

// ShapeError says that an array does not have the shape asked for.
type ShapeError struct {
	What string // which array
	Want string // in words or as a pattern, such as "(N,3,H,W)"
	Got  []int
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("%s has shape %v, want %s", e.What, e.Got, e.Want)
}

// ConfigError says that a setting is out of range.
type ConfigError struct {
	Field  string
	Value  any
	Reason string // what is allowed
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s = %v: %s", e.Field, e.Value, e.Reason)
}

// LimitError says that input is larger than a limit set to protect memory.
type LimitError struct {
	What  string // such as "picture of 70000x70000 pixels"
	Limit string // such as "100000000 pixels; raise it with --max-pixels"
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s exceeds the limit of %s", e.What, e.Limit)
}
