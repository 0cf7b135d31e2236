package outlier

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// subject is a detector on a data set of testdata/gen: what is compared with a peer.
type subject struct{ detector, set string }

// agreement holds the largest difference of each subject, for the tables that
//
//	OUTLIER_AGREEMENT=1 go test -run Peer ./outlier
//
// prints.
var agreement = struct {
	sync.Mutex
	most  map[subject]float64
	notes map[subject]string // instead of a difference
}{most: map[subject]float64{}, notes: map[subject]string{}}

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("OUTLIER_AGREEMENT") != "" {
		for _, family := range []string{"density", "neighbours"} {
			printAgreement(family)
		}
	}
	os.Exit(code)
}

// printAgreement prints a line for each detector and a column for each data set of a family.
func printAgreement(family string) {
	var detectors, sets []string
	entry := map[subject]string{}
	for s, d := range agreement.most {
		entry[s] = fmt.Sprintf("%.0e", d)
		if d == 0 {
			entry[s] = "0"
		}
	}
	for s, note := range agreement.notes {
		entry[s] = note
	}
	for s := range entry {
		detectors = append(detectors, s.detector)
		if strings.HasPrefix(s.set, family+"/") {
			sets = append(sets, s.set)
		}
	}
	slices.Sort(detectors)
	slices.Sort(sets)
	sets = slices.Compact(sets)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| detector\t")
	for _, s := range sets {
		fmt.Fprint(w, "| ", strings.TrimPrefix(s, family+"/"), "\t")
	}
	fmt.Fprint(w, "|\n|---\t", strings.Repeat("|---\t", len(sets)), "|\n")
	for _, d := range slices.Compact(detectors) {
		fmt.Fprint(w, "| ", d, "\t")
		for _, s := range sets {
			e := entry[subject{d, s}]
			if e == "" {
				e = "–"
			}
			fmt.Fprint(w, "| ", e, "\t")
		}
		fmt.Fprintln(w, "|")
	}
	w.Flush()
}

// farthest is the largest difference of got from want, relative to want where that is more than unit.
func farthest(got, want []float64, unit float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	worst := 0.0
	for i, w := range want {
		if d := math.Abs(got[i]-w) / max(math.Abs(w), unit); !(d <= worst) {
			worst = d
		}
	}
	return worst
}

func TestTheComparisonCanFail(t *testing.T) {
	for _, c := range []struct {
		got, want []float64
		most      float64
	}{{[]float64{1}, []float64{1, 2}, math.Inf(1)}, {[]float64{2, 3}, []float64{2, 2}, 0.5}, {[]float64{0.5}, []float64{0}, 0.5}} {
		if d := farthest(c.got, c.want, 1); d != c.most {
			t.Errorf("%v from %v: %v, want %v", c.got, c.want, d, c.most)
		}
	}
	if d := farthest([]float64{math.NaN()}, []float64{1}, 1); d <= 1e300 {
		t.Errorf("NaN is %v away", d)
	}
}

// closeTo reports the largest difference where it is above tolerance.
func (s subject) closeTo(t *testing.T, what string, got, want []float64, unit, tolerance float64) {
	t.Helper()
	d := farthest(got, want, unit)
	if !(d <= tolerance) {
		t.Errorf("%s: off by %.3g, want at most %g", what, d, tolerance)
	}
	agreement.Lock()
	defer agreement.Unlock()
	if most, seen := agreement.most[s]; !seen || !(d <= most) {
		agreement.most[s] = d
	}
}

// note says in the table why there is no difference to give.
func (s subject) note(text string) {
	agreement.Lock()
	defer agreement.Unlock()
	agreement.notes[s] = text
}

// goldenSet is a data set of testdata/gen/density.py or neighbours.py.
type goldenSet struct{ x, queries Matrix }

// readGolden decodes testdata/name.json.
func readGolden(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// goldenSets are the data sets of both families, the family before the name.
func goldenSets(t testing.TB) map[string]goldenSet {
	t.Helper()
	sets := map[string]goldenSet{}
	for _, family := range []string{"density", "neighbours"} {
		var all []struct {
			Name          string
			Cols          int
			Rows, Queries []float64
		}
		readGolden(t, family+"/sets", &all)
		for _, s := range all {
			sets[family+"/"+s.Name] = goldenSet{Matrix{len(s.Rows) / s.Cols, s.Cols, s.Rows}, Matrix{len(s.Queries) / s.Cols, s.Cols, s.Queries}}
		}
	}
	return sets
}

// within is a set's name with its family: a family's goldens name their own sets without.
func within(family, set string) string {
	if strings.Contains(set, "/") {
		return set
	}
	return family + "/" + set
}
