// Package server is the gateway of an embedded store: it serves a directory with versitygw. Package embedded starts it
// and is the client's side.
//
// versitygw changes the working directory and keeps state in package variables, so [Serve] is the body of a process
// that does nothing else. While Serve runs, it holds an exclusive lock in the directory. A gateway that embedded.Start
// started also holds a pipe from its parent. After the pipe closes, the gateway runs only while others use it.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/pkg/xattr"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/gateway"
)

// Options of Serve.
type Options struct {
	// Dir is the directory to serve. Its store is in Dir/.vapo.
	Dir string
	// Ready, if not nil, is called once, when the gateway accepts requests.
	Ready func(embedded.Env)
}

// ErrRunning means that the directory already has a gateway.
var ErrRunning = errors.New("a gateway serves this directory already")

// Serve runs the gateway of a directory in this process until the context ends. A gateway that embedded.Start started
// also stops once its parent has ended and nobody else uses it. Serve changes the working directory, so the process
// should do nothing else. It fails with ErrRunning if the directory already has a gateway.
func Serve(ctx context.Context, opt Options) error {
	parent, report := inherited()
	err := serve(ctx, opt, parent, report)
	report.failure(err)
	return err
}

func serve(ctx context.Context, opt Options, parent *os.File, report *reporter) error {
	l, err := embedded.LayoutOf(opt.Dir)
	if err != nil {
		return err
	}
	if err := l.Prepare(); err != nil {
		return err
	}
	lock := flock.New(l.Lock())
	held, err := lock.TryLock()
	if err != nil {
		return l.Fail(err)
	}
	if !held {
		return fmt.Errorf("%w: %s", ErrRunning, l.Base)
	}
	defer lock.Close()
	clean(l)
	keys, err := l.LoadKeys()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var unused chan struct{} // closed when the gateway has no users left
	if parent != nil {
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		unused = make(chan struct{})
		go func() {
			waitForUsers(parent, l)
			close(unused)
		}()
	}
	published := gateway.Lock(l.Base)
	defer published.Close()
	ready := func(a gateway.Address) error {
		env := l.Env(a, keys)
		cfg, err := env.Config()
		if err != nil {
			return err
		}
		cfg.Gateway = "" // connect directly: the address is not published yet
		if err := objectstore.CreateBucket(ctx, cfg); err != nil {
			return err
		}
		if err := gateway.Publish(published, a); err != nil {
			return l.Fail(err)
		}
		report.ready()
		if opt.Ready != nil {
			opt.Ready(env)
		}
		return nil
	}
	for try := 1; ; try++ {
		err := runGateway(ctx, l, keys, ready, unused)
		if try < 5 && errors.Is(err, syscall.EADDRINUSE) {
			continue // another process has taken the port
		}
		return err
	}
}

// runGateway runs the gateway on a free loopback port until ctx ends or unused is closed.
func runGateway(
	ctx context.Context, l embedded.Layout, keys embedded.Keys, ready func(gateway.Address) error, unused <-chan struct{},
) error {
	store, opts, err := metadata(l)
	if err != nil {
		return err
	}
	files, err := posix.New(l.Data(), store, opts)
	if err != nil {
		return l.Fail(err)
	}
	// versitygw takes a port, not a listener, so this code asks the kernel for a free port and releases it. If another
	// process takes the port in between, the gateway fails with EADDRINUSE.
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("find a free port: %w", err)
	}
	addr := probe.Addr().String()
	if err := probe.Close(); err != nil {
		return fmt.Errorf("find a free port: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	listening := func() {
		// versitygw calls this before it accepts the first connection, so it must not block.
		go func() {
			if err := ready(gateway.Address{Endpoint: "http://" + addr, PID: os.Getpid()}); err != nil {
				cancel(err)
			}
		}()
	}
	// Standard output is reserved for the settings of the store, so the gateway's messages go to standard error.
	os.Stdout = os.Stderr
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, classify{files}, &embedgw.Config{
			RootUserAccess: keys.Access, RootUserSecret: keys.Secret, Region: embedded.Region,
			Ports:          []string{addr},
			MaxConnections: 4096, MaxRequests: 2048, MultipartMaxParts: 10000,
			KeepAlive: true, Quiet: true,
			S3Options: []s3api.Option{s3api.WithOnListen(listening)},
		})
	}()
	select {
	case err = <-ended:
	case <-unused:
		// The process can end at once, because every write that was acknowledged is stored and nobody waits for an answer.
		// Shutting down versitygw would take 100 ms, and longer if a client has opened a connection without using it.
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// metadata chooses where the gateway keeps ETags and other metadata: in extended attributes of the files or, if the
// file system does not support them, in sidecar files. A store that began with sidecar files keeps using them.
func metadata(l embedded.Layout) (meta.MetadataStorer, posix.PosixOpts, error) {
	_, err := os.Stat(sidecar(l))
	if errors.Is(err, fs.ErrNotExist) {
		const probe = "user.vapo.probe"
		_, err = xattr.Get(l.Data(), probe)
		if errors.Is(err, xattr.ENOATTR) {
			err = xattr.Set(l.Data(), probe, []byte("1"))
		}
		switch {
		case err == nil:
			return meta.XattrMeta{}, posix.PosixOpts{}, nil
		case !failure.NoSpace(err):
			err = os.Mkdir(sidecar(l), 0o700)
		}
	}
	if err != nil {
		return nil, posix.PosixOpts{}, l.Fail(err)
	}
	store, err := meta.NewSideCar(sidecar(l))
	return store, posix.PosixOpts{SideCarDir: sidecar(l)}, err
}

// waitForUsers returns when the parent has ended and nobody else uses the gateway. It keeps the exclusive lock on the
// users' file, so that the next user waits until this process ends and then starts a new gateway.
func waitForUsers(parent io.Reader, l embedded.Layout) {
	_, _ = io.Copy(io.Discard, parent) // returns when the parent has ended, for whatever reason
	users := flock.New(l.Users())
	for {
		alone, err := users.TryLock()
		if alone || err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// RunChild is Serve for a program that can also act as the gateway, such as a test binary. In a process that
// embedded.Start started, it serves and then returns an exit code and true. In any other process it returns false at
// once.
func RunChild() (code int, ran bool) {
	if os.Getenv(embedded.ReadyFDVar) == "" {
		return 0, false
	}
	if err := Serve(context.Background(), Options{Dir: os.Getenv(embedded.DirVar)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func inherited() (parent *os.File, report *reporter) {
	return inherit(embedded.ParentFDVar), &reporter{w: inherit(embedded.ReadyFDVar)}
}

// reporter sends one line to the parent: whether the gateway has started, or why not.
type reporter struct{ w *os.File }

func (r *reporter) ready() { r.send(embedded.Report{Ready: true}) }

func (r *reporter) failure(err error) {
	if err == nil {
		return
	}
	rep := embedded.Report{Error: err.Error(), Running: errors.Is(err, ErrRunning)}
	rep.Kind = max(0, slices.IndexFunc(embedded.Kinds, func(kind error) bool { return errors.Is(err, kind) }))
	var typed *objectstore.Error
	if errors.As(err, &typed) {
		rep.Hint = typed.Hint
		if typed.Err != nil {
			rep.Error = typed.Err.Error()
		}
	}
	r.send(rep)
}

func (r *reporter) send(rep embedded.Report) {
	if r.w == nil {
		return
	}
	_ = json.NewEncoder(r.w).Encode(rep) // fails only if the parent has ended; then nobody needs the report
	r.w.Close()
	r.w = nil
}

// sidecar is the directory of metadata on file systems without extended attributes.
func sidecar(l embedded.Layout) string { return filepath.Join(l.Base, "sidecar") }
