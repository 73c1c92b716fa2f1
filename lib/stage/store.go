package stage

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// source resolves references to artifacts. It opens the store on first use, so a run on local files needs no store.
type source struct {
	scratch string
	log     *slog.Logger

	once    sync.Once
	store   *artifact.Store
	err     error
	gateway *embedded.Child // serves the store in the working directory, or nil
}

// configured reports whether the environment names a store. Only such a store receives outputs.
func configured() bool { return os.Getenv("VAPO_STORE") != "" }

// embeddedDir is where the runner keeps the store of the working directory.
const embeddedDir = ".vapo"

// hasStore reports whether there is a store to read: the one that the environment names, or the one in the working
// directory.
func hasStore() bool {
	_, err := os.Stat(embeddedDir)
	return configured() || err == nil
}

// open opens the store that the environment names. If it names none, open uses the one in the working directory, as the
// runner does.
func (s *source) open(ctx context.Context) (*artifact.Store, error) {
	s.once.Do(func() { s.store, s.err = s.connect(ctx) })
	return s.store, s.err
}

func (s *source) connect(ctx context.Context) (*artifact.Store, error) {
	patience, err := objectstore.PatienceFromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	var cfg objectstore.Config
	if configured() {
		cfg, err = objectstore.FromEnv(os.Getenv)
	} else {
		cfg, err = s.embed(ctx)
	}
	if err != nil {
		return nil, err
	}
	// A runner that started this program has already used the store with these settings. So if the store does not
	// answer, it is unavailable rather than misconfigured.
	cfg.WaitAtOpen = os.Getenv(contract.ParentFD) != ""
	cfg.Patience, cfg.Notify = patience, func(text string) { s.log.Warn(text) }
	objects, err := objectstore.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return artifact.New(objects), nil
}

// embed attaches to the gateway of the store in the working directory. If none is running, the runner's program, which
// is installed next to this one, serves the store until this program ends.
func (s *source) embed(ctx context.Context) (cfg objectstore.Config, err error) {
	exe, err := os.Executable()
	if err != nil {
		return cfg, err
	}
	runner := filepath.Join(filepath.Dir(exe), "pipeline")
	if _, err := os.Stat(runner); errors.Is(err, fs.ErrNotExist) {
		if _, err := embedded.Attach(ctx, "."); err != nil {
			return cfg, failure.New(failure.Usage, "run pipeline store serve in this directory, or set VAPO_STORE",
				"no gateway serves the store in this directory, and %s, which could start one, is missing", runner)
		}
	}
	gateway, env, err := embedded.Start(ctx, ".", runner)
	if err != nil {
		return cfg, err
	}
	s.gateway = gateway
	return env.Config()
}

func (s *source) close() {
	if s.gateway != nil {
		s.gateway.Close()
	}
}
