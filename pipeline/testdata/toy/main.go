// Command toy is a stage for the runner's tests: it computes a chain of hashes, and can be slow, be killed, resume, and
// fail in every way in which a stage can fail.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

type params struct {
	Steps int             `help:"Links of the chain." default:"3" unit:"steps"`
	Salt  float64         `help:"Goes into the first link." default:"0.5"`
	Shape json.RawMessage `help:"A structured value that goes into the first link." default:"[1,2]"`
	Same  int             `help:"Part of the key, but without effect on the output." default:"0"`
	Delay float64         `help:"Wait at each link." default:"0" unit:"s" keyed:"false"`

	Fail string `help:"How." default:"no" enum:"no,input,integrity,numeric,memory,bug,panic,go,kill,silent" keyed:"false"`

	FailShard int `help:"The shard that fails; 0: none." default:"0" keyed:"false"`

	Random  bool   `help:"Make the result random instead of a function of the key." keyed:"false"`
	File    string `help:"A file that must exist; empty: none." keyed:"false" path:""`
	Backend string `help:"Engine." default:"auto" enum:"auto,slow,fast"`
}

// state is the state from which a killed run resumes.
type state struct {
	Step int
	Link string
}

var spec = stage.Stage[params]{
	Name: "toy", About: "Computes a chain of hashes, for tests.", Version: 1, Length: "steps",
	Inputs: []contract.Port{{Name: "data", Media: contract.MediaJSON, Help: "What to start from.", Optional: true,
		Subject: true}},
	Outputs: []contract.Port{
		{Name: "out", Media: contract.MediaJSON, Help: "The last link."},
		{Name: "log", Media: contract.MediaNDJSON, Help: "All links."},
		{Name: "length", Media: contract.MediaJSON, Help: "A headline.", Score: true},
	},
	Resolve: func(p *params, _ stage.Given) error {
		if p.Steps < 1 {
			return failure.New(failure.Usage, "a chain has at least one link", "steps must be positive, not %d", p.Steps)
		}
		if p.Backend == "auto" {
			p.Backend = "slow"
		}
		return nil
	},
	Pure: func(p *params) bool { return !p.Random },
	Run:  run,
	Shard: func(ctx context.Context, job *stage.Job, p *params, shard contract.Shard) error {
		if p.FailShard == shard.I {
			return failure.New(failure.Input, "", "shard %v cannot be computed", shard)
		}
		parts, key, err := partOf(ctx, job, shard.I)
		if err != nil {
			return err
		}
		if _, ok, err := parts.Load(ctx, key); ok || err != nil {
			job.Log().Warn("its part is there already")
			return err
		}
		time.Sleep(time.Duration(p.Delay * float64(time.Second)))
		return parts.Save(ctx, key, []byte("part"))
	},
}

// partOf returns the parts of a job and the key of the one that a shard computes.
func partOf(ctx context.Context, job *stage.Job, shard int) (stage.Parts, string, error) {
	parts, err := job.Parts(ctx)
	if err != nil {
		return nil, "", err
	}
	key, err := job.PartKey(map[string]any{"same": int64(shard)})
	return parts, key, err
}

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }

func run(ctx context.Context, job *stage.Job, p *params) error {
	job.SetBackend(p.Backend)
	if _, err := os.Stat(p.File); p.File != "" && err != nil {
		return failure.New(failure.Input, "", "%w", err)
	}
	seed := append([]byte(fmt.Sprint(p.Salt, p.Backend)), p.Shape...)
	if job.HasInput("data") {
		path, err := job.Input(ctx, "data")
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seed = append(seed, data...)
	}
	if p.Random {
		seed = fmt.Append(seed, time.Now().UnixNano())
	}
	s, err := resume(ctx, job)
	if err != nil {
		return err
	}
	if s.Step == 0 {
		s.Link = link(seed)
	} else {
		job.Log().Info("resuming", "step", s.Step)
	}
	job.Log().Info("running", "threads", runtime.GOMAXPROCS(0))
	job.Set("resumed_at", s.Step)
	for i := 1; job.Sharded(); i++ {
		parts, key, err := partOf(ctx, job, i)
		if err != nil {
			return err
		}
		_, ok, err := parts.Load(ctx, key)
		if err != nil {
			return err
		}
		if !ok {
			job.Log().Warn("parts found", "parts", i-1)
			break
		}
	}
	progress := job.Progress(int64(p.Steps), "links")
	defer progress.Done()
	for s.Step < p.Steps {
		s.Step++
		s.Link = link([]byte(s.Link))
		progress.Set(int64(s.Step), "step", s.Step)
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), save(context.WithoutCancel(ctx), job, s))
		case <-time.After(time.Duration(p.Delay * float64(time.Second))):
		}
		if p.Delay > 0 {
			if err := save(ctx, job, s); err != nil {
				return err
			}
		}
	}
	if err := fail(job, p.Fail); err != nil {
		return err
	}
	write := func(name string, v any) error {
		return job.Output(ctx, name, func(w io.Writer) error { return json.NewEncoder(w).Encode(v) })
	}
	return errors.Join(
		write("out", map[string]any{"link": s.Link}),
		write("log", map[string]any{"step": s.Step, "loss": 1.5}),
		write("length", map[string]any{"headline": "the chain ends in " + s.Link[:6], "metric": "links", "value": s.Step,
			"n": s.Step}),
	)
}

func fail(job *stage.Job, how string) error {
	switch how {
	case "input":
		return failure.New(failure.Input, "look at it", "the data is no chain")
	case "integrity":
		return failure.New(failure.Integrity, "", "the data is damaged")
	case "memory":
		return failure.New(failure.Resources, "", "memory is short")
	case "numeric":
		job.Log().Warn("it does not look good", "loss", 1e9)
		return failure.New(failure.Numeric, "lower the rate", "loss is NaN at step %d", 3)
	case "bug":
		return errors.New("nobody classified this")
	case "panic":
		panic("at the disco")
	case "go":
		go panic("where nobody recovers")
		time.Sleep(time.Minute)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	case "silent":
		os.Exit(0)
	}
	return nil
}

func link(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func save(ctx context.Context, job *stage.Job, s state) error {
	return job.Live().Save(ctx, "state", func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
}

func resume(ctx context.Context, job *stage.Job) (s state, err error) {
	path, ok, err := job.Live().Load(ctx, "state")
	if err != nil {
		return s, err
	}
	if !ok {
		for _, output := range []string{"out", "log"} { // out holds Link, log holds Step
			path, ok, err := job.Earlier(ctx, output)
			if err != nil || !ok {
				return s, err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return s, err
			}
			if err := json.Unmarshal(data, &s); err != nil {
				return s, err
			}
		}
		return s, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}
