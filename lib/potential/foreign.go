package potential

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/layer"
)

// Tensors is a file of another framework, opened by package torchfile or safetensors. It may have a method Order that
// returns the names in the order of the file.
type Tensors interface {
	Names() []string
	Tensor(name string) (values []float32, shape []int, ok bool, err error)
}

// Sets of weights that a file may hold.
const (
	Either  = ""      // all sets that the file holds
	Trained = "model" // the weights as trained
	Average = "ema"   // the moving average of the weights
)

// Imported holds a network's weights from a file, by parameter name. A set that is missing or was not requested is nil.
type Imported struct {
	Trained, Average map[string][]float32
	Unknown          []string // tensors of the file that are neither weights nor a known part of a training loop's state
}

// Import finds the weights of a network in src by the names of c.Parameters. All names may have a common prefix, such
// as module.model. in files of the method's released code. Tensors whose prefix contains the part "ema", and lists
// shadow_params of tensors in the order of the parameters, are moving averages. Every parameter must be present, have
// the right shape and be finite.
func Import(src Tensors, c Config, which string) (*Imported, error) {
	params, err := c.Parameters()
	if err != nil {
		return nil, err
	}
	f := survey(src.Names(), params)
	f.kind, f.src, f.params = c.Kind, src, params
	out := &Imported{Unknown: f.unknown}
	if len(f.lists) > 0 && which != Trained {
		if out.Average, err = f.fromList(); err != nil {
			return nil, err
		}
	} else if which != Trained {
		if out.Average, err = f.fromNames("moving averages", f.average); err != nil {
			return nil, err
		}
	}
	if which != Average {
		if out.Trained, err = f.fromNames("weights", f.trained); err != nil {
			return nil, err
		}
	}
	switch {
	case out.Trained == nil && out.Average == nil && which == Average:
		return nil, fmt.Errorf("it holds no moving averages of a %s; it has %s", c.Kind, abbreviate(src.Names()))
	case out.Trained == nil && out.Average == nil:
		return nil, fmt.Errorf("it holds no weights of a %s, such as %s; it has %s",
			c.Kind, params[0].Name, abbreviate(src.Names()))
	}
	return out, nil
}

// ClassesIn returns the number of classes of the network in a file. It reads the number from the shape of the tensor
// label_emb.weight [Classes, width], which may have any prefix. Without such a tensor it returns 0.
func ClassesIn(src Tensors) (int, error) {
	classes := 0
	for _, name := range src.Names() {
		if name != labelTable && !strings.HasSuffix(name, "."+labelTable) {
			continue
		}
		_, shape, ok, err := src.Tensor(name)
		if err != nil {
			return 0, err
		}
		if !ok || len(shape) != 2 || shape[0] < 2 || shape[0] > MaxClasses {
			return 0, fmt.Errorf("tensor %s is %v, expected a row for each of 2 to %d classes", name, shape, MaxClasses)
		}
		if classes != 0 && classes != shape[0] {
			return 0, fmt.Errorf("tensor %s has %d rows, another table of labels %d", name, shape[0], classes)
		}
		classes = shape[0]
	}
	return classes, nil
}

// found records which tensors of a file are weights, averages or unknown.
type found struct {
	kind             string
	src              Tensors
	params           []layer.Param
	trained, average []string       // prefixes that the most parameters follow; more than one is a tie
	list             map[int]string // names of shadow_params by position
	lists            []string       // prefixes of all such lists
	unknown          []string
}

var (
	listed = regexp.MustCompile(`^(.*\.)?shadow_params\.(\d{1,6})$`)
	// Other state that training loops store: that of the optimiser and of the averages, and the step.
	loopState = regexp.MustCompile(`^(optimizer|scheduler|lr_scheduler|scaler)\.|^(step|epoch|iteration)$|` +
		`^(.*\.)?(shadow_params|collected_params)\.\d+$|^(ema\.)?(decay|num_updates)$`)
)

func survey(names []string, params []layer.Param) *found {
	known := map[string]bool{}
	for _, p := range params {
		known[p.Name] = true
	}
	f := &found{list: map[int]string{}}
	parents := map[string]bool{}
	count := map[string]int{}
	prefixOf := map[string][]string{}
	for _, name := range names {
		if m := listed.FindStringSubmatch(name); m != nil {
			i, _ := strconv.Atoi(m[2])
			f.list[i], parents[m[1]] = name, true
		}
		if loopState.MatchString(name) {
			continue
		}
		for at := 0; ; { // try every suffix of the name as the name of a parameter
			if known[name[at:]] {
				count[name[:at]]++
				prefixOf[name] = append(prefixOf[name], name[:at])
			}
			next := strings.IndexByte(name[at:], '.')
			if next < 0 {
				break
			}
			at += next + 1
		}
	}
	f.lists = slices.Sorted(maps.Keys(parents))
	f.trained, f.average = best(count, false), best(count, true)
	for _, name := range names {
		used := slices.ContainsFunc(prefixOf[name], func(p string) bool {
			return slices.Contains(f.trained, p) || slices.Contains(f.average, p)
		})
		if !used && !loopState.MatchString(name) {
			f.unknown = append(f.unknown, name)
		}
	}
	return f
}

// best returns the prefixes that the most parameters follow. It considers only prefixes of averages, or only the
// others.
func best(count map[string]int, average bool) []string {
	var out []string
	most := 0
	for prefix, n := range count {
		parts := strings.FieldsFunc(strings.ToLower(prefix), func(r rune) bool { return r == '.' || r == '_' })
		if slices.Contains(parts, "ema") != average || n < most {
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

// fromNames reads the parameters that follow the prefix, or returns nil if there is no prefix.
func (f *found) fromNames(what string, prefixes []string) (map[string][]float32, error) {
	switch len(prefixes) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, fmt.Errorf("it holds %s behind several prefixes, expected one: %s", what, abbreviate(quoted(prefixes)))
	}
	names := make([]string, len(f.params))
	for i, p := range f.params {
		names[i] = prefixes[0] + p.Name
	}
	return f.read(what, f.params, names)
}

// fromList reads averages that are stored as a list without parameter names.
func (f *found) fromList() (map[string][]float32, error) {
	if len(f.lists) > 1 {
		return nil, fmt.Errorf("it holds several lists of moving averages, expected one: %s", abbreviate(quoted(f.lists)))
	}
	if len(f.list) != len(f.params) {
		return nil, fmt.Errorf("its list of moving averages has %d tensors, expected the %d parameters of the %s",
			len(f.list), len(f.params), f.kind)
	}
	names := make([]string, len(f.list))
	for i := range names {
		if names[i] = f.list[i]; names[i] == "" {
			return nil, fmt.Errorf("its list of moving averages lacks number %d of %d", i, len(names))
		}
	}
	return f.read("moving averages", f.ordered(), names)
}

// ordered returns the parameters in the order of the file's state dict if the state dict has all parameters, else in
// the network's order.
func (f *found) ordered() []layer.Param {
	src, ok := f.src.(interface{ Order() []string })
	if !ok || len(f.trained) != 1 {
		return f.params
	}
	at := map[string]int{}
	for i, name := range src.Order() {
		at[name] = i
	}
	for _, p := range f.params {
		if _, ok := at[f.trained[0]+p.Name]; !ok {
			return f.params
		}
	}
	return slices.SortedFunc(slices.Values(f.params), func(a, b layer.Param) int {
		return at[f.trained[0]+a.Name] - at[f.trained[0]+b.Name]
	})
}

// read reads params[i] from the tensor names[i].
func (f *found) read(what string, params []layer.Param, names []string) (map[string][]float32, error) {
	out := map[string][]float32{}
	var missing, shaped []string
	for i, p := range params {
		values, shape, ok, err := f.src.Tensor(names[i])
		switch {
		case err != nil:
			return nil, err
		case !ok:
			missing = append(missing, names[i])
		case !slices.Equal(shape, p.Shape):
			as := ""
			if !strings.HasSuffix(names[i], p.Name) {
				as = " for " + p.Name
			}
			shaped = append(shaped, fmt.Sprintf("%s%s is %v, expected %v", names[i], as, shape, p.Shape))
		default:
			for _, v := range values {
				if d := float64(v); math.IsNaN(d) || math.IsInf(d, 0) {
					return nil, fmt.Errorf("tensor %s holds %v, expected finite numbers", names[i], d)
				}
			}
			out[p.Name] = values
		}
	}
	if len(missing)+len(shaped) == 0 {
		return out, nil
	}
	text := fmt.Sprintf("%d of the %d parameters of the %s do not fit its %s",
		len(missing)+len(shaped), len(params), f.kind, what)
	if len(missing) > 0 {
		text += fmt.Sprintf("; %d missing: %s", len(missing), abbreviate(missing))
	}
	if len(shaped) > 0 {
		text += fmt.Sprintf("; %d of another shape: %s", len(shaped), abbreviate(shaped))
	}
	if len(f.unknown) > 0 {
		text += fmt.Sprintf("; the file also has %s", abbreviate(f.unknown))
	}
	return nil, errors.New(text)
}

// abbreviate joins the first names of a list. It truncates each name, because the file is untrusted.
func abbreviate(list []string) string {
	const show = 4
	var parts []string
	for _, s := range list[:min(show, len(list))] {
		parts = append(parts, fmt.Sprintf("%.200s", s))
	}
	out := strings.Join(parts, ", ")
	if n := len(list) - show; n > 0 {
		out += fmt.Sprintf(" and %d more", n)
	}
	return out
}

func quoted(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, strconv.Quote(s))
	}
	return out
}

// UnknownError returns an error that names the unknown tensors.
func (w *Imported) UnknownError() error {
	return fmt.Errorf("%d of its tensors do not belong to the network: %s", len(w.Unknown), abbreviate(w.Unknown))
}
