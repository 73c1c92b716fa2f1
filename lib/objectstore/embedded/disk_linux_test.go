package embedded_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// mount mounts a small tmpfs on a new directory. remount changes its mount flags.
func mount(t *testing.T, size string) (dir string, remount func(flags uintptr)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a file system needs privileges: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, func(flags uintptr) {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	dir, _ := mount(t, "8m")
	_, s, _ := start(t, dir)
	write(t, s, "before", "fits")
	for _, n := range []int{12 << 20, 20 << 20} { // sent in one request; sent in parts
		_, err := s.Put(t.Context(), "big", bytes.NewReader(make([]byte, n)), int64(n), objectstore.PutOptions{})
		if !errors.Is(err, objectstore.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("put of %d bytes: error %v, want ErrNoSpace and ENOSPC", n, err)
		}
	}
	if _, err := s.Head(t.Context(), "big"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("head after failed writes: error %v, want ErrNotFound", err)
	}
	if got := read(t, s, "before"); got != "fits" {
		t.Errorf("read %q, want %q", got, "fits")
	}
	write(t, s, "after", "fits again")
}

func TestReadOnly(t *testing.T) {
	dir, _ := mount(t, "8m")
	child, s, _ := start(t, dir)
	write(t, s, "k", "v")
	// The directory itself cannot be remounted read-only, because the locks and the log in it are open for writing. Only
	// the objects are made read-only.
	objects := filepath.Join(dir, ".vapo", "store")
	if err := syscall.Mount(objects, objects, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(objects, syscall.MNT_DETACH) })
	child.Close()
	_, s, _ = start(t, dir)
	if err := syscall.Mount("", objects, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), "k2", strings.NewReader("v"), 1, objectstore.PutOptions{})
	if !errors.Is(err, objectstore.ErrReadOnly) {
		t.Errorf("put: error %v, want ErrReadOnly", err)
	}
	if err := objectstore.Probe(t.Context(), s); !errors.Is(err, objectstore.ErrReadOnly) {
		t.Errorf("probe: error %v, want ErrReadOnly", err)
	}
	if got := read(t, s, "k"); got != "v" {
		t.Errorf("read %q, want %q", got, "v")
	}
}

// TestReadOnlyDirectory: a gateway cannot start in a read-only directory.
func TestReadOnlyDirectory(t *testing.T) {
	dir, remount := mount(t, "8m")
	remount(syscall.MS_RDONLY)
	_, _, err := embedded.Start(t.Context(), dir, os.Args[0])
	if !errors.Is(err, objectstore.ErrReadOnly) || failure.HintOf(err) == "" || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, hint %q, want ErrReadOnly, the directory and a hint", err, failure.HintOf(err))
	}
}

// TestNoPermission: a gateway cannot start in a directory that it may not write to. Root may write everywhere, so if
// root runs the test, the test runs itself again as the user nobody.
func TestNoPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		open := t.TempDir()
		if err := os.Chmod(filepath.Dir(open), 0o755); err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(open, "again")
		binary, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(again, binary, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(again, "-test.run=^TestNoPermission$", "-test.v")
		cmd.Dir, cmd.Env = os.TempDir(), append(os.Environ(), "HOME="+os.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestNoPermission") {
			t.Fatalf("the test as user nobody: error %v, want none and a pass\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, _, err := embedded.Start(t.Context(), dir, os.Args[0]); !errors.Is(err, objectstore.ErrReadOnly) {
		t.Errorf("error %v, want ErrReadOnly", err)
	}
}

// TestNoByteFree: a store on a full disk can be read. Writing to it and starting a new store there fail clearly.
func TestNoByteFree(t *testing.T) {
	dir, _ := mount(t, "8m")
	child, s, _ := start(t, dir)
	write(t, s, "k", "kept")
	child.Close()
	objectstoretest.FillDisk(t, dir)
	_, s, _ = start(t, dir)
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q, want %q", got, "kept")
	}
	if _, err := s.Put(t.Context(), "k2", strings.NewReader("v"), 1, objectstore.PutOptions{}); failure.ClassOf(err) !=
		failure.Resources {
		t.Errorf("put: error %v, want class resources", err)
	}
	fresh := filepath.Join(dir, "fresh")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := embedded.Start(t.Context(), fresh, os.Args[0]); failure.ClassOf(err) != failure.Resources {
		t.Errorf("start of a new store: error %v, want class resources", err)
	}
}
