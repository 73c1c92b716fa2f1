package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/gateway"
)

// Layout gives the paths of a directory's store. All are inside Base, which only its owner can enter.
type Layout struct{ Base string }

// LayoutOf returns the layout of the store in a directory.
func LayoutOf(dir string) (Layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Layout{}, err
	}
	return Layout{filepath.Join(abs, ".vapo")}, nil
}

// Lock is the file on which the gateway holds an exclusive lock.
func (l Layout) Lock() string { return filepath.Join(l.Base, "gateway.lock") }

// Users is the file on which every user of the gateway holds a shared lock.
func (l Layout) Users() string { return filepath.Join(l.Base, "users.lock") }

// Log is the log of the gateway.
func (l Layout) Log() string { return filepath.Join(l.Base, "gateway.log") }

// Data is the directory that the gateway serves.
func (l Layout) Data() string { return filepath.Join(l.Base, "store") }

func (l Layout) keys() string { return filepath.Join(l.Base, "keys.json") }

// Bucket is the bucket of every embedded store, and Region is its region.
const (
	Bucket = "vapo"
	Region = "us-east-1"
)

// Prepare creates the directory. It fails if a special file or a directory is in the place of one of the gateway's
// files. If the directory exists, Prepare needs no disk space, so a store on a full disk can be read.
func (l Layout) Prepare() error {
	err := os.MkdirAll(l.Data(), 0o700)
	if err == nil {
		err = os.Chmod(l.Base, 0o700)
	}
	if err != nil {
		return l.Fail(err)
	}
	// Opening a FIFO would wait for another program.
	for _, path := range []string{l.Lock(), l.Users(), l.Log(), gateway.Lock(l.Base).Path()} {
		if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
			return l.failed(nil, fmt.Errorf("%s is not a regular file", path), "move it away")
		}
	}
	return nil
}

// Fail converts a file system error to an objectstore.Error with a class and a hint.
func (l Layout) Fail(err error) error {
	if err == nil {
		return nil
	}
	e := &objectstore.Error{Op: "open", Store: "embedded store in " + l.Base, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Kind, e.Hint = objectstore.ErrReadOnly, "work in a directory you may write to, or set VAPO_STORE to another store"
	case failure.NoSpace(err):
		e.Kind, e.Hint = objectstore.ErrNoSpace, "free space on that disk, or set VAPO_STORE to another store"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		e.Hint = "a file is in the way of the directory; move it"
	}
	return e
}

// Keys are the credentials of a directory.
type Keys struct {
	Access string `json:"access_key"`
	Secret string `json:"secret_key"`
}

// LoadKeys reads the directory's credentials. The first call creates them, atomically, so that processes that start
// together agree on one pair.
func (l Layout) LoadKeys() (k Keys, err error) {
	fi, err := os.Stat(l.keys())
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.createKeys(); err != nil {
			return k, l.Fail(err)
		}
		fi, err = os.Stat(l.keys())
	}
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(l.keys())
	}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err == nil && (k.Access == "" || k.Secret == "") {
		err = errors.New("a key is missing")
	}
	if err != nil {
		hint := "delete " + l.keys() + " while no gateway runs; the next start makes new keys, and no results are lost"
		return k, l.failed(nil, fmt.Errorf("the access keys in %s cannot be read: %w", l.keys(), err), hint)
	}
	return k, nil
}

func (l Layout) createKeys() error {
	fresh, err := json.Marshal(Keys{Access: rand.Text()[:20], Secret: rand.Text() + rand.Text()})
	if err != nil {
		return err
	}
	tmp, err := writeTemp(l.keys(), fresh)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	err = os.Link(tmp, l.keys())
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// The file system has no hard links. If two processes get here at once, the last one to rename its file wins. LoadKeys
	// then reads the file.
	return os.Rename(tmp, l.keys())
}

// writeTemp writes a temporary file in the directory of path. Only the owner can read it.
func writeTemp(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// Env returns the settings of the gateway at an address.
func (l Layout) Env(a gateway.Address, k Keys) Env {
	return Env{
		Endpoint: a.Endpoint, AccessKey: k.Access, SecretKey: k.Secret, Region: Region, Store: "s3://" + Bucket,
		Gateway: a.Host() + l.Base,
	}
}
