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

	"vapo/lib/dataset"
)

// A record of CIFAR-10's binary version: one label byte, then the red, green and blue planes of 32 x 32 pixels.
const (
	cifarSide    = 32
	cifarPixels  = 3 * cifarSide * cifarSide
	cifarRecord  = 1 + cifarPixels
	cifarRecords = 10000 // number of records in a published batch file
)

const cifarTestBatch = "test_batch.bin"

// cifarBatches lists the members of the archive that hold records, training batches first.
var cifarBatches = []string{
	"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", cifarTestBatch,
}

// locateCIFAR returns the path of the archive or, if where is a directory, the paths of the batch files in it or in its
// subdirectory cifar-10-batches-bin.
func locateCIFAR(where string) ([]string, error) {
	info, err := os.Stat(where)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return []string{where}, nil
	}
	if !info.IsDir() {
		return nil, fileError(where, "file type", "an archive or a directory", "%v", info.Mode().Type())
	}
	for _, dir := range []string{where, filepath.Join(where, "cifar-10-batches-bin")} {
		if _, err := os.Stat(filepath.Join(dir, cifarBatches[0])); err != nil {
			continue
		}
		var files []string
		for _, b := range cifarBatches {
			files = append(files, filepath.Join(dir, b))
		}
		return files, nil
	}
	return nil, fmt.Errorf("%s: no %s: %w", where, cifarBatches[0], fs.ErrNotExist)
}

// DecodeCIFAR reads a batch file of CIFAR-10's binary version: 1 to 10,000 records and nothing else. pixels is [n, 3,
// 32, 32], labels is [n]. name is the name of the file in errors.
func DecodeCIFAR(name string, r io.Reader) (pixels []uint8, labels []int64, err error) {
	record := make([]byte, cifarRecord)
	var raw []uint8
	for i := 0; ; i++ {
		n, err := io.ReadFull(r, record)
		switch {
		case errors.Is(err, io.EOF) && i > 0:
			labels, err := widenLabels(name, raw, len(cifar10.classes))
			return pixels, labels, err
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil, fileError(name, fmt.Sprintf("record %d", i), fmt.Sprintf("%d bytes", cifarRecord),
				"%d (truncated)", n)
		case err != nil:
			return nil, nil, err
		case i == cifarRecords:
			return nil, nil, fileError(name, "records", fmt.Sprintf("at most %d", cifarRecords), "more")
		}
		raw = append(raw, record[0])
		pixels = append(pixels, record[1:]...)
	}
}

// cifarSet collects the batches of an archive or a directory, which may come in any order.
type cifarSet struct {
	*loader
	batches map[string]*dataset.Images
}

// add decodes one batch and, if requested, compares its checksum with the published one.
func (c *cifarSet) add(name, batch string, r io.Reader) error {
	if c.batches[batch] != nil {
		return fileError(name, "archive", "each batch once", "it twice")
	}
	sum := sha256.New()
	pixels, labels, err := DecodeCIFAR(name, io.TeeReader(r, sum))
	if err != nil {
		return err
	}
	if c.verify && len(labels) != cifarRecords {
		return fileError(name, "records", fmt.Sprint(cifarRecords), "%d (truncated)", len(labels))
	}
	c.batches[batch] = &dataset.Images{N: len(labels), C: 3, H: cifarSide, W: cifarSide, Pixels: pixels, Labels: labels}
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
			return nil, nil, fileError(where, "batches", batch, "none of that name")
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

// cifarFiles reads the six batch files of a directory.
func (l *loader) cifarFiles(dir string) (train, test *dataset.Images, err error) {
	c := &cifarSet{l, map[string]*dataset.Images{}}
	for _, batch := range cifarBatches {
		name := filepath.Join(dir, batch)
		err := l.open(name, func(r io.Reader) error { return c.add(name, batch, bufio.NewReaderSize(r, 1<<16)) })
		if err != nil {
			return nil, nil, err
		}
	}
	return c.join(dir)
}

// decodeCIFARArchive reads a tar archive, with or without gzip compression. It skips members other than the batches and
// limits the uncompressed size of the archive.
func (l *loader) decodeCIFARArchive(name string, r io.Reader) (train, test *dataset.Images, err error) {
	plain, err := gunzip(r)
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
		if err == nil && h.Typeflag == tar.TypeReg && slices.Contains(cifarBatches, path.Base(h.Name)) {
			err = c.add(name+":"+h.Name, path.Base(h.Name), members)
		}
		if err != nil {
			if bounded.N <= 0 {
				return nil, nil, fileError(name, "archive", fmt.Sprintf("at most %d bytes uncompressed", maxDecoded), "more")
			}
			return nil, nil, damaged(name, err)
		}
	}
	// Read the rest of the gzip stream after the tar archive: its last bytes are its checksum.
	if _, err := io.Copy(io.Discard, bounded); err != nil {
		return nil, nil, damaged(name, err)
	}
	return c.join(name)
}
