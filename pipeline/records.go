package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/program"
	"vapo/pipeline/internal/localcache"
)

// eachAction calls f for every action in the store, sorted by key, with the action's results. It warns about damaged
// records. Files in the local directory cache what the records contain, so that only records that are new or have
// changed are read. There are sixteen such files, one for each first digit of a key, so that only a sixteenth of all
// records is in memory at once.
func (a *app) eachAction(ctx context.Context, s *openStore, f func(key string, made artifact.Made) error) error {
	const digits = "0123456789abcdef"
	name := sha256.Sum256([]byte(os.Getenv("VAPO_STORE")))
	index := filepath.Join(a.local(), "index", hex.EncodeToString(name[:8]))
	show := a.reading(len(digits))
	defer show(len(digits))
	for i, digit := range strings.Split(digits, "") {
		show(i)
		made := map[string]artifact.Made{}
		localcache.Load(index+"-"+digit, &made)
		changed, err := s.Index(ctx, digit, made, func(err error) { a.warn(err.Error()) })
		if err != nil {
			return err
		}
		if changed {
			localcache.Save(index+"-"+digit, made)
		}
		for key, m := range ordered(made) {
			if err := f(key, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// reading returns a function that shows on a terminal what share of the records has been read. The function shows
// nothing in the first second. When all are read, it erases its line.
func (a *app) reading(all int) func(done int) {
	began, shown := time.Now(), false
	return func(done int) {
		switch {
		case !program.IsTerminal(a.raw.stderr):
		case done < all && time.Since(began) > time.Second:
			shown = true
			fmt.Fprintf(a.raw.stderr, "\rreading the records of actions: %d %%", 100*done/all)
		case done == all && shown:
			fmt.Fprint(a.raw.stderr, "\r\033[K")
		}
	}
}
