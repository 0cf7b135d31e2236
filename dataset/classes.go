package dataset

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Splits are labelled pictures in three parts that a classifier learns from, is tuned on and is measured on.
type Splits struct {
	Names              []string // Good first, then the kinds of defect in order: the labels
	Train, Valid, Test []Item
	Notes              []string // what was decided that nobody said
}

// Shares of pictures that Labelled holds out where a folder has no such split.
const (
	ValidShare = 0.15
	TestShare  = 0.15
)

// Labelled arranges a data set for a classifier. Splits that are there are kept; what is missing is held out of the training pictures class by
// class, at random by seed, equal files together. It refuses what would make the figures wrong or the training useless: a class that is empty,
// has one picture, or is missing from a split; and one file in two splits or in two classes.
func Labelled(d *Dataset, seed uint64) (*Splits, error) {
	c, err := labelled(d, seed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Dir, err)
	}
	return c, nil
}

func labelled(d *Dataset, seed uint64) (*Splits, error) {
	switch d.Layout {
	case Plain:
		return nil, errors.New("no class folders: a classifier needs good pictures and defective ones, in folders such as good and crack; " +
			"where the good ones are in a folder of another name, give it with --clean-class")
	case MVTec:
		return nil, errors.New("its training pictures are all good: a classifier needs defective ones in train, too; methods such as patchcore do not")
	}
	if err := emptyClasses(d); err != nil {
		return nil, err
	}
	c := &Splits{Train: d.Train, Valid: d.Valid, Test: d.Test}
	kinds := map[string]int{}
	for _, item := range d.Train {
		kinds[item.Kind]++
	}
	for kind, n := range kinds {
		if kind != Good {
			c.Names = append(c.Names, kind)
		}
		if n < 2 {
			return nil, fmt.Errorf("class %q has one picture to learn from: give at least two, better 20 or more", kind)
		}
	}
	slices.Sort(c.Names)
	if kinds[Good] == 0 {
		return nil, errors.New("no class of good pictures: name it with --clean-class")
	}
	c.Names = append([]string{Good}, c.Names...)
	if len(c.Names) < 2 {
		return nil, errors.New("all training pictures are good: a classifier needs a second class")
	}
	digests, err := fileDigests(slices.Concat(c.Train, c.Valid, c.Test))
	if err != nil {
		return nil, err
	}
	if err := c.sameFiles(digests); err != nil {
		return nil, err
	}
	if d.Layout == Classes {
		c.Train, c.Test = holdOut(c.Train, TestShare, seed, digests)
		c.note("of %d pictures, %d were held out for testing", len(d.Train), len(c.Test))
	}
	if len(c.Valid) == 0 {
		c.Train, c.Valid = holdOut(c.Train, ValidShare, seed+1, digests)
		c.note("no validation pictures: %d of the training pictures were held out for it", len(c.Valid))
	}
	return c, c.sameClasses()
}

func (c *Splits) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// emptyClasses finds class folders without pictures, which leave no trace among the items.
func emptyClasses(d *Dataset) error {
	parents := []string{d.Dir}
	if d.Layout == SplitClasses {
		parents = nil
		for _, split := range []string{"train", "valid", "validation", "val", "test"} {
			if info, err := os.Stat(filepath.Join(d.Dir, split)); err == nil && info.IsDir() {
				parents = append(parents, filepath.Join(d.Dir, split))
			}
		}
	}
	for _, parent := range parents {
		folders, err := subfolders(parent)
		if err != nil {
			return err
		}
		for _, name := range folders {
			folder := filepath.Join(parent, name) + string(filepath.Separator)
			has := func(item Item) bool { return strings.HasPrefix(item.Path, folder) }
			if !slices.ContainsFunc(d.Train, has) && !slices.ContainsFunc(d.Valid, has) && !slices.ContainsFunc(d.Test, has) {
				return fmt.Errorf("class folder %s has no pictures: fill it or remove it", folder)
			}
		}
	}
	return nil
}

// fileDigests are the SHA-256 of the items' files, by path.
func fileDigests(items []Item) (map[string][sha256.Size]byte, error) {
	out := map[string][sha256.Size]byte{}
	for _, item := range items {
		f, err := os.Open(item.Path)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		_, err = io.Copy(h, bufio.NewReaderSize(f, 1<<16))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item.Path, err)
		}
		out[item.Path] = [sha256.Size]byte(h.Sum(nil))
	}
	return out, nil
}

// sameFiles finds one picture under two names that must not both be there.
func (c *Splits) sameFiles(digests map[string][sha256.Size]byte) error {
	type place struct {
		item  Item
		split string
	}
	first := map[[sha256.Size]byte]place{}
	var found []string
	for _, s := range []struct {
		name  string
		items []Item
	}{{"training", c.Train}, {"validation", c.Valid}, {"test", c.Test}} {
		for _, item := range s.items {
			old, ok := first[digests[item.Path]]
			switch {
			case !ok:
				first[digests[item.Path]] = place{item, s.name}
			case old.split != s.name:
				found = append(found, fmt.Sprintf("%s (%s) and %s (%s)", old.item.Path, old.split, item.Path, s.name))
			case old.item.Kind != item.Kind:
				found = append(found, fmt.Sprintf("%s (%s) and %s (%s)", old.item.Path, old.item.Kind, item.Path, item.Kind))
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	n := len(found)
	if n > 10 {
		found = append(found[:10], "…")
	}
	return fmt.Errorf("the same picture is in two splits or classes, %d times: figures would not mean anything. Remove one of\n  %s", n, strings.Join(found, "\n  "))
}

// sameClasses refuses splits whose classes differ from the training's.
func (c *Splits) sameClasses() error {
	for _, s := range []struct {
		name  string
		items []Item
	}{{"training", c.Train}, {"validation", c.Valid}, {"test", c.Test}} {
		if len(s.items) == 0 {
			continue // there is no test split
		}
		has := map[string]bool{}
		for _, item := range s.items {
			if !slices.Contains(c.Names, item.Kind) {
				return fmt.Errorf("class %q is among the %s pictures (%s), but not among the training pictures", item.Kind, s.name, item.Path)
			}
			has[item.Kind] = true
		}
		for _, name := range c.Names {
			if !has[name] {
				return fmt.Errorf("class %q has no %s pictures: give every split every class, with the same folder names", name, s.name)
			}
		}
	}
	return nil
}

// holdOut takes a share of each class out, at least one and never all, files that are equal together. Both lists keep the items' order.
func holdOut(items []Item, share float64, seed uint64, digests map[string][sha256.Size]byte) (rest, held []Item) {
	groups := map[string][][sha256.Size]byte{} // each class's different files
	size := map[[sha256.Size]byte]int{}
	for _, item := range items {
		d := digests[item.Path]
		if size[d] == 0 {
			groups[item.Kind] = append(groups[item.Kind], d)
		}
		size[d]++
	}
	out := map[[sha256.Size]byte]bool{}
	var kinds []string
	for kind := range groups {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for i, kind := range kinds {
		files := groups[kind]
		rng := rand.New(rand.NewPCG(seed, uint64(3+i)))
		rng.Shuffle(len(files), func(a, b int) { files[a], files[b] = files[b], files[a] })
		for _, d := range files[:min(len(files)-1, max(1, int(share*float64(len(files))+0.5)))] {
			out[d] = true
		}
	}
	for _, item := range items {
		if out[digests[item.Path]] {
			held = append(held, item)
		} else {
			rest = append(rest, item)
		}
	}
	return rest, held
}
