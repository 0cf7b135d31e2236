package train

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A disk that is full in the middle of a checkpoint leaves the one before it, whole, and no other file. The system's limit on the size of
// files stands in for the disk.
func TestFailingWritesLeaveTheLastCheckpointWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	y := newToy(t, path)
	y.Epochs = 1
	if err := y.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := fileOf(t, path)

	signal.Ignore(syscall.SIGXFSZ) // then writing fails with an error
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(l syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
	}
	y = newToy(t, path)
	y.Progress = func(p Progress) {
		if p.Epoch == 1 {
			limit(syscall.Rlimit{Cur: uint64(len(whole) / 2), Max: old.Max})
		}
	}
	err := y.run(t.Context())
	limit(old)
	if err == nil || !strings.Contains(err.Error(), "checkpoint of epoch 2: ") || !strings.Contains(err.Error(), "holds the state after epoch 1, resume from it") {
		t.Errorf("%v does not say what happened and what is left", err)
	}
	if fileOf(t, path) != whole {
		t.Error("the last checkpoint is another file")
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files are left: %v", len(files), files)
	}

	y = newToy(t, path) // and it is good for going on
	if err := y.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	straight := newToy(t, filepath.Join(t.TempDir(), "straight"))
	if err := straight.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if y.values() != straight.values() {
		t.Error("training that went on from it ends with other values")
	}
}
