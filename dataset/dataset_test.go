package dataset

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared is the folder of real data; without it a test is skipped, in CI it fails.
func shared(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BLEMISH_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no data at %s: set BLEMISH_SHARED", dir)
		}
		t.Skipf("no data at %s: set BLEMISH_SHARED", dir)
	}
	return filepath.Join(dir, "data")
}

func counts(items []Item) map[string]int {
	n := map[string]int{}
	for _, i := range items {
		n[i.Kind]++
	}
	return n
}

func TestRealDataSets(t *testing.T) {
	data := shared(t)
	tiles, err := Open(filepath.Join(data, "magnetic_tile"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"good": 210, "blowhole": 115, "break": 85, "crack": 57, "fray": 32, "uneven": 103}
	if tiles.Layout != MVTec || len(tiles.Train) != 742 || !maps.Equal(counts(tiles.Test), want) {
		t.Errorf("tiles: %s, %d, %v", tiles.Layout, len(tiles.Train), counts(tiles.Test))
	}
	masks := 0
	for _, i := range tiles.Test {
		if i.MaskPath != "" {
			masks++
		}
	}
	if masks != 115+85+57+32+103 {
		t.Errorf("%d masks", masks)
	}
	bricks, err := Open(filepath.Join(data, "brick_cracks"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if bricks.Layout != SplitClasses || !maps.Equal(counts(bricks.Train), map[string]int{"good": 103, "anomaly": 103}) ||
		!maps.Equal(counts(bricks.Valid), map[string]int{"good": 31, "anomaly": 32}) || !maps.Equal(counts(bricks.Test), map[string]int{"good": 206, "anomaly": 214}) {
		t.Errorf("bricks: %s %v %v %v", bricks.Layout, counts(bricks.Train), counts(bricks.Valid), counts(bricks.Test))
	}
}

// tree makes empty files; only names matter here.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		path := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		name               string
		files              []string
		opts               Options
		layout             Layout
		train, valid, test map[string]int
	}{
		{"MVTec", []string{"train/good/a.png", "test/good/b.png", "test/hole/c.PNG", "validation/good/v.png"}, Options{}, MVTec,
			map[string]int{"good": 1}, map[string]int{"good": 1}, map[string]int{"good": 1, "hole": 1}},
		{"classes", []string{"Normal/a.jpg", "Normal/b.jpg", "torn/c.bmp"}, Options{}, Classes, map[string]int{"good": 2, "torn": 1}, nil, nil},
		{"named clean class", []string{"fine/a.jpg", "torn/c.bmp"}, Options{CleanClass: "fine"}, Classes, map[string]int{"good": 1, "torn": 1}, nil, nil},
		{"plain", []string{"a.png", "deeper/b.tif", ".hidden.png", ".git/c.png"}, Options{}, Plain, map[string]int{"good": 2}, nil, nil},
	} {
		d, err := Open(tree(t, c.files...), c.opts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d.Layout != c.layout || !maps.Equal(counts(d.Train), c.train) || !maps.Equal(counts(d.Valid), c.valid) || !maps.Equal(counts(d.Test), c.test) {
			t.Errorf("%s: %s %v %v %v", c.name, d.Layout, counts(d.Train), counts(d.Valid), counts(d.Test))
		}
	}
}

func TestOddThingsAreSaid(t *testing.T) {
	d, err := Open(tree(t, "a.png", "notes.txt"), Options{})
	if err != nil || len(d.Skipped) != 1 || !strings.HasSuffix(d.Skipped[0].Path, "notes.txt") {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := Open(tree(t, "notes.txt"), Options{}); err == nil || !strings.Contains(err.Error(), "train/good") {
		t.Errorf("an empty set: %v", err)
	}
	if _, err := Open(tree(t, "train/x/a.png", "train/y/b.png"), Options{}); err == nil || !strings.Contains(err.Error(), "--clean-class") {
		t.Errorf("no clean class: %v", err)
	}
	if _, err := Open(tree(t, "x/a.png"), Options{CleanClass: "z"}); err == nil || !strings.Contains(err.Error(), `"z"`) {
		t.Errorf("a clean class that is not there: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{}); err == nil {
		t.Error("a folder that is not there is accepted")
	}
}

func TestSplitAndFoldsDealEveryItemOnce(t *testing.T) {
	rest, held := Split(101, 0.2, 7)
	if len(held) != 20 || len(rest) != 81 || !slices.IsSorted(rest) || !slices.IsSorted(held) {
		t.Errorf("%d held, %d left", len(held), len(rest))
	}
	other, _ := Split(101, 0.2, 8)
	if slices.Equal(rest, other) {
		t.Error("another seed splits alike")
	}
	seen := map[int]int{}
	for _, f := range append(Folds(101, 5, 7), rest, held) {
		for _, i := range f {
			seen[i]++
		}
	}
	for i := range 101 {
		if seen[i] != 2 {
			t.Errorf("item %d is dealt %d times", i, seen[i])
		}
	}
}
