// Package embedded starts an S3 gateway over a directory, so that a laptop without services can run everything that a
// team runs on its own storage.
//
// The gateway is a process of its own, whose body is in package server. [Start] starts it or attaches to a running one.
// This package is separate, so that a program can use the store without linking a server.
//
// A directory has at most one gateway. The gateway holds an exclusive lock in the directory while it runs, and each of
// its users holds a shared lock on another file. The kernel releases the locks no matter how a process ends, so nothing
// needs to be cleaned up after kill -9. Clients find the gateway, and make sure that it is the right one, through
// package gateway.
//
// If the gateway ends while it has users, one of them starts it again. Clients retry in the meantime.
//
// The runner that started a gateway holds a pipe to it. When the pipe closes, the gateway keeps running only while
// others use it. Terminal signals do not reach the gateway, because a stage must still be able to save its state after
// Ctrl-C.
//
// Note: Pdeathsig was rejected for two reasons. Linux sends the signal when the *thread* that forked ends, which can
// happen at any time in a Go program. The signal would also end a gateway that a second runner has attached to.
package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/gateway"
)

const (
	// startTimeout bounds how long Start waits for an old gateway to end and a new one to start.
	startTimeout = 20 * time.Second
	// watchInterval is how often a user checks that the gateway runs.
	watchInterval = time.Second
	// restartInterval is the shortest time between two starts, so that a gateway that ends at once does not keep the
	// machine busy.
	restartInterval = 5 * time.Second
)

// Child is a user's handle on a directory's gateway.
type Child struct {
	Layout
	dir, exe string
	users    *flock.Flock
	pipe     *os.File      // nil if another process started the gateway
	exited   chan struct{} // nil if another process started the gateway
	unwatch  func()        // stops watch and waits until it has returned
	once     sync.Once
}

// Close releases the gateway. If this process started the gateway and nobody else uses it, the gateway ends, and Close
// waits up to two seconds for its end.
func (c *Child) Close() error {
	c.once.Do(func() {
		if c.unwatch != nil {
			c.unwatch()
		}
		c.users.Close() // before the pipe, so that the gateway finds no user when the pipe closes
		if c.pipe != nil {
			c.pipe.Close()
		}
		if c.exited == nil {
			return
		}
		select {
		case <-c.exited:
		case <-time.After(2 * time.Second):
		}
	})
	return nil
}

// Start attaches to the gateway of a directory. If no gateway runs, Start starts one with `exe store serve --dir DIR`.
// The new gateway ends with this process unless other processes have attached to it. It logs to .vapo/gateway.log. exe
// is usually the result of os.Executable.
//
// If several processes call Start at once, one gateway is started and all of them attach to it. If the gateway ends
// before Close, a user starts it again.
func Start(ctx context.Context, dir, exe string) (*Child, Env, error) {
	l, err := LayoutOf(dir)
	if err != nil {
		return nil, Env{}, err
	}
	if err := l.Prepare(); err != nil {
		return nil, Env{}, err
	}
	if _, err := l.LoadKeys(); err != nil {
		return nil, Env{}, err
	}
	late := fmt.Errorf("no gateway came up within %v; see %s", startTimeout, l.Log())
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, late)
	defer cancel()
	c := &Child{Layout: l, dir: dir, exe: exe, users: flock.New(l.Users())}
	// A gateway that is about to end holds this lock exclusively until its process has ended.
	if _, err := c.users.TryRLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, Env{}, l.unstarted(ctx, err)
	}
	env, err := c.use(ctx)
	if err != nil {
		c.Close()
		return nil, Env{}, l.unstarted(ctx, err)
	}
	watching, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { c.watch(watching) })
	c.unwatch = func() {
		stop()
		done.Wait()
	}
	return c, env, nil
}

// errKilled means that a gateway ended without a report.
var errKilled = errors.New("the gateway ended before it was ready")

// maxKilled is the number of gateways that may end without a report before Start fails.
const maxKilled = 3

// use attaches to the gateway, and starts it if necessary.
func (c *Child) use(ctx context.Context) (Env, error) {
	for killed := 0; ; {
		if env, err := c.attach(ctx); err == nil {
			return env, nil
		}
		running, err := c.spawn(ctx)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errKilled) && killed < maxKilled:
			killed++
		case !running:
			return Env{}, err
		}
		select { // another process is starting a gateway, or a running gateway does not answer
		case <-ctx.Done():
			return Env{}, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// watch starts the gateway again whenever it has ended. Every user watches, because the one that started the gateway
// may have ended too. If several try, the gateway's lock lets one succeed.
func (c *Child) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.exited:
		case <-time.After(watchInterval):
		}
		if _, err := gateway.Find(c.Base); err == nil {
			continue
		}
		if c.pipe != nil {
			c.pipe.Close()
			c.pipe, c.exited = nil, nil
		}
		starting, cancel := context.WithTimeout(ctx, startTimeout)
		_, _ = c.spawn(starting) // the log says why it failed, and clients report that no gateway runs
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartInterval):
		}
	}
}

func (l Layout) unstarted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var typed *objectstore.Error
	if errors.As(err, &typed) {
		return err
	}
	hint := "see " + l.Log()
	if a, findErr := gateway.Find(l.Base); findErr == nil {
		hint = fmt.Sprintf("process %d serves this directory and may hang; see %s", a.PID, l.Log())
	}
	return l.failed(objectstore.ErrUnreachable, err, hint)
}

func (l Layout) failed(kind, err error, hint string) error {
	return &objectstore.Error{Op: "open", Store: "embedded store in " + l.Base, Kind: kind, Err: err, Hint: hint}
}

// Attach returns the settings of the gateway that serves a directory. It does not start the gateway or keep it running.
// It fails with gateway.ErrNotRunning if there is no gateway.
func Attach(ctx context.Context, dir string) (Env, error) {
	l, err := LayoutOf(dir)
	if err != nil {
		return Env{}, err
	}
	return l.attach(ctx)
}

func (l Layout) attach(ctx context.Context) (Env, error) {
	a, err := gateway.Find(l.Base)
	if err != nil {
		return Env{}, err
	}
	keys, err := l.LoadKeys()
	if err != nil {
		return Env{}, err
	}
	env := l.Env(a, keys)
	cfg, err := env.Config()
	if err != nil {
		return Env{}, err
	}
	_, err = objectstore.Open(ctx, cfg)
	return env, err
}

// spawn starts a gateway and waits until it is ready. running is true if the new gateway ended because another one is
// already running.
func (c *Child) spawn(ctx context.Context) (running bool, err error) {
	alive, hold, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer alive.Close()
	report, send, err := os.Pipe()
	if err != nil {
		hold.Close()
		return false, err
	}
	defer report.Close()
	log, err := os.OpenFile(c.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		hold.Close()
		send.Close()
		return false, c.Fail(err)
	}
	defer log.Close()

	cmd := exec.Command(c.exe, "store", "serve", "--dir", c.dir)
	cmd.Env = append(os.Environ(), ParentFDVar+"=3", ReadyFDVar+"=4", DirVar+"="+c.dir)
	cmd.ExtraFiles = []*os.File{alive, send}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	err = cmd.Start()
	send.Close()
	if err != nil {
		hold.Close()
		return false, fmt.Errorf("start gateway %s: %w", c.exe, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the report or the log contains the error
		close(exited)
	}()
	// If the gateway ends early, its end of the pipe closes, and Decode returns.
	defer context.AfterFunc(ctx, func() { report.Close() })()
	var rep Report
	decodeErr := json.NewDecoder(report).Decode(&rep)
	if rep.Ready {
		if c.pipe != nil {
			c.pipe.Close() // of a gateway that was killed
		}
		c.pipe, c.exited = hold, exited
		return false, nil
	}
	hold.Close()
	select {
	case <-exited:
	case <-ctx.Done():
	}
	if decodeErr != nil {
		return false, c.failed(objectstore.ErrUnreachable, errKilled, "see "+c.Log())
	}
	return rep.Running, c.failed(Kinds[rep.Kind], errors.New(rep.Error), rep.Hint)
}
