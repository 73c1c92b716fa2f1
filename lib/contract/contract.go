// Package contract defines what the runner and the stages agree on: how a stage describes itself, what a manifest
// records, and how a run is keyed. The runner imports this package instead of the stages, so it links no tensor or
// graph code.
package contract

import (
	"encoding/json"
	"path"
	"strings"
	"time"
)

// Contract is the version of the agreement between the runner and the stages. It is part of every cache key.
const Contract = 1

// Media types of ports.
const (
	MediaArrow  = "application/vnd.apache.arrow.file"
	MediaPNG    = "image/png"
	MediaJSON   = "application/json"
	MediaNDJSON = "application/x-ndjson"
	MediaNPZ    = "application/x-npz"
	MediaOther  = "application/octet-stream"
)

// Port is a named input or output. An Optional input may be left out; an Optional output may be left unwritten.
type Port struct {
	Name     string `json:"name"`
	Media    string `json:"media"`
	Help     string `json:"help,omitempty"`
	Optional bool   `json:"optional,omitempty"`
	// Score marks the JSON output with the stage's score, which runs and reports show.
	Score bool `json:"score,omitempty"`
	// Beside is set only for an image. It names another image, an output of the step that made the Subject input. A report
	// shows the two images side by side.
	Beside string `json:"beside,omitempty"`
	// Subject marks the input that the outputs describe: the samples that a score is about, for example. A comparison of
	// scores follows subjects back to find the parameters of the steps that led to each score.
	Subject bool `json:"subject,omitempty"`
}

// NoEffect is the Effect of a parameter that changes neither a score nor the data that is scored. It may still change
// other outputs, for example how often metrics are logged.
const NoEffect = "none"

// Param describes one parameter as `describe` prints it.
type Param struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // int, float, string, bool or json
	Unit     string   `json:"unit,omitempty"`
	Help     string   `json:"help,omitempty"`
	Default  any      `json:"default"`
	Required bool     `json:"required,omitempty"`
	Keyed    bool     `json:"keyed"`            // part of the cache key
	Effect   string   `json:"effect,omitempty"` // NoEffect, or ""
	Auto     any      `json:"auto,omitempty"`   // what "auto" means on this machine
	Enum     []string `json:"enum,omitempty"`
	Min      any      `json:"min,omitempty"`  // least allowed value
	Max      any      `json:"max,omitempty"`  // greatest allowed value
	Path     bool     `json:"path,omitempty"` // a string that is the path of a file or directory, or empty
	Only     string   `json:"only,omitempty"` // PARAMETER=VALUE|VALUE: no effect unless PARAMETER has one of the values
}

// Description is what `describe` prints. Resolved holds every parameter with its final value; only `describe --check`
// sets it.
type Description struct {
	Contract int            `json:"contract"`
	Stage    string         `json:"stage"`
	Version  int            `json:"version"`
	About    string         `json:"about,omitempty"`
	Length   string         `json:"length,omitempty"` // the parameter that sets the length of a run
	Params   []Param        `json:"params"`
	Inputs   []Port         `json:"inputs"`
	Outputs  []Port         `json:"outputs"`
	Resolved map[string]any `json:"resolved,omitempty"`
	Shards   bool           `json:"shards,omitempty"` // several workers can share one run: the stage has a command shard
	// Pure: apart from Auto, the description depends on nothing but the program, the parameters and the result of
	// enginename.FindPlugin. A runner may remember it instead of asking again.
	Pure bool `json:"pure,omitempty"`
}

// Manifest records one successful execution of a stage.
type Manifest struct {
	Contract int               `json:"contract"`
	Stage    string            `json:"stage"`
	Version  int               `json:"version"`
	Params   map[string]any    `json:"params"`
	Units    map[string]string `json:"units,omitempty"`
	Inputs   map[string]string `json:"inputs"`
	Outputs  map[string]Output `json:"outputs"`
	Backend  string            `json:"backend,omitempty"`
	Results  map[string]any    `json:"results,omitempty"`
	// Costs holds what the outputs cost. Its keys are units, such as samples/s. Comparisons of scores show the costs.
	Costs       map[string]float64 `json:"costs,omitempty"`
	Warnings    []string           `json:"warnings,omitempty"`
	Versions    map[string]string  `json:"versions,omitempty"`
	Started     time.Time          `json:"started"`
	WallSeconds float64            `json:"wall_seconds"`
}

// Output describes one output in a manifest.
type Output struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Media  string `json:"media"`
}

// Extension returns the file name extension of a media type, including the dot.
func Extension(media string) string {
	if ext, ok := extensions[media]; ok {
		return ext
	}
	return ".bin"
}

var extensions = map[string]string{
	MediaArrow: ".arrow", MediaPNG: ".png", MediaJSON: ".json", MediaNDJSON: ".ndjson", MediaNPZ: ".npz",
	"text/plain": ".txt", "text/markdown": ".md", "text/csv": ".csv", "text/html": ".html",
}

// MediaOf returns the media type of a file with the given name, or MediaOther.
func MediaOf(name string) string {
	for media, ext := range extensions {
		if strings.EqualFold(path.Ext(name), ext) {
			return media
		}
	}
	return MediaOther
}

// DecodeManifest reads the manifest that a stage wrote.
func DecodeManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// ParentFD is the environment variable that tells a stage the file descriptor of a pipe's read end. Nothing is ever
// written to the pipe. It closes when the runner exits for any reason; the stage then exits at once instead of becoming
// an orphan.
const ParentFD = "VAPO_PARENT_FD"

// ProgressMessage is the msg field of a JSON progress line. The line also has the fields done, total and unit.
const ProgressMessage = "progress"
