package source

import (
	"context"
	"os"
	"slices"
	"strings"
)

// imageFiles returns the files that determine the digest of a collection: its images or its archive, and the partition
// list if there is one.
func imageFiles(path, partition, hint string) ([]File, error) {
	if err := present(path, hint); err != nil {
		return nil, err
	}
	c, err := openCollection(context.Background(), path, nil, false)
	if err != nil {
		return nil, err
	}
	defer c.close()
	files, err := c.files()
	if err != nil || partition == "" {
		return files, err
	}
	_, list, err := readPartition(partition)
	return append(files, list), err
}

// files hashes the files that identify the collection: the archive, or every image of a folder. Images are sorted by
// their names on disk, which unlike decoded names do not depend on an encoding.
func (c *collection) files() ([]File, error) {
	if c.archive != nil {
		file, err := hashFile(c.path)
		file.Name = archiveName
		return []File{file}, err
	}
	files := make([]File, len(c.images))
	for i := range c.images {
		var err error
		if files[i], err = hashFile(c.place(&c.images[i])); err != nil {
			return nil, err
		}
		files[i].Name = c.images[i].raw
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// merged describes the images of a folder as one File.
func merged(images []File) File {
	if len(images) == 1 {
		return images[0]
	}
	folder := File{Name: folderName, SHA256: strings.TrimPrefix(digestOf(images), "sha256:")}
	for _, f := range images {
		folder.Bytes += f.Bytes
	}
	return folder
}

// checkUnchanged returns an error if an archive has changed since it was opened.
func (c *collection) checkUnchanged() error {
	if c.archive == nil {
		return nil
	}
	info, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	if info.Size() != c.size || !info.ModTime().Equal(c.changed) {
		return checksumError(changedHint, c.path, "the archive", "the one at the time of opening",
			"another one, because the file changed while it was read")
	}
	return nil
}
