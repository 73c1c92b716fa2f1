package source

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vapo/lib/random"
)

// splitFolders maps the names of folders that hold a split, in lower case, to the splits.
var splitFolders = map[string]string{
	"train": "train", "training": "train",
	"test": "test", "testing": "test",
	"val": "valid", "valid": "valid", "validation": "valid",
}

// common returns the length in bytes of the directory prefix that all paths share.
func common(names []string) int {
	shared := names[0][:strings.LastIndex(names[0], "/")+1]
	for _, name := range names {
		for !strings.HasPrefix(name, shared) {
			shared = shared[:strings.LastIndex(strings.TrimSuffix(shared, "/"), "/")+1]
		}
	}
	return len(shared)
}

// maxLevels bounds how many levels of folders are searched for the folders of splits.
const maxLevels = 8

// aboveSplits returns the path of the directory that contains the folders of splits, with a trailing slash.
func aboveSplits(names []string) (above string, found bool) {
	above = names[0][:common(names)]
	for range maxLevels {
		folders, splits := map[string]bool{}, map[string]bool{}
		for _, name := range names {
			rest, below := strings.CutPrefix(name, above)
			if top, _, ok := strings.Cut(rest, "/"); below && ok {
				folders[top] = true
				if split, ok := splitFolders[strings.ToLower(top)]; ok {
					splits[split] = true
				}
			}
		}
		if len(splits) > 1 {
			return above, true
		}
		if len(folders) != 1 {
			break
		}
		for top := range folders {
			above += top + "/"
		}
	}
	return "", false
}

// divided finds the splits of a collection with folders train and test, below any number of shared folders. If there is
// no test folder, a validation folder is the test split. The indices of each split are shuffled. rests holds the path
// of each image below its folder. If there are no such folders, splits is nil.
func (c *collection) divided(seed uint64) (splits map[string][]int, rests []string, err error) {
	names := c.names()
	above, found := aboveSplits(names)
	if !found {
		return nil, nil, nil
	}
	splits, rests = map[string][]int{}, make([]string, len(names))
	var other Tally
	for i, name := range names {
		rest, below := strings.CutPrefix(name, above)
		top, rest, deeper := strings.Cut(rest, "/")
		split, ok := splitFolders[strings.ToLower(top)]
		if !below || !deeper || !ok {
			other.add(c.file(i))
			continue
		}
		splits[split] = append(splits[split], i)
		rests[i] = rest
	}
	if other.N > 0 {
		return nil, nil, fileError("move them, or give the folder of one split as --path", c.path,
			fmt.Sprintf("folders of splits (%s)", strings.Join(slices.Sorted(maps.Keys(splits)), ", ")),
			"every image in one of them", "%d elsewhere, the first is %s", other.N, other.First)
	}
	if splits["train"] == nil {
		return nil, nil, fileError("rename the folder of the training images to train", c.path, "folders of splits",
			"one for training", "only %s", strings.Join(slices.Sorted(maps.Keys(splits)), " and "))
	}
	if splits["test"] == nil {
		c.notes = append(c.notes, "there is no test folder, so the validation images are the test split")
		splits["test"] = splits["valid"]
		delete(splits, "valid")
	}
	for name, indices := range splits {
		dealt := make([]int, len(indices))
		for i, k := range random.New(seed, "dataset/images/"+name, 0).Perm(len(indices)) {
			dealt[i] = indices[k]
		}
		splits[name] = dealt
	}
	return splits, rests, nil
}

// directories labels each image with the first directory of its path below the directories that all paths share; many
// archives have one top directory that contains everything. If all images are in one directory, that is the only class.
func (c *collection) directories(names []string) (classes []string, labels []int64, err error) {
	prefix := common(names)
	deeper := func(name string) bool { return strings.Contains(name[prefix:], "/") }
	if prefix > 0 && !slices.ContainsFunc(names, deeper) {
		prefix = strings.LastIndex(names[0][:prefix-1], "/") + 1
	}
	found := map[string]int64{}
	var without Tally
	for i, name := range names {
		class, _, ok := strings.Cut(name[prefix:], "/")
		if !ok {
			without.add(c.file(i))
			continue
		}
		found[class] = 0
	}
	if without.N > 0 {
		return nil, nil, fileError("move them into the folder of their class, or leave out --labels", c.path, "directories",
			"one for each image, to be its label", "none for %d of %d images, the first is %s",
			without.N, len(names), without.First)
	}
	classes = slices.Sorted(maps.Keys(found))
	for i, class := range classes {
		found[class] = int64(i)
	}
	labels = make([]int64, len(names))
	for i, name := range names {
		class, _, _ := strings.Cut(name[prefix:], "/")
		labels[i] = found[class]
	}
	return classes, labels, nil
}
