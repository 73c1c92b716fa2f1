package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/embedded/server"
	"vapo/lib/objectstore/gateway"
	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

type storeCmd struct {
	Serve serveCmd `cmd:"" help:"Serve the embedded store until stopped, and print its environment."`
	Env   envCmd   `cmd:"" help:"Print the environment variables of the running embedded store."`
	Check checkCmd `cmd:"" help:"Check that the store is writable and honours conditional writes."`
	Du    duCmd    `cmd:"" help:"Show how much space runs, refs and stages take."`
	GC    gcCmd    `cmd:"" name:"gc" help:"Show or delete what no run and no ref needs."`
}

// openStore is an open store with the environment variables through which stages find it.
type openStore struct {
	*artifact.Store
	env  []string
	name string
	stop func()
}

// ProvideStore opens the store for commands that need its contents. kong calls it for every command that takes a store.
// ProvideStore fails instead of creating an embedded store, which would be empty.
func (a *app) ProvideStore(ctx context.Context) (*openStore, error) {
	if _, err := os.Stat(a.local()); os.Getenv("VAPO_STORE") == "" && errors.Is(err, os.ErrNotExist) {
		return nil, failure.New(failure.Input, "run a recipe here first, or choose a store with --dir or VAPO_STORE",
			"there is no store in %s", a.Dir)
	}
	return a.openStore(ctx)
}

// openStore opens the store given by VAPO_STORE or, if VAPO_STORE is not set, the embedded store in the directory. For
// the embedded store, it starts the gateway unless one is already running.
func (a *app) openStore(ctx context.Context) (*openStore, error) {
	s := &openStore{env: os.Environ(), name: os.Getenv("VAPO_STORE"), stop: func() {}}
	var cfg objectstore.Config
	patience, err := objectstore.PatienceFromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	if s.name != "" {
		cfg, err = objectstore.FromEnv(os.Getenv)
	} else {
		cfg, err = a.embed(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	cfg.Patience, cfg.Notify = patience, func(text string) { a.warn(text) }
	objects, err := objectstore.Open(ctx, cfg)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.Store, a.store = artifact.New(objects), s
	return s, nil
}

// embed starts the gateway of the embedded store and sets s up to use it.
func (a *app) embed(ctx context.Context, s *openStore) (cfg objectstore.Config, err error) {
	exe, err := os.Executable()
	if err != nil {
		return cfg, err
	}
	gateway, env, err := embedded.Start(ctx, a.Dir, exe)
	if err != nil {
		return cfg, err
	}
	s.env, s.name = append(s.env, env.Environ()...), "embedded in "+program.ShortPath(a.local())
	s.stop = func() { gateway.Close() }
	if cfg, err = env.Config(); err != nil {
		s.stop()
	}
	return cfg, err
}

func (a *app) closeStore() {
	if a.store != nil {
		a.store.stop()
	}
}

// local returns the directory of all local files, such as logs and reports.
func (a *app) local() string { return filepath.Join(a.Dir, ".vapo") }

func (a *app) runner(s *openStore, show runner.Display) *runner.Runner {
	return &runner.Runner{Store: s.Store, StoreName: s.name, Env: s.env, Dir: a.local(), Display: show}
}

type serveCmd struct{}

func (c *serveCmd) Run(ctx context.Context, a *app) error {
	// If another program started this process as its gateway, this process prints nothing, because the output would
	// contain the access keys.
	if code, ran := server.RunChild(); ran {
		program.Exit(code)
	}
	err := server.Serve(ctx, server.Options{Dir: a.Dir, Ready: func(env embedded.Env) {
		fmt.Fprint(a.stdout, env.Shell())
		fmt.Fprintf(a.stderr, "serving %s until Ctrl-C\n", program.ShortPath(filepath.Join(a.Dir, ".vapo")))
	}})
	if errors.Is(err, server.ErrRunning) {
		return failure.New(failure.Usage, `use that one: eval "$(pipeline store env)"`, "%w", err)
	}
	if errors.Is(err, failure.ErrTerminated) || errors.Is(context.Cause(ctx), failure.ErrTerminated) {
		return nil // Ctrl-C is the normal way to stop serving
	}
	return err
}

type envCmd struct{}

func (c *envCmd) Run(ctx context.Context, a *app) error {
	env, err := embedded.Attach(ctx, a.Dir)
	if errors.Is(err, gateway.ErrNotRunning) {
		return failure.New(failure.Store, "start one with: pipeline store serve &", "no store is being served from %s",
			program.ShortPath(a.local()))
	}
	if err != nil {
		return err
	}
	fmt.Fprint(a.stdout, env.Shell())
	return nil
}

type checkCmd struct {
	Deep   bool `help:"Read every document and blob, and report those that are damaged."`
	Repair bool `help:"With --deep: move damaged objects to damaged/ in the store, so that the next run recreates them."`
}

func (c *checkCmd) Run(ctx context.Context, a *app) error {
	if c.Repair && !c.Deep {
		return failure.New(failure.Usage, "add --deep", "--repair needs --deep")
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	if err := objectstore.Probe(ctx, store.Objects()); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s can be written and honours conditional writes\n", store.Store)
	if !c.Deep {
		return nil
	}
	return c.deep(ctx, a, store.Store)
}

func (c *checkCmd) deep(ctx context.Context, a *app, store *artifact.Store) error {
	left := 0
	sum, err := store.Check(ctx, c.Repair, func(f artifact.Finding) {
		switch {
		case f.Stray:
			fmt.Fprintf(a.stdout, "stray    %s\n", f.Key)
			return
		case f.Aside != "":
			fmt.Fprintf(a.stdout, "moved    %s to %s\n", f.Key, f.Aside)
		default:
			left++
			fmt.Fprintf(a.stdout, "damaged  %s\n", f.Key)
		}
		fmt.Fprintf(a.stdout, "         %s\n", oneLine(f.Reason))
		for _, user := range f.Users {
			fmt.Fprintf(a.stdout, "         used as %s\n", user)
		}
		fmt.Fprintf(a.stdout, "         %s\n", f.Remedy)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d documents, %d blobs, %s, %d damaged\n",
		sum.Documents, sum.Blobs, program.Size(sum.Bytes), sum.Damaged)
	if left > 0 {
		const hint = "pipeline store check --deep --repair moves them aside; the next run recreates them"
		return failure.New(failure.Integrity, hint, "%d of %d objects are damaged", left, sum.Documents+sum.Blobs)
	}
	return nil
}
