// Package dataset turns folders into lists of pictures.
package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blemish/blemish/imageio"
)

// Item is one picture file and what its place in a data set says of it.
type Item struct {
	Path      string
	Kind      string // Good or the defect's name
	Defective bool
	MaskPath  string // "" where there is none
}

// Good is the kind of pictures without defect.
const Good = "good"

// cleanNames are folder names that mean good pictures.
var cleanNames = []string{"good", "clean", "normal", "ok"}

// Layout is a way to arrange pictures in folders.
type Layout string

const (
	MVTec        Layout = "MVTec AD category" // train/good, test/<kind>, ground_truth/<kind>/<stem>_mask.png
	SplitClasses Layout = "class folders in splits"
	Classes      Layout = "class folders"
	Plain        Layout = "plain folder of good pictures"
)

// Dataset is what was found in a folder. Items are in the order of their paths.
type Dataset struct {
	Dir     string
	Layout  Layout
	Train   []Item
	Valid   []Item
	Test    []Item
	Skipped []Problem // files that are no pictures: for the caller to refuse, or to say
}

// Problem is a file that cannot be used, and why.
type Problem struct {
	Path   string
	Reason string
}

// Options say how to read a folder.
type Options struct {
	CleanClass string // name of the class folder of good pictures; "" means one of good, clean, normal, ok
}

// Open recognises a folder's layout and lists its pictures. Files and folders whose names begin with a dot are ignored.
func Open(dir string, opts Options) (*Dataset, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	d := &Dataset{Dir: dir}
	if err := d.read(opts); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if len(d.Train)+len(d.Valid)+len(d.Test) == 0 {
		return nil, fmt.Errorf("%s: no pictures found, looking at it as a %s; understood are an MVTec AD category (train/good, test/<kind>), "+
			"class folders (good beside folders of defects) and a plain folder of good pictures (PNG, JPEG, BMP, TIFF, WebP)", dir, d.Layout)
	}
	return d, nil
}

func (d *Dataset) read(opts Options) error {
	folders, err := subfolders(d.Dir)
	if err != nil {
		return err
	}
	if slices.Contains(folders, "train") {
		classes, err := subfolders(filepath.Join(d.Dir, "train"))
		if err != nil {
			return err
		}
		if len(classes) == 1 && classes[0] == Good && opts.CleanClass == "" {
			d.Layout = MVTec
		} else {
			d.Layout = SplitClasses
		}
		for split, to := range map[string]*[]Item{"train": &d.Train, "valid": &d.Valid, "validation": &d.Valid, "val": &d.Valid, "test": &d.Test} {
			if !slices.Contains(folders, split) {
				continue
			}
			items, err := d.classes(filepath.Join(d.Dir, split), opts)
			if err != nil {
				return err
			}
			*to = append(*to, items...)
		}
		return nil
	}
	if clean, err := cleanClass(folders, opts); err == nil && clean != "" {
		d.Layout = Classes
		d.Train, err = d.classes(d.Dir, opts)
		return err
	} else if opts.CleanClass != "" {
		return err
	}
	d.Layout = Plain
	d.Train, err = d.pictures(d.Dir, Item{Kind: Good})
	return err
}

// classes lists the pictures of class folders.
func (d *Dataset) classes(dir string, opts Options) ([]Item, error) {
	folders, err := subfolders(dir)
	if err != nil {
		return nil, err
	}
	clean, err := cleanClass(folders, opts)
	if err != nil {
		return nil, err
	}
	if clean == "" && d.Layout == SplitClasses && filepath.Base(dir) == "train" {
		return nil, fmt.Errorf("none of the classes %s is good: name one with --clean-class", strings.Join(folders, ", "))
	}
	var items []Item
	for _, name := range folders {
		like := Item{Kind: name, Defective: name != clean}
		if !like.Defective {
			like.Kind = Good
		}
		found, err := d.pictures(filepath.Join(dir, name), like)
		if err != nil {
			return nil, err
		}
		items = append(items, found...)
	}
	return items, nil
}

// cleanClass finds the class folder of good pictures; "" where there is none.
func cleanClass(folders []string, opts Options) (string, error) {
	if opts.CleanClass != "" {
		if !slices.Contains(folders, opts.CleanClass) {
			return "", fmt.Errorf("there is no class %q among %s", opts.CleanClass, strings.Join(folders, ", "))
		}
		return opts.CleanClass, nil
	}
	for _, name := range cleanNames {
		for _, folder := range folders {
			if strings.EqualFold(folder, name) {
				return folder, nil
			}
		}
	}
	return "", nil
}

// pictures lists the picture files below a folder, at any depth.
func (d *Dataset) pictures(dir string, like Item) ([]Item, error) {
	var items []Item
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && path != dir {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // follows links
			d.Skipped = append(d.Skipped, Problem{path, "not a regular file"})
			return nil
		}
		if !imageio.IsPicture(path) {
			d.Skipped = append(d.Skipped, Problem{path, "its name has no ending of a picture format"})
			return nil
		}
		item := like
		item.Path = path
		if item.Defective {
			item.MaskPath, err = d.mask(path, item.Kind)
		}
		items = append(items, item)
		return err
	})
	return items, err
}

// mask finds a defective picture's mask: ground_truth/<kind>/<stem>_mask.png or <stem>.png.
func (d *Dataset) mask(path, kind string) (string, error) {
	stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	for _, name := range []string{stem + "_mask.png", stem + ".png"} {
		candidate := filepath.Join(d.Dir, "ground_truth", kind, name)
		_, err := os.Stat(candidate)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

func subfolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Split holds a share of n items out, at random by seed. Both lists are in order.
func Split(n int, share float64, seed uint64) (rest, held []int) {
	order := rand.New(rand.NewPCG(seed, 1)).Perm(n)
	k := int(share * float64(n))
	held, rest = slices.Clone(order[:k]), slices.Clone(order[k:])
	slices.Sort(held)
	slices.Sort(rest)
	return rest, held
}

// Folds deals n items into k lists of nearly equal length, at random by seed. Each list is in order.
func Folds(n, k int, seed uint64) [][]int {
	folds := make([][]int, k)
	for i, item := range rand.New(rand.NewPCG(seed, 2)).Perm(n) {
		folds[i%k] = append(folds[i%k], item)
	}
	for _, f := range folds {
		slices.Sort(f)
	}
	return folds
}
