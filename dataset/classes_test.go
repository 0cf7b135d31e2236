package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// numbered writes files named by their content's seed: "train/good/3" holds "3", so that equal numbers are equal files.
func numbered(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, f := range files {
		path := filepath.Join(dir, filepath.Dir(f), fmt.Sprintf("%03d.png", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(f) == "empty" {
			continue
		}
		if err := os.WriteFile(path, []byte(filepath.Base(f)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func labels(t *testing.T, dir string, seed uint64) (*Splits, error) {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Labelled(d, seed)
}

func TestSplitsThatAreThereAreKept(t *testing.T) {
	c, err := labels(t, numbered(t, "train/clean/1", "train/clean/2", "train/crack/3", "train/crack/4", "valid/clean/5", "valid/crack/6", "test/clean/7", "test/crack/8"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Train) != 4 || len(c.Valid) != 2 || len(c.Test) != 2 || !slices.Equal(c.Names, []string{"good", "crack"}) || len(c.Notes) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestWhatIsMissingIsHeldOutClassByClass(t *testing.T) {
	var files []string
	for i := range 40 {
		files = append(files, fmt.Sprintf("ok/%d", i))
	}
	for i := range 20 {
		files = append(files, fmt.Sprintf("scratch/%d", 100+i/2)) // every file twice
	}
	dir := numbered(t, files...)
	c, err := labels(t, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	count := func(items []Item, kind string) (n int) {
		for _, i := range items {
			if i.Kind == kind {
				n++
			}
		}
		return n
	}
	// 15 % of 40 and of 10 pairs for testing; then 15 % of 34 and of 8 pairs
	for _, want := range []struct {
		name       string
		items      []Item
		good, pair int
	}{{"test", c.Test, 6, 2}, {"valid", c.Valid, 5, 1}, {"train", c.Train, 29, 7}} {
		if g, s := count(want.items, Good), count(want.items, "scratch"); g != want.good || s != 2*want.pair {
			t.Errorf("%s: %d good and %d scratched, want %d and %d", want.name, g, s, want.good, 2*want.pair)
		}
	}
	if err := c.sameClasses(); err != nil || len(c.Notes) != 2 {
		t.Errorf("%v, notes %q", err, c.Notes)
	}
	digests, err := fileDigests(slices.Concat(c.Train, c.Valid, c.Test))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.sameFiles(digests); err != nil {
		t.Errorf("equal files were separated: %v", err)
	}
	again, _ := labels(t, dir, 1)
	other, _ := labels(t, dir, 2)
	if !slices.Equal(again.Test, c.Test) || slices.Equal(other.Test, c.Test) {
		t.Error("the split does not follow the seed")
	}
}

func TestWhatAClassifierRefuses(t *testing.T) {
	for _, c := range []struct {
		want  string
		files []string
	}{
		{`has one picture`, []string{"good/1", "good/2", "crack/3"}},
		{`has no pictures`, []string{"good/1", "good/2", "crack/3", "crack/4", "dent/empty"}},
		{`has no pictures`, []string{"train/good/1", "train/good/2", "train/crack/3", "train/crack/4", "test/good/8", "test/crack/empty"}},
		{`000.png (training) and`, []string{"train/good/1", "train/good/2", "train/crack/3", "train/crack/4", "test/good/1", "test/crack/8"}},
		{`002.png (crack) and`, []string{"good/1", "good/2", "crack/1", "crack/4"}},
		{`"dent" is among the test pictures`, []string{"train/good/1", "train/good/2", "train/crack/3", "train/crack/4", "test/good/5", "test/crack/6", "test/dent/7"}},
		{`"crack" has no validation pictures`, []string{"train/good/1", "train/good/2", "train/crack/3", "train/crack/4", "valid/good/5"}},
		{`training pictures are all good`, []string{"train/good/1", "train/good/2", "test/crack/3"}},
		{`--clean-class`, []string{"a/1", "a/2", "b/1", "b/2"}},
	} {
		if _, err := labels(t, numbered(t, c.files...), 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.files, err, c.want)
		}
	}
}
