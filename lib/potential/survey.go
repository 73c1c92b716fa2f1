package potential

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/layer"
)

// found records which tensors of a file are weights, averages, parts of a training loop's state, or unknown.
type found struct {
	kind             string
	src              Tensors
	params           []layer.Param
	trained, average []string       // the prefixes with the most parameters; several if there is a tie
	flat             []string       // the same for averages whose names have no dots
	list             map[int]string // names of shadow_params by position
	lists            []string       // names of all such lists
	unknown, state   []string
}

var (
	listed = regexp.MustCompile(`^((?:.*\.)?shadow_params)\.(\d{1,6})$`)
	// Other state that training loops store: the state of optimisers, averages and random generators, and the step.
	loopState = regexp.MustCompile(`^(opt|optim|optimi[sz]ers?|(opt|optim|optimi[sz]er)_states?(_dict)?|` +
		`(lr_)?schedulers?|(grad_)?scaler|callbacks|loops)\.|` +
		`(^|\.)state\.\d+\.\w+$|` +
		`^(global_)?(step|epoch|iteration)$|(^|[._])rng_states?(_\w+)?(\.|$)|` +
		`^(.*\.)?(shadow_params|collected_params)\.\d+$|` +
		`^(.*\.)?(decay|num_updates|n_averaged|initted)$|^(.*[._])?ema\.step$`)
)

// averageWords are the parts of prefixes that mark moving averages. onlineWord marks the copy of the trained weights
// that some classes store next to their averages.
var averageWords = []string{"ema", "swa", "averaged", "avg", "shadow"}

const onlineWord = "online"

// setOf returns which set of weights a prefix marks, or "" for a copy of the trained weights.
func setOf(prefix string) string {
	parts := strings.FieldsFunc(strings.ToLower(prefix), func(r rune) bool { return r == '.' || r == '_' })
	isAverage := slices.ContainsFunc(parts, func(p string) bool {
		return slices.Contains(averageWords, strings.TrimRight(p, "0123456789")) // a file may have ema1 and ema2
	})
	switch {
	case !isAverage:
		return Trained
	case slices.Contains(parts, onlineWord):
		return ""
	}
	return Average
}

func plain(name string) string { return name }

// undotted returns a name without its dots. LitEma, a class used by many diffusion models, registers averages under
// such names, because the name of a PyTorch buffer must not contain a dot.
func undotted(name string) string { return strings.ReplaceAll(name, ".", "") }

// tally counts the parameters with each prefix, and records the prefixes of each name.
type tally struct {
	count    map[string]int
	prefixes map[string][]string
}

func (t *tally) add(name string, at int) {
	t.count[name[:at]]++
	t.prefixes[name] = append(t.prefixes[name], name[:at])
}

func survey(names []string, params []layer.Param) *found {
	known, knownFlat := map[string]bool{}, map[string]bool{}
	for _, p := range params {
		known[p.Name], knownFlat[undotted(p.Name)] = true, true
	}
	f := &found{list: map[int]string{}}
	lists := map[string]bool{}
	dotted := &tally{map[string]int{}, map[string][]string{}}
	flat := &tally{map[string]int{}, map[string][]string{}}
	for _, name := range names {
		if m := listed.FindStringSubmatch(name); m != nil {
			i, _ := strconv.Atoi(m[2])
			f.list[i], lists[m[1]] = name, true
		}
		if loopState.MatchString(name) {
			continue
		}
		for at := 0; ; { // try every suffix of the name as the name of a parameter
			if known[name[at:]] {
				dotted.add(name, at)
			}
			next := strings.IndexByte(name[at:], '.')
			if next < 0 {
				break
			}
			at += next + 1
		}
		last := strings.LastIndexByte(name, '.') + 1
		if setOf(name[:last]) != Average {
			continue
		}
		for at := last; at < len(name); at++ {
			if knownFlat[name[at:]] {
				flat.add(name, at)
			}
		}
	}
	f.lists = slices.Sorted(maps.Keys(lists))
	f.trained, f.average, f.flat = best(dotted.count, Trained), best(dotted.count, Average), best(flat.count, Average)
	if len(f.average) > 0 && len(f.flat) > 0 && flat.count[f.flat[0]] > dotted.count[f.average[0]] {
		f.average = nil
	}
	copies := best(dotted.count, "")
	used := func(name string, t *tally, sets ...[]string) bool {
		return slices.ContainsFunc(t.prefixes[name], func(p string) bool {
			return slices.ContainsFunc(sets, func(set []string) bool { return slices.Contains(set, p) })
		})
	}
	for _, name := range names {
		switch {
		case loopState.MatchString(name), used(name, dotted, copies):
			f.state = append(f.state, name)
		case !used(name, dotted, f.trained, f.average) && !(len(f.average) == 0 && used(name, flat, f.flat)):
			f.unknown = append(f.unknown, name)
		}
	}
	return f
}

// best returns the prefixes of the given set of weights with the most parameters.
func best(count map[string]int, set string) []string {
	var out []string
	most := 0
	for prefix, n := range count {
		if setOf(prefix) != set || n < most {
			continue
		}
		if n > most {
			out, most = nil, n
		}
		out = append(out, prefix)
	}
	slices.Sort(out)
	return out
}
