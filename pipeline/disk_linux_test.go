package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
)

// TestFullDisk: when the disk is full, commands that only read still work, and a run fails with a hint.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	if err := syscall.Mount("tmpfs", w.dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("mounting a file system needs privileges: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(w.dir, syscall.MNT_DETACH) })
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	objectstoretest.FillDisk(t, w.dir)
	w.must("plan", "one.yaml")
	w.must("ls")
	w.must("status")
	w.must("lineage", "s.out")
	w.must("get", "s.out", filepath.Join(t.TempDir(), "copy"))
	w.fails(failure.Resources, []string{"no space left", "hint: "}, "get", "s.out", "copy")
	w.fails(failure.Resources, []string{"no space left", "hint: "}, "run", "one.yaml", "--set", "s.salt=4")
}
