package outlier

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"testing"
)

// FuzzOpen opens states of every method that bytes have damaged: an error, or a detector that judges rows with finite scores or an error; never a
// panic, nor memory beyond what the state itself holds.
func FuzzOpen(f *testing.F) {
	ctx := context.Background()
	x := correlated(1, 24)
	type base struct {
		method Method
		state  State
		names  []string // of its arrays
	}
	var bases []base
	for _, m := range Methods() {
		configs := []Config{withEpochs(m.Defaults(), 1)}
		switch c := m.Defaults().(type) {
		case SGDOneClassSVMConfig:
			for _, name := range []string{"linear", "rbf_sampler"} {
				c.FeatureMap = name
				configs = append(configs, c)
			}
		case IsolationForestConfig:
			c.NEstimators = 3
			configs = []Config{c}
		}
		for _, c := range configs {
			d, err := c.Fit(ctx, x, nil)
			if err != nil {
				f.Fatal(err)
			}
			s, err := d.State()
			if err != nil {
				f.Fatal(err)
			}
			b := base{method: m, state: s}
			for name := range s.Arrays {
				b.names = append(b.names, name)
			}
			slices.Sort(b.names)
			bases = append(bases, b)
		}
	}
	for i, b := range bases {
		f.Add(byte(i), []byte(b.state.Config), []byte{})
		for k := range b.names {
			f.Add(byte(i), []byte{}, damage(byte(k), 0, 0, -1))
			f.Add(byte(i), []byte{}, damage(byte(k), 1, 0, math.NaN()))
			f.Add(byte(i), []byte{}, damage(byte(k), 1, 3, 1e300))
			f.Add(byte(i), []byte{}, damage(byte(k), 2, 0, 1<<40))
			f.Add(byte(i), []byte{}, damage(byte(k), 3, 1, 0))
		}
	}
	queries := correlated(2, 3)
	f.Fuzz(func(t *testing.T, which byte, config, edits []byte) {
		b := bases[int(which)%len(bases)]
		s := State{Config: b.state.Config, Arrays: map[string]Array{}}
		for name, a := range b.state.Arrays {
			s.Arrays[name] = Array{slices.Clone(a.Shape), slices.Clone(a.Data)}
		}
		if len(config) > 0 {
			s.Config = json.RawMessage(config)
		}
		for ; len(edits) >= 12; edits = edits[12:] {
			name := b.names[int(edits[0])%len(b.names)]
			a := s.Arrays[name]
			at, v := int(binary.LittleEndian.Uint16(edits[2:])), math.Float64frombits(binary.LittleEndian.Uint64(edits[4:]))
			switch edits[1] % 6 {
			case 0: // a value
				if len(a.Data) > 0 {
					a.Data[at%len(a.Data)] = v
				}
			case 1: // all values
				for i := range a.Data {
					a.Data[i] = v
				}
			case 2: // a length
				if len(a.Shape) > 0 {
					a.Shape[at%len(a.Shape)] = int(int64(v))
				}
			case 3: // as many values and lengths as fit
				n := min(at, 4096)
				a = Array{[]int{n}, make([]float64, n)}
				for i := range a.Data {
					a.Data[i] = v
				}
			case 4: // a matrix of another shape
				rows, cols := at%64, int(edits[4])%64
				a = Array{[]int{rows, cols}, slices.Repeat([]float64{1}, rows*cols)}
			case 5: // none
				delete(s.Arrays, name)
				continue
			}
			s.Arrays[name] = a
		}
		d, err := b.method.Open(s)
		if err != nil {
			return
		}
		if v := d.Threshold(); v-v != 0 {
			t.Errorf("%s opened with threshold %v", b.method.Name, v)
		}
		scores, err := d.Score(ctx, queries)
		if err != nil {
			return
		}
		for i, v := range scores {
			if v-v != 0 {
				t.Errorf("%s: row %d scores %v", b.method.Name, i, v)
			}
		}
		again, err := d.State()
		if err != nil {
			t.Fatalf("%s opened what it cannot save: %v", b.method.Name, err)
		}
		if _, err := b.method.Open(again); err != nil {
			t.Errorf("%s does not open what it saved: %v", b.method.Name, err)
		}
	})
}

// damage is one edit of FuzzOpen.
func damage(array, how byte, at uint16, v float64) []byte {
	edit := []byte{array, how, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.LittleEndian.PutUint16(edit[2:], at)
	binary.LittleEndian.PutUint64(edit[4:], math.Float64bits(v))
	return edit
}
