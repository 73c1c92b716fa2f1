package embedded

import "vapo/lib/objectstore"

// Environment variables that Start passes to the gateway process.
const (
	ParentFDVar = "VAPO_GATEWAY_PARENT_FD" // read end of a pipe whose write end the parent holds
	ReadyFDVar  = "VAPO_GATEWAY_READY_FD"  // write end of a pipe for one Report
	DirVar      = "VAPO_GATEWAY_DIR"
)

// A Report is sent by a gateway to the process that started it. It says whether the gateway has started, or why not.
type Report struct {
	Ready   bool   `json:"ready,omitempty"`
	Running bool   `json:"running,omitempty"` // another gateway already serves the directory
	Error   string `json:"error,omitempty"`
	Kind    int    `json:"kind,omitempty"` // index in Kinds
	Hint    string `json:"hint,omitempty"`
}

// Kinds are the error classes of a gateway that fails to start. The first one is the default.
var Kinds = []error{objectstore.ErrUnreachable, objectstore.ErrReadOnly, objectstore.ErrNoSpace}
