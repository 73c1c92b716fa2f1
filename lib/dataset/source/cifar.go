package source

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/torchfile"
)

// A record of CIFAR-10's binary version: one label byte, then the red, green and blue planes of 32 x 32 pixels.
const (
	cifarSide    = 32
	cifarPixels  = 3 * cifarSide * cifarSide
	cifarRecord  = 1 + cifarPixels
	cifarRecords = 10000 // number of records in a published batch file
)

const (
	cifarExt       = ".bin"
	cifarTestBatch = "test_batch" + cifarExt
)

const cifarHint = "download CIFAR-10 (cifar-10-binary.tar.gz, or cifar-10-python.tar.gz with the same content) " +
	"and give the archive, or the directory it unpacks to, as --path"

// cifarBatches lists the members of the archive that hold records, training batches first.
var cifarBatches = []string{
	"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", cifarTestBatch,
}

// cifarFolders are the folders to which the archives of the two versions unpack.
var cifarFolders = []string{"cifar-10-batches-bin", "cifar-10-batches-py"}

// batchOf returns the batch that a file of this name holds, as an element of cifarBatches, or "". The Python version
// has the same batches, named without .bin. pickled reports whether file has a name of the Python version.
func batchOf(file string) (batch string, pickled bool) {
	base := path.Base(file)
	switch {
	case slices.Contains(cifarBatches, base):
		return base, false
	case slices.Contains(cifarBatches, base+cifarExt):
		return base + cifarExt, true
	}
	return "", false
}

// locateCIFAR returns the path of the archive or, if where is a directory, the paths of the batch files in it or in its
// subdirectory cifar-10-batches-bin or cifar-10-batches-py.
func locateCIFAR(where string) ([]string, error) {
	info, err := os.Stat(where)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return []string{where}, nil
	}
	if !info.IsDir() {
		return nil, fileError(cifarHint, where, "file type", "an archive or a directory",
			"something else (%v)", info.Mode().Type())
	}
	for _, dir := range append([]string{""}, cifarFolders...) {
		for _, ext := range []string{cifarExt, ""} {
			name := func(batch string) string {
				return filepath.Join(where, dir, strings.TrimSuffix(batch, cifarExt)+ext)
			}
			if info, err := os.Stat(name(cifarBatches[0])); err != nil || !info.Mode().IsRegular() {
				continue
			}
			var files []string
			for _, b := range cifarBatches {
				files = append(files, name(b))
			}
			return files, nil
		}
	}
	return nil, fmt.Errorf("%s contains neither %s nor %s: %w", where, cifarBatches[0],
		strings.TrimSuffix(cifarBatches[0], cifarExt), fs.ErrNotExist)
}

// decodeCIFAR reads a batch file of CIFAR-10's binary version: 1 to 10,000 records and nothing else. pixels is [n, 3,
// 32, 32], labels is [n]. name is the file name, for errors.
func decodeCIFAR(name string, r io.Reader) (pixels []uint8, labels []int64, err error) {
	record := make([]byte, cifarRecord)
	var raw []uint8
	for i := 0; ; i++ {
		n, err := io.ReadFull(r, record)
		switch {
		case errors.Is(err, io.EOF) && i > 0:
			labels, err := widenLabels(name, raw, len(cifar10.classes))
			return pixels, labels, err
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil, truncatedError(name, fmt.Sprintf("record %d", i), fmt.Sprintf("%d bytes", cifarRecord),
				"%d", n)
		case err != nil:
			return nil, nil, err
		case i == cifarRecords:
			return nil, nil, fileError(cifarHint, name, "records", fmt.Sprintf("at most %d", cifarRecords), "more")
		}
		raw = append(raw, record[0])
		pixels = append(pixels, record[1:]...)
	}
}

// maxCIFARPickle bounds a batch of the Python version; the published ones are 31 MB in size.
const maxCIFARPickle = 64 << 20

// decodeCIFARPickle reads a batch file of CIFAR-10's Python version: a pickled dictionary with the array data, [n,
// 3072] unsigned bytes, and the list labels. The results are those of decodeCIFAR.
func decodeCIFARPickle(name string, r io.Reader) (pixels []uint8, labels []int64, err error) {
	const hint = "write it again as a dictionary with data and labels, with pickle.dump(batch, file)"
	raw, err := io.ReadAll(io.LimitReader(r, maxCIFARPickle+1))
	if err != nil {
		return nil, nil, err
	}
	if len(raw) > maxCIFARPickle {
		return nil, nil, fileError(hint, name, "pickle", fmt.Sprintf("at most %d bytes", maxCIFARPickle), "more")
	}
	dict, err := torchfile.Dictionary(raw)
	switch {
	case failure.ClassOf(err) == failure.Input: // it is truncated
		return nil, nil, fmt.Errorf("%s: pickle: %w", name, err)
	case err != nil:
		return nil, nil, fileError(hint, name, "pickle", "a dictionary of NumPy arrays", "something else (%v)", err)
	}
	data, ok := dict["data"].(*torchfile.Array)
	list, ok2 := dict["labels"].([]int)
	n := len(list)
	if !ok || !ok2 || n == 0 || n > cifarRecords || !slices.Equal(data.Shape, []int{n, cifarPixels}) {
		got := "no such array"
		if ok {
			got = fmt.Sprintf("%v and %d labels", data.Shape, n)
		}
		return nil, nil, fileError(hint, name, "data",
			fmt.Sprintf("[n, %d] and n labels, n from 1 to %d", cifarPixels, cifarRecords), "%s", got)
	}
	small := make([]uint8, n)
	for i, label := range list {
		small[i] = uint8(min(max(label, 0), 255))
		if label < 0 {
			small[i] = 255 // a value that widenLabels rejects
		}
	}
	labels, err = widenLabels(name, small, len(cifar10.classes))
	return data.Data, labels, err
}

// cifarSet collects the batches of an archive or a directory, which may come in any order.
type cifarSet struct {
	*loader
	batches map[string]*dataset.Images
}

// add decodes one batch and, if requested, compares its checksum with the published one. The checksum is always that of
// the binary version, since both versions have the same content.
func (c *cifarSet) add(name, batch string, pickled bool, r io.Reader) error {
	if c.batches[batch] != nil {
		return fileError("give an archive or a folder of one version", name, "archive", "each batch once", "one twice")
	}
	decode := decodeCIFAR
	if pickled {
		decode = decodeCIFARPickle
	}
	pixels, labels, err := decode(name, r)
	if err != nil {
		return err
	}
	if c.verify && len(labels) != cifarRecords {
		return fileError("give --no-verify if this is not the published set", name, "records", fmt.Sprint(cifarRecords),
			"%d", len(labels))
	}
	c.batches[batch] = &dataset.Images{N: len(labels), C: 3, H: cifarSide, W: cifarSide, Pixels: pixels, Labels: labels}
	sum := sha256.New()
	for i, label := range labels {
		sum.Write([]byte{byte(label)})
		sum.Write(pixels[i*cifarPixels : (i+1)*cifarPixels])
	}
	return c.check(name, batch, sum.Sum(nil))
}

// join concatenates the batches in their published order.
func (c *cifarSet) join(where string) (train, test *dataset.Images, err error) {
	n := 0
	for _, b := range c.batches {
		n += len(b.Pixels)
	}
	train = &dataset.Images{C: 3, H: cifarSide, W: cifarSide, Pixels: make([]uint8, 0, n)}
	test = &dataset.Images{C: 3, H: cifarSide, W: cifarSide}
	for _, batch := range cifarBatches {
		b := c.batches[batch]
		if b == nil {
			return nil, nil, fileError(cifarHint, where, "batches", batch, "none of that name")
		}
		s := train
		if batch == cifarTestBatch {
			s = test
		}
		delete(c.batches, batch) // each batch can be freed once it is copied
		s.N += b.N
		s.Pixels = append(s.Pixels, b.Pixels...)
		s.Labels = append(s.Labels, b.Labels...)
	}
	return train, test, nil
}

func (l *loader) cifarFiles(paths []string) (train, test *dataset.Images, err error) {
	c := &cifarSet{l, map[string]*dataset.Images{}}
	for _, name := range paths {
		batch, pickled := batchOf(filepath.ToSlash(name))
		err := l.open(name, func(r io.Reader) error { return c.add(name, batch, pickled, bufio.NewReaderSize(r, 1<<16)) })
		if err != nil {
			return nil, nil, err
		}
	}
	return c.join(filepath.Dir(paths[0]))
}

// decodeCIFARArchive reads a tar archive, compressed or not. It skips members other than the batches and limits the
// uncompressed size of the archive.
func (l *loader) decodeCIFARArchive(name string, r io.Reader) (train, test *dataset.Images, err error) {
	plain, _, err := decompress(r)
	if err != nil {
		return nil, nil, damaged(name, err)
	}
	bounded := &io.LimitedReader{R: plain, N: maxDecoded}
	c := &cifarSet{l, map[string]*dataset.Images{}}
	members := tar.NewReader(bounded)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && tarKind(h.Typeflag) == regular {
			if batch, pickled := batchOf(h.Name); batch != "" {
				err = c.add(name+":"+h.Name, batch, pickled, members)
			}
		}
		switch {
		case err != nil && bounded.N <= 0:
			return nil, nil, fileError(cifarHint, name, "archive",
				fmt.Sprintf("at most %d bytes uncompressed", maxDecoded), "more")
		case errors.Is(err, tar.ErrHeader):
			return nil, nil, fileError(cifarHint, name, "format", "an intact tar archive",
				"something else, or a damaged one (%v)", err)
		case err != nil:
			return nil, nil, damaged(name, err)
		}
	}
	// Read the compressed data beyond the tar archive to their end, where the checksum is.
	if _, err := io.Copy(io.Discard, bounded); err != nil && !errors.Is(err, errTrailing) {
		return nil, nil, damaged(name, err)
	}
	return c.join(name)
}
