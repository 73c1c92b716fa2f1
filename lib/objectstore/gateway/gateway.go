// Package gateway finds the running gateway of an embedded store and connects to it.
//
// The gateway writes its address to a file and locks that file for as long as it runs. An address counts only while its
// writer holds the lock: after kill -9 the file is still there, but the port in it may belong to any other program. The
// lock is on the file itself. If a separate file were locked instead, a new gateway that holds the lock could make the
// address of an old gateway look valid.
//
// This package is separate from package embedded because clients need it and must not link a server.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// ErrNotRunning means that the directory has no running gateway.
var ErrNotRunning = errors.New("no gateway serves this directory")

// Address is the content of the address file.
type Address struct {
	Endpoint string `json:"endpoint"` // http://127.0.0.1:port
	PID      int    `json:"pid"`
}

// Host returns the endpoint's host and port.
func (a Address) Host() string { return strings.TrimPrefix(a.Endpoint, "http://") }

func file(dir string) string { return filepath.Join(dir, "gateway.json") }

// Lock returns the lock of a directory's address, for Publish. The address counts until the lock is closed or the
// process ends.
func Lock(dir string) *flock.Flock {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	return flock.New(file(dir), flock.SetFlag(os.O_RDONLY|syscall.O_NONBLOCK))
}

// Publish writes the address of a gateway and takes the lock. Only the process that has the right to serve the
// directory may call it.
func Publish(lock *flock.Flock, a Address) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	// The file of an earlier gateway is overwritten in place, with the same length, which works even if the disk is full.
	// Nobody reads the file until it is locked.
	f, err := os.OpenFile(lock.Path(), os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%-127s\n", data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return lock.Lock()
}

// Find returns the address of the running gateway of a directory. It fails with ErrNotRunning if no gateway is
// running.
func Find(dir string) (a Address, err error) {
	lock := Lock(dir)
	defer lock.Close()
	free, err := lock.TryRLock()
	if err == nil && free {
		err = errors.New("the last gateway has ended")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(file(dir))
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		return Address{}, fmt.Errorf("%w: %s: %w", ErrNotRunning, dir, err)
	}
	return a, nil
}

// Dial connects to the running gateway of a directory. A gateway that is started again has another port, so every
// connection looks the address up. If there is no gateway, Dial fails as if the connection had been refused, because a
// new gateway may be about to start.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	refused := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%w: %w", syscall.ECONNREFUSED, err)}
	}
	a, err := Find(dir)
	if err != nil {
		return nil, refused(err)
	}
	dialer := net.Dialer{Timeout: 4 * time.Second, KeepAlive: 15 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", a.Host())
	if err != nil {
		return nil, err
	}
	// The gateway may have ended before the connection was made. Then another program may have answered.
	if now, err := Find(dir); err != nil || now != a {
		conn.Close()
		return nil, refused(errors.Join(ErrNotRunning, err))
	}
	return conn, nil
}
