package source

import (
	"path"
	"slices"
	"strings"

	"vapo/lib/picture"
)

// maxHops bounds the length of a chain of links, as Linux does.
const maxHops = 40

// tree holds the members of an archive by their paths.
type tree struct {
	members []entry
	places  map[string]int  // index of the last member of each path
	folders map[string]bool // the directories of all paths, computed on demand
}

// take adds the images among the members of an archive to the collection. If several members have the same path, the
// last one counts, as it does when an archive is unpacked.
func (c *collection) take(members []entry) error {
	decodeNames(members, c.encoding)
	members = slices.DeleteFunc(members, func(e entry) bool { return strings.HasSuffix(e.name, "/") }) // a directory
	t := &tree{members: members, places: make(map[string]int, len(members))}
	for i := range members {
		e := &members[i]
		name, ok := inside(e.name)
		if !ok {
			if picture.Named(e.name) {
				return fileError("pack the folder again, from the directory above it", c.path, "name of a file in it",
					"a path below the top", "%.200q", e.name)
			}
			c.skip(e.name)
			name = ""
		}
		e.name = name
		before, twice := t.places[name]
		if twice && e.kind == hardlink && path.Clean(e.link) == name {
			continue // tar writes such a link if it is given a file twice
		}
		if twice && name != "" && !hidden(name) && members[before].kind != special {
			c.replaced.add(name)
		}
		t.places[name] = i
	}
	for i := range members {
		e := &members[i]
		if e.name == "" || t.places[e.name] != i || hidden(e.name) {
			continue
		}
		if err := c.takeOne(t, e); err != nil {
			return err
		}
	}
	slices.SortFunc(c.images, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return nil
}

// takeOne adds a member if it is an image. A link to a file in the archive counts as that file.
func (c *collection) takeOne(t *tree, e *entry) error {
	named := picture.Named(e.name)
	target, why := t.follow(e)
	switch {
	case target == nil && (named || e.kind != special):
		c.unread.add(e.name + ": " + why)
		return nil
	case !named:
		c.skip(e.name)
		return nil
	}
	image := *target
	image.name, image.known = e.name, e.known
	return c.add(image)
}

// Reasons why a link has no target.
const (
	whySpecial = "it is neither a file nor a folder"
	whyFolder  = "it is a link to a folder"
	whyNowhere = "the link leads nowhere"
	whyOut     = "the link leads out of the archive"
	whyCircle  = "the link leads in a circle"
)

// follow returns the regular file that e is or links to, or the reason why there is none. Links are resolved by names
// in the archive, never on disk. The work for each link is bounded, whatever the archive contains.
func (t *tree) follow(e *entry) (target *entry, why string) {
	switch e.kind {
	case regular:
		return e, ""
	case special:
		return nil, whySpecial
	}
	at := parent(e.name) // the directory that has been reached
	var rest []string    // what is left of the path
	for hops, steps := 0, 0; ; {
		if hops++; hops > maxHops {
			return nil, whyCircle
		}
		switch {
		case len(e.link) > maxLink:
			return nil, whyNowhere
		case e.kind == hardlink: // its target is a path from the top of the archive
			at = ""
		case strings.HasPrefix(e.link, "/"):
			return nil, whyOut
		}
		rest = append(strings.Split(e.link, "/"), rest...)
		for e = nil; e == nil && len(rest) > 0; {
			name := rest[0]
			rest = rest[1:]
			if steps++; steps > maxName || len(at) > maxName {
				return nil, whyNowhere
			}
			switch {
			case name == "" || name == ".":
			case name == ".." && at == "":
				return nil, whyOut
			case name == "..":
				at = parent(at)
			default:
				next := path.Join(at, name)
				if i, ok := t.places[next]; ok && (t.members[i].kind == symlink || t.members[i].kind == hardlink) {
					e = &t.members[i]
				} else {
					at = next
				}
			}
		}
		if e == nil {
			break
		}
	}
	if i, ok := t.places[at]; ok && t.members[i].kind == regular {
		return &t.members[i], ""
	}
	if t.isFolder(at) {
		return nil, whyFolder
	}
	return nil, whyNowhere
}

// parent returns the directory of a path, or "" if the path is at the top.
func parent(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

// isFolder reports whether the path has members below it.
func (t *tree) isFolder(at string) bool {
	if t.folders == nil {
		t.folders = map[string]bool{"": true}
		for name := range t.places {
			if len(name) > maxName {
				continue
			}
			for dir := parent(name); !t.folders[dir]; dir = parent(dir) {
				t.folders[dir] = true
			}
		}
	}
	return t.folders[at]
}
