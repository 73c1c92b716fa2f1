package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// The published CelebA: 202,599 aligned faces of 178x218 pixels, 000001.jpg to 202599.jpg, whose partition into training,
// validation and test images is by number (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015).
const (
	celebaImages     = 202599
	celebaTrain      = 162770 // the last number of the training images
	celebaValid      = 182637 // and of the validation images
	celebaFolder     = "img_align_celeba"
	celebaPartition  = "list_eval_partition.txt"
	maxPartitionFile = 64 << 20 // bytes; the published one has 2.8 million
	celebaHint       = "download img_align_celeba.zip and list_eval_partition.txt (mmlab.ie.cuhk.edu.hk/projects/CelebA.html) and give the archive, or the folder it unpacks to, as path"
)

// CelebA's recipe in the literature of generative models: the middle 140 pixels, brought to 64.
const (
	CelebACrop = 140
	CelebASize = 64
)

var celebaSplits = []string{"train", "valid", "test"}

// locateCelebA returns where the images are, and the partition file if it lies beside them, or "".
func locateCelebA(where string) (images, partition string, err error) {
	if err := present("celeba", where, celebaHint); err != nil {
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

func (p *Pictures) openCelebA() ([]part, error) {
	images, partition, err := locateCelebA(p.o.Path)
	if err != nil {
		return nil, err
	}
	p.o.Path = images
	if p.c, err = openCollection(images); err != nil {
		return nil, err
	}
	var of map[string]int
	if partition != "" {
		var data []byte
		if data, p.beside, err = readBeside(partition); err != nil {
			return nil, err
		}
		if of, err = DecodePartition(partition, data); err != nil {
			return nil, err
		}
	}
	if p.o.Verify {
		if err := p.c.wholeCelebA(); err != nil {
			return nil, err
		}
	}
	parts := []part{{name: "train", first: p.o.Train}, {name: "valid"}, {name: "test", first: p.o.Test}}
	for i, name := range p.c.names {
		split, err := celebaSplit(p.c.file(i), path.Base(name), of)
		if err != nil {
			return nil, err
		}
		parts[split].indices = append(parts[split].indices, i)
	}
	for _, part := range parts[:3:3] {
		if len(part.indices) == 0 && part.name != "valid" {
			return nil, chosen("say in list_eval_partition.txt, beside the images, which are for training (0) and which for testing (2)", images, part.name+" images", "one or more", "none of %d", len(p.c.names))
		}
	}
	if len(parts[1].indices) == 0 {
		return []part{parts[0], parts[2]}, nil
	}
	return []part{parts[0], parts[2], parts[1]}, nil
}

// readBeside reads a small file whole.
func readBeside(path string) ([]byte, []File, error) {
	f, err := openHashed(path)
	if err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(&limitedTo{f, maxPartitionFile})
	file, closing := f.finish()
	if err := errors.Join(err, closing); err != nil {
		return nil, nil, err
	}
	return b.Bytes(), []File{file}, nil
}

// limitedTo reads at most left bytes, and fails beyond.
type limitedTo struct {
	r    *hashed
	left int
}

func (l *limitedTo) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= n; l.left < 0 {
		return 0, fileError(l.r.file.Name(), "size", fmt.Sprintf("at most %d bytes", maxPartitionFile), "more")
	}
	return n, err
}

// wholeCelebA returns an error where the images are not those of the published set, by number and names.
func (c *collection) wholeCelebA() error {
	const hint = " (to read a part of it: --no-verify)"
	if len(c.names) != celebaImages {
		return chosen("get the whole archive, or give --no-verify to read a part of it", c.path, "images", fmt.Sprintf("%d of the published celeba%s", celebaImages, hint), "%d", len(c.names))
	}
	seen := make([]bool, celebaImages+1)
	for i, name := range c.names {
		n, err := celebaNumber(c.file(i), path.Base(name))
		if err != nil {
			return err
		}
		if seen[n] {
			return fileError(c.file(i), "number", "one not met before"+hint, "%d again", n)
		}
		seen[n] = true
	}
	return nil
}

func celebaNumber(file, base string) (int, error) {
	digits := strings.TrimSuffix(base, path.Ext(base))
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > celebaImages || len(digits) != 6 {
		return 0, fileError(file, "name", fmt.Sprintf("000001.jpg to %d.jpg", celebaImages), "%q", base)
	}
	return n, nil
}

// celebaSplit returns the split of an image: of is the partition file's, nil for that by number.
func celebaSplit(file, base string, of map[string]int) (int, error) {
	if of != nil {
		split, ok := of[base]
		if !ok {
			return 0, fileError(file, "line of "+celebaPartition, "one with "+base, "none")
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

// DecodePartition reads CelebA's list_eval_partition.txt: lines of a file name and 0 (train), 1 (valid) or 2 (test). name is for the
// errors, which are a *FileError.
func DecodePartition(name string, data []byte) (map[string]int, error) {
	of := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		line := fmt.Sprintf("line %d", n)
		if len(fields) != 2 || len(fields[1]) != 1 || fields[1] < "0" || fields[1] > "2" || !fs.ValidPath(fields[0]) {
			return nil, fileError(name, line, "a file name and 0, 1 or 2", "%.100q", lines.Text())
		}
		if _, twice := of[fields[0]]; twice {
			return nil, fileError(name, line, "a name not met before", "%q again", fields[0])
		}
		of[fields[0]] = int(fields[1][0] - '0')
	}
	if err := lines.Err(); err != nil {
		return nil, fileError(name, "lines", "short ones", "one that is too long (%v)", err)
	}
	return of, nil
}
