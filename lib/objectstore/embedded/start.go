package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"vapo/lib/objectstore"
)

// ErrNotRunning means that the directory has no running gateway.
var ErrNotRunning = errors.New("no gateway serves this directory")

// startTimeout bounds how long Start waits for an old gateway to end and a new one to start.
const startTimeout = 20 * time.Second

// Child is a user's handle of a directory's gateway.
type Child struct {
	users  *flock.Flock
	pipe   *os.File      // nil if another process started the gateway
	exited chan struct{} // nil if another process started the gateway
	once   sync.Once
}

// Close releases the gateway. If this process started the gateway and nobody else uses it, the gateway ends, and Close
// waits for its end.
func (c *Child) Close() error {
	c.once.Do(func() {
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
// It ends with this process unless other processes have attached to it. exe is usually the result of os.Executable. A
// new gateway logs to .vapo/gateway.log.
//
// If several processes call Start at once, one gateway is started and all of them attach to it.
func Start(ctx context.Context, dir, exe string) (*Child, Env, error) {
	l, err := layoutOf(dir)
	if err != nil {
		return nil, Env{}, err
	}
	if err := l.prepare(); err != nil {
		return nil, Env{}, err
	}
	late := fmt.Errorf("no gateway came up within %v; see %s", startTimeout, l.log())
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, late)
	defer cancel()
	c := &Child{users: flock.New(l.users())}
	// A gateway that is about to end holds this lock exclusively until its process has ended.
	if _, err := c.users.TryRLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, Env{}, l.unstarted(ctx, err)
	}
	for {
		env, err := l.attach(ctx)
		if err == nil {
			return c, env, nil
		}
		running, err := c.spawn(ctx, l, dir, exe)
		if err == nil {
			if env, err = l.attach(ctx); err == nil {
				return c, env, nil
			}
			c.Close()
			return nil, Env{}, l.unstarted(ctx, err)
		}
		if !running {
			c.Close()
			return nil, Env{}, l.unstarted(ctx, err)
		}
		select { // another process is starting a gateway, or a running gateway does not answer
		case <-ctx.Done():
			c.Close()
			return nil, Env{}, l.unstarted(ctx, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l layout) unstarted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var typed *objectstore.Error
	if errors.As(err, &typed) {
		return err
	}
	hint := "see " + l.log()
	if s, stateErr := l.loadState(); stateErr == nil {
		hint = fmt.Sprintf("process %d serves this directory and may hang; see %s", s.PID, l.log())
	}
	return l.unreachable(err, hint)
}

func (l layout) unreachable(err error, hint string) error {
	store := "embedded store in " + l.base
	return &objectstore.Error{Op: "open", Store: store, Kind: objectstore.ErrUnreachable, Err: err, Hint: hint}
}

// Attach returns the settings of the gateway that serves a directory. It does not start the gateway or keep it running.
// It fails with ErrNotRunning if there is no gateway.
func Attach(ctx context.Context, dir string) (Env, error) {
	l, err := layoutOf(dir)
	if err != nil {
		return Env{}, err
	}
	return l.attach(ctx)
}

func (l layout) attach(ctx context.Context) (Env, error) {
	notRunning := func(err error) (Env, error) {
		return Env{}, fmt.Errorf("%w: %s: %w", ErrNotRunning, l.base, err)
	}
	s, err := l.loadState()
	if err != nil {
		return notRunning(err)
	}
	keys, err := l.loadKeys()
	if err != nil {
		return Env{}, err
	}
	env := l.env(s, keys)
	cfg, err := env.Config()
	if err != nil {
		return notRunning(err)
	}
	// Test the connection first: after kill -9 the port is closed, or another program uses it.
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(s.Endpoint, "http://"))
	if err != nil {
		return notRunning(err)
	}
	conn.Close()
	if _, err := objectstore.Open(ctx, cfg); err != nil {
		return notRunning(err)
	}
	return env, nil
}

// spawn starts a gateway and waits until it is ready. running is true if the new gateway ended because another one is
// already running.
func (c *Child) spawn(ctx context.Context, l layout, dir, exe string) (running bool, err error) {
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
	log, err := os.OpenFile(l.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		hold.Close()
		send.Close()
		return false, l.fail(err)
	}
	defer log.Close()

	cmd := exec.Command(exe, "store", "serve", "--dir", dir)
	cmd.Env = append(os.Environ(), parentFDVar+"=3", readyFDVar+"=4", dirVar+"="+dir)
	cmd.ExtraFiles = []*os.File{alive, send}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a process group that Ctrl-C does not reach
	err = cmd.Start()
	send.Close()
	if err != nil {
		hold.Close()
		return false, fmt.Errorf("start gateway %s: %w", exe, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the report or the log contains the error
		close(exited)
	}()
	// If the gateway ends early, its end of the pipe closes and this read returns.
	defer context.AfterFunc(ctx, func() { report.Close() })()
	var rep startReport
	if err := json.NewDecoder(report).Decode(&rep); err != nil {
		rep.Error = "it ended before it answered"
	}
	if rep.Ready {
		c.pipe, c.exited = hold, exited
		return false, nil
	}
	hold.Close()
	select {
	case <-exited:
	case <-ctx.Done():
	}
	return rep.Running, l.unreachable(errors.New(rep.Error), rep.Hint)
}
