package potential

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/layer"
)

// Tensors is a file of another framework, opened by package torchfile or safetensors. It may have a method Order that
// returns the names in the file's order.
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
	// TrainedFrom and AverageFrom are the prefixes of the names of the tensors in the file. AverageFrom may also be the
	// name of a list.
	TrainedFrom, AverageFrom string
	Unknown                  []string // tensors that are neither weights nor a known part of a training loop's state
	State                    []string // tensors that are part of such a state
}

// Import finds the weights of a network in src by the names of c.Parameters. All names may have a common prefix, such
// as "module.model." in files of the method's released code. Moving averages are either tensors whose prefix contains a
// part such as "ema", even if their names have lost their dots, or lists named shadow_params of tensors in the order of
// the parameters. Every parameter must be present, have the right shape and be finite.
func Import(src Tensors, c Config, which string) (*Imported, error) {
	params, err := c.Parameters()
	if err != nil {
		return nil, err
	}
	f := survey(src.Names(), params)
	f.kind, f.src, f.params = c.Kind, src, params
	out := &Imported{Unknown: f.unknown, State: f.state}
	if which != Trained {
		if out.Average, out.AverageFrom, err = f.averages(); err != nil {
			return nil, err
		}
	}
	if which != Average {
		if out.Trained, out.TrainedFrom, err = f.fromNames("weights", f.trained, plain); err != nil {
			return nil, err
		}
	}
	if out.Trained != nil || out.Average != nil {
		return out, nil
	}
	return nil, f.missingError(which)
}

// missingError reports that the requested set of weights is missing. If the file has the other set, the hint names the
// flag that selects it.
func (f *found) missingError(which string) error {
	first := f.params[0].Name
	other, hint := "", "--weights=ema selects the moving averages"
	switch {
	case which == Average && len(f.trained) > 0:
		other, hint = "weights such as "+f.trained[0]+first, "--weights=model selects the weights as trained"
	case which == Average:
	case len(f.lists) > 0:
		other = "moving averages in the list " + f.lists[0]
	case len(f.average) > 0:
		other = "moving averages such as " + f.average[0] + first
	case len(f.flat) > 0:
		other = "moving averages such as " + f.flat[0] + undotted(first)
	}
	wanted := "weights of a " + f.kind + ", such as " + first
	if which == Average {
		wanted = "moving averages of a " + f.kind
	}
	if other == "" {
		has := cmp.Or(abbreviate(f.src.Names()), "no tensors")
		return fmt.Errorf("it holds no %s; it has %s", wanted, has)
	}
	return failure.New(failure.Input, hint, "it holds no %s, only %.250s", wanted, other)
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
			return 0, fmt.Errorf("tensor %s has shape %v, expected [classes, width] with 2 to %d classes", name, shape,
				MaxClasses)
		}
		if classes != 0 && classes != shape[0] {
			return 0, fmt.Errorf("tensor %s has %d rows, but another label table has %d", name, shape[0], classes)
		}
		classes = shape[0]
	}
	return classes, nil
}

// averages reads the moving averages, or returns nil if there are none.
func (f *found) averages() (values map[string][]float32, from string, err error) {
	switch {
	case len(f.lists) > 0:
		return f.fromList()
	case len(f.average) == 0:
		return f.fromNames("moving averages", f.flat, undotted)
	}
	return f.fromNames("moving averages", f.average, plain)
}

// fromNames reads the parameters whose names follow the prefix, or returns nil if prefixes is empty. spell converts the
// name of a parameter to the form used in the file.
func (f *found) fromNames(
	what string, prefixes []string, spell func(string) string,
) (values map[string][]float32, from string, err error) {
	switch len(prefixes) {
	case 0:
		return nil, "", nil
	case 1:
	default:
		return nil, "", failure.New(failure.Input, prefixHint,
			"it holds %s under several prefixes, expected one: %s", what, abbreviate(quoted(prefixes)))
	}
	names, owner := make([]string, len(f.params)), map[string]string{}
	for i, p := range f.params {
		names[i] = prefixes[0] + spell(p.Name)
		if other, twice := owner[names[i]]; twice {
			return nil, "", fmt.Errorf("tensor %s may be %s or %s: both have this name without dots",
				names[i], other, p.Name)
		}
		owner[names[i]] = p.Name
	}
	values, err = f.read(what, f.params, names)
	return values, prefixes[0], err
}

const prefixHint = "--prefix=P selects the tensors whose names begin with P"

// fromList reads averages that are stored as a list without parameter names.
func (f *found) fromList() (values map[string][]float32, from string, err error) {
	if len(f.lists) > 1 {
		return nil, "", failure.New(failure.Input, prefixHint,
			"it holds several lists of moving averages, expected one: %s", abbreviate(quoted(f.lists)))
	}
	if len(f.list) != len(f.params) {
		return nil, "", fmt.Errorf("its list of moving averages has %d tensors, expected the %d parameters of the %s",
			len(f.list), len(f.params), f.kind)
	}
	names := make([]string, len(f.list))
	for i := range names {
		if names[i] = f.list[i]; names[i] == "" {
			return nil, "", fmt.Errorf("its list of moving averages has no entry %d, expected 0 to %d", i, len(names)-1)
		}
	}
	values, err = f.read("moving averages", f.ordered(), names)
	return values, f.lists[0], err
}

// ordered returns the parameters in the order of the file's state dict if the state dict has all parameters, and
// otherwise in the network's order.
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
					return nil, failure.New(failure.Input, "", "tensor %s holds %v, expected finite numbers", names[i], d)
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
		text += fmt.Sprintf("; %d with a different shape: %s", len(shaped), abbreviate(shaped))
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
