package outlier

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/fault"
)

// Setting is a parameter that is a number or the name of a rule, such as gamma: 0.1 or "scale".
type Setting struct {
	Name  string  // empty: Value holds
	Value float64 // where Name is empty
}

// Auto leaves a parameter to the method.
var Auto = Setting{Name: "auto"}

// Number is a parameter given as a number.
func Number(v float64) Setting { return Setting{Value: v} }

func (s Setting) String() string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprint(s.Value)
}

// MarshalJSON writes the name or the number.
func (s Setting) MarshalJSON() ([]byte, error) {
	if s.Name != "" {
		return json.Marshal(s.Name)
	}
	return json.Marshal(s.Value)
}

// UnmarshalJSON reads a string or a number.
func (s *Setting) UnmarshalJSON(raw []byte) error {
	var name string
	if json.Unmarshal(raw, &name) == nil && name != "" {
		*s = Setting{Name: name}
		return nil
	}
	var v float64
	if err := json.Unmarshal(raw, &v); err != nil || string(raw) == "null" {
		return fmt.Errorf("%s is neither a name nor a number", raw)
	}
	*s = Number(v)
	return nil
}

// check accepts positive numbers and the names given; of contamination, at most 0.5.
func (s Setting) check(field string, names ...string) error {
	if s.Name != "" {
		if slices.Contains(names, s.Name) {
			return nil
		}
		return &fault.ConfigError{Field: field, Value: s.Name, Reason: fmt.Sprintf("want a number or one of %q", names)}
	}
	if !(s.Value > 0) || math.IsInf(s.Value, 1) {
		return &fault.ConfigError{Field: field, Value: s.Value, Reason: fmt.Sprintf("want more than 0, or one of %q", names)}
	}
	if field == "contamination" && s.Value > 0.5 {
		return &fault.ConfigError{Field: field, Value: s.Value, Reason: "want at most 0.5"}
	}
	return nil
}
