package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"vapo/lib/enginename"
	"vapo/pipeline/internal/localcache"
)

// answers holds the answers of pure stage programs (see contract.Description) from this and earlier runs. Asking the
// programs again would take longer than everything else in a cached run.
type answers struct {
	path    string // file that holds the answers
	plugin  string // the installed plugin, on which the meaning of "auto" depends
	mu      sync.Mutex
	byKey   map[string][]byte
	changed bool
}

const (
	maxAnswers = 512
	maxAnswer  = 64 << 10    // bytes; a description has about 8 KiB
	settled    = time.Second // a file that changed more recently may change again and keep its modification time
)

// recall reads the answers in a file.
func recall(path string) *answers {
	a := &answers{path: path, plugin: enginename.FindPlugin("cuda"), byKey: map[string][]byte{}}
	localcache.Load(path, &a.byKey)
	return a
}

// key returns the key of an answer, or "" if the answer cannot be cached. A program is identified by its file's
// metadata (fileState). If the file has just changed, the answer cannot be cached (see settled).
func (a *answers) key(program string, args []string) string {
	state, changed, ok := fileState(program)
	if !ok || time.Since(changed) < settled {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %s %q %q", program, state, a.plugin, args))
	return hex.EncodeToString(sum[:])
}

func (a *answers) get(key string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byKey[key]
}

// put remembers an answer, and forgets another one if there are too many.
func (a *answers) put(key string, answer []byte) {
	if key == "" || len(answer) > maxAnswer {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for old := range a.byKey {
		if len(a.byKey) < maxAnswers {
			break
		}
		delete(a.byKey, old)
	}
	a.byKey[key], a.changed = answer, true
}

// save writes the answers to their file, if there is a new one.
func (a *answers) save() {
	if a.changed {
		localcache.Save(a.path, a.byKey)
	}
}
