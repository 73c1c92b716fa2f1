package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vapo/lib/enginename"
	"vapo/lib/program"
)

// memory keeps the answers of stage programs that are pure (see contract.Description) in a file, because asking takes
// longer than everything else in a cached run. It never fails: an answer that is lost or cannot be kept is asked for
// again.
type memory struct {
	path    string // of the file
	plugin  string // what "auto" depends on
	mu      sync.Mutex
	answers map[string]json.RawMessage
	changed bool
}

const (
	memoryFormat = "vapo answers 1"
	maxAnswers   = 512
	maxAnswer    = 64 << 10 // bytes; a description has about 8 KiB
	settled      = time.Second
)

// recall reads the memory in a file. A file that is missing or damaged is an empty memory.
func recall(path string) *memory {
	m := &memory{path: path, plugin: enginename.FindPlugin("cuda"), answers: map[string]json.RawMessage{}}
	data, err := os.ReadFile(path)
	if err != nil {
		return m
	}
	sum, body, _ := bytes.Cut(data, []byte("\n"))
	if string(sum) == checksum(body) {
		_ = json.Unmarshal(body, &m.answers) // what is written under its own checksum is valid
	}
	return m
}

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return memoryFormat + " " + hex.EncodeToString(sum[:])
}

// key returns the key of an answer, or "" if it cannot be remembered. A program is identified by its file. The time of
// the last status change is part of it, because a copy may keep the size and the modification time. A file that changed
// a moment ago may change again without a new time.
func (m *memory) key(program string, args []string) string {
	var st unix.Stat_t
	if unix.Stat(program, &st) != nil || time.Since(time.Unix(st.Ctim.Unix())) < settled {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d %d %v %v %q %q",
		program, st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim, m.plugin, args))
	return hex.EncodeToString(sum[:])
}

func (m *memory) get(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answers[key]
}

// put remembers an answer, and forgets another one if there are too many.
func (m *memory) put(key string, answer []byte) {
	if key == "" || len(answer) > maxAnswer {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for old := range m.answers {
		if len(m.answers) < maxAnswers {
			break
		}
		delete(m.answers, old)
	}
	m.answers[key], m.changed = answer, true
}

// save writes the memory to its file, if there is something new.
func (m *memory) save() {
	if !m.changed {
		return
	}
	body, err := json.Marshal(m.answers)
	if err != nil || os.MkdirAll(filepath.Dir(m.path), 0o700) != nil {
		return
	}
	_ = program.WriteFile(m.path, func(w io.Writer) error {
		_, err := io.Copy(w, io.MultiReader(strings.NewReader(checksum(body)+"\n"), bytes.NewReader(body)))
		return err
	})
}
