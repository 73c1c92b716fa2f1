package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// The published CelebA has 202,599 aligned faces of 178x218 pixels, 000001.jpg to 202599.jpg. The number of an image
// determines whether it is for training, validation or testing (Liu et al., "Deep Learning Face Attributes in the
// Wild", ICCV 2015).
const (
	celebaImages     = 202599
	celebaTrain      = 162770 // number of the last training image
	celebaValid      = 182637 // number of the last validation image
	celebaFolder     = "img_align_celeba"
	celebaPartition  = "list_eval_partition.txt"
	maxPartitionFile = 64 << 20 // bytes; the published list has 2.8 million
	celebaHint       = "download img_align_celeba.zip and list_eval_partition.txt " +
		"(mmlab.ie.cuhk.edu.hk/projects/CelebA.html) and give the archive, or the folder it unpacks to, as --path"
)

// The usual preprocessing of CelebA for generative models: crop the central 140x140 pixels, then resize them to 64x64.
const (
	CelebACrop = 140
	CelebASize = 64
)

const listHint = "give each image a line in " + celebaPartition +
	": its file name, and 0 (train), 1 (valid) or 2 (test)"

var celebaSplits = []string{"train", "valid", "test"}

// locateCelebA returns the folder or archive of the images, and the partition list next to them ("" if it is missing).
func locateCelebA(where string) (images, partition string, err error) {
	if err := present(where, celebaHint); err != nil {
		return "", "", err
	}
	images = where
	for _, name := range []string{celebaFolder, celebaFolder + ".zip"} {
		if _, err := os.Stat(filepath.Join(where, name)); err == nil {
			images = filepath.Join(where, name)
			break
		}
	}
	for _, dir := range []string{images, filepath.Dir(filepath.Clean(images))} {
		if info, err := os.Stat(filepath.Join(dir, celebaPartition)); err == nil && info.Mode().IsRegular() {
			return images, filepath.Join(dir, celebaPartition), nil
		}
	}
	return images, "", nil
}

// openCelebA lists the images and divides them into the splits train, test and, if it has any images, valid.
func (f *ImageFiles) openCelebA(ctx context.Context) ([]part, error) {
	images, partition, err := locateCelebA(f.opt.Path)
	if err != nil {
		return nil, err
	}
	f.opt.Path = images
	if f.c, err = openCollection(ctx, images, nil, true); err != nil {
		return nil, err
	}
	var list map[string]int
	if partition != "" {
		data, file, err := readPartition(partition)
		if err != nil {
			return nil, err
		}
		f.extra = []File{file}
		if list, err = decodePartition(partition, data); err != nil {
			return nil, err
		}
	}
	if f.opt.Verify {
		if err := f.c.checkCelebA(); err != nil {
			return nil, err
		}
	}
	var indices [3][]int
	for i, name := range f.c.names() {
		split, err := celebaSplit(f.c.file(i), path.Base(name), list)
		if err != nil {
			return nil, err
		}
		indices[split] = append(indices[split], i)
	}
	parts := []part{{"train", indices[0], f.opt.Train}, {"test", indices[2], f.opt.Test}}
	for _, p := range parts {
		if len(p.indices) == 0 {
			return nil, fileError("mark training (0) and test images (2) in list_eval_partition.txt next to the images",
				images, p.name+" images", "one or more", "none of %d", len(f.c.images))
		}
	}
	if len(indices[1]) > 0 {
		parts = append(parts, part{name: "valid", indices: indices[1]})
	}
	return parts, nil
}

func readPartition(path string) ([]byte, File, error) {
	f, err := openHashed(path)
	if err != nil {
		return nil, File{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPartitionFile+1))
	file, closing := f.finish()
	if err := errors.Join(err, closing); err != nil {
		return nil, File{}, err
	}
	if len(data) > maxPartitionFile {
		return nil, File{}, fileError(listHint, path, "size", fmt.Sprintf("at most %d bytes", maxPartitionFile), "more")
	}
	return data, file, nil
}

// checkCelebA returns an error unless the collection has each image number of the published set exactly once.
func (c *collection) checkCelebA() error {
	if len(c.images) != celebaImages {
		return fileError("get the whole archive, or give --no-verify to read a part of it", c.path, "images",
			fmt.Sprintf("the %d of the published celeba", celebaImages), "%d", len(c.images))
	}
	seen := make([]bool, celebaImages+1)
	for i, name := range c.names() {
		n, err := celebaNumber(c.file(i), path.Base(name))
		if err != nil {
			return err
		}
		if seen[n] {
			return fileError("remove one of the images with this number, or give --no-verify", c.file(i), "number",
				"one that no other image has", "%d a second time", n)
		}
		seen[n] = true
	}
	return nil
}

func celebaNumber(file, base string) (int, error) {
	digits := strings.TrimSuffix(base, path.Ext(base))
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > celebaImages || len(digits) != 6 {
		return 0, fileError("remove it, or list the split of every image in "+celebaPartition, file, "name",
			fmt.Sprintf("000001.jpg to %d.jpg", celebaImages), "%q", base)
	}
	return n, nil
}

// celebaSplit returns the split of an image as an index into celebaSplits. base is the name of the image file. If list
// is nil, the number in base determines the split; otherwise list does.
func celebaSplit(file, base string, list map[string]int) (int, error) {
	if list != nil {
		split, ok := list[base]
		if !ok {
			return 0, fileError(listHint, file, "line of "+celebaPartition, "one with "+base, "none")
		}
		return split, nil
	}
	n, err := celebaNumber(file, base)
	switch {
	case err != nil:
		return 0, err
	case n <= celebaTrain:
		return 0, nil
	case n <= celebaValid:
		return 1, nil
	}
	return 2, nil
}

// decodePartition reads CelebA's list_eval_partition.txt. Each line has a file name and 0 (train), 1 (valid) or 2
// (test). name is the list's file name, for errors.
func decodePartition(name string, data []byte) (map[string]int, error) {
	list := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		line := fmt.Sprintf("line %d", n)
		if len(fields) != 2 || len(fields[1]) != 1 || fields[1] < "0" || fields[1] > "2" || !fs.ValidPath(fields[0]) {
			return nil, fileError(listHint, name, line, "a file name and 0, 1 or 2", "%.100q", lines.Text())
		}
		if _, twice := list[fields[0]]; twice {
			return nil, fileError(listHint, name, line, "a name that no earlier line has", "%q again", fields[0])
		}
		list[fields[0]] = int(fields[1][0] - '0')
	}
	if err := lines.Err(); err != nil {
		return nil, fileError(listHint, name, "lines",
			fmt.Sprintf("less than %d bytes each", bufio.MaxScanTokenSize), "a longer one")
	}
	return list, nil
}
