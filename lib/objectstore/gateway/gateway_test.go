//go:build unix

package gateway_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vapo/lib/objectstore/gateway"
)

func listen(t *testing.T) gateway.Address {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return gateway.Address{Endpoint: "http://" + l.Addr().String(), PID: os.Getpid()}
}

// TestAddressCountsWhileLocked: an address counts from Publish until its lock is released, although the file remains.
func TestAddressCountsWhileLocked(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second iteration finds the address file that the first has left
		refused(t, dir, syscall.ECONNREFUSED)
		lock, a := gateway.Lock(dir), listen(t)
		if err := gateway.Publish(lock, a); err != nil {
			t.Fatal(err)
		}
		if got, err := gateway.Find(dir); err != nil || got != a {
			t.Errorf("Find returns %v, %v, want %v", got, err, a)
		}
		conn, err := gateway.Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if conn.RemoteAddr().String() != a.Host() {
			t.Errorf("connected to %v, want %s", conn.RemoteAddr(), a.Host())
		}
		conn.Close()
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, dir, syscall.ECONNREFUSED)
}

func TestDamagedAddress(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gateway.json")
	for name, damage := range map[string]func() error{
		"empty":     func() error { return os.WriteFile(path, nil, 0o600) },
		"text":      func() error { return os.WriteFile(path, []byte(strings.Repeat("x", 500)), 0o600) },
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"FIFO":      func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := errors.Join(os.RemoveAll(path), damage()); err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		refused(t, dir, gateway.ErrNotRunning)
	}
}

// refused checks that Find finds no gateway and that Dial fails with the error want.
func refused(t *testing.T, dir string, want error) {
	t.Helper()
	if a, err := gateway.Find(dir); !errors.Is(err, gateway.ErrNotRunning) {
		t.Errorf("Find returns %v, %v, want ErrNotRunning", a, err)
	}
	if _, err := gateway.Dial(t.Context(), dir); !errors.Is(err, want) {
		t.Errorf("Dial: error %v, want %v", err, want)
	}
}
