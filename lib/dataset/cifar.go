package dataset

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// A record of CIFAR-10's binary version: one label byte, then the red, green and blue planes of 32 x 32 pixels.
const (
	cifarSide    = 32
	cifarPixels  = 3 * cifarSide * cifarSide
	cifarRecord  = 1 + cifarPixels
	cifarRecords = 10000 // records of a published batch file
)

// cifarBatches are the members of the archive that hold records, training batches first.
var cifarBatches = []string{
	"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin",
}

const cifarTestBatch = "test_batch.bin"

// DecodeCIFAR reads a batch file of CIFAR-10's binary version: n records and nothing else, at least one and at most
// 10,000. pixels: uint8 [n, 3, 32, 32]. name is for the errors, which are a *FileError or those of r.
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
			return nil, nil, fileError(name, fmt.Sprintf("record %d", i), fmt.Sprintf("%d bytes", cifarRecord), "%d (truncated)", n)
		case err != nil:
			return nil, nil, err
		case i == cifarRecords:
			return nil, nil, fileError(name, "records", fmt.Sprintf("at most %d", cifarRecords), "more")
		}
		raw = append(raw, record[0])
		pixels = append(pixels, record[1:]...)
	}
}

// cifarReader collects the batches of an archive or a directory, in whatever order they come.
type cifarReader struct {
	verify bool
	found  map[string]*Images
}

// add decodes one batch and compares it with the published one.
func (c *cifarReader) add(name, batch string, r io.Reader) error {
	if c.found[batch] != nil {
		return fileError(name, "archive", "each batch once", "it twice")
	}
	sum := sha256.New()
	pixels, labels, err := DecodeCIFAR(name, io.TeeReader(r, sum))
	if err != nil {
		return err
	}
	if c.verify {
		if len(labels) != cifarRecords {
			return fileError(name, "records", fmt.Sprint(cifarRecords), "%d (truncated)", len(labels))
		}
		if err := checkPublished(name, "cifar10", batch, hex.EncodeToString(sum.Sum(nil))); err != nil {
			return err
		}
	}
	c.found[batch] = &Images{N: len(labels), C: 3, H: cifarSide, W: cifarSide, Pixels: pixels, Labels: labels}
	return nil
}

// sets joins the batches in their published order.
func (c *cifarReader) sets(where string) (train, test *Images, err error) {
	train, test = &Images{C: 3, H: cifarSide, W: cifarSide}, &Images{C: 3, H: cifarSide, W: cifarSide}
	n := 0
	for _, b := range c.found {
		n += len(b.Pixels)
	}
	train.Pixels = make([]uint8, 0, n)
	for _, batch := range cifarBatches {
		b := c.found[batch]
		if b == nil {
			return nil, nil, fileError(where, "batches", batch, "none of that name")
		}
		s := train
		if batch == cifarTestBatch {
			s = test
		}
		delete(c.found, batch) // let go of each batch when it is copied
		s.N += b.N
		s.Pixels = append(s.Pixels, b.Pixels...)
		s.Labels = append(s.Labels, b.Labels...)
	}
	return train, test, nil
}

// readCIFARArchive reads a tar file, compressed by gzip or not, told apart by its first bytes. Members other than the
// batches are skipped; what the archive expands to is bounded.
func readCIFARArchive(name string, r io.Reader, verify bool) (train, test *Images, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var plain io.Reader = in
	if head, err := in.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, damaged(name, err)
		}
		defer z.Close()
		plain = z
	}
	bounded := &io.LimitedReader{R: plain, N: maxDecoded}
	c := &cifarReader{verify: verify, found: map[string]*Images{}}
	members := tar.NewReader(bounded)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && h.Typeflag == tar.TypeReg && isBatch(path.Base(h.Name)) {
			err = c.add(name+":"+h.Name, path.Base(h.Name), members)
		}
		if err != nil {
			if bounded.N <= 0 {
				return nil, nil, fileError(name, "archive", fmt.Sprintf("at most %d bytes uncompressed", maxDecoded), "more")
			}
			return nil, nil, damaged(name, err)
		}
	}
	// The end of the tar comes before the end of the gzip stream, whose checksum is its last bytes.
	if _, err := io.Copy(io.Discard, bounded); err != nil {
		return nil, nil, damaged(name, err)
	}
	return c.sets(name)
}

// readCIFARFiles reads the six batch files from a directory.
func readCIFARFiles(dir string, open func(path string, decode func(io.Reader) error) error, verify bool) (train, test *Images, err error) {
	c := &cifarReader{verify: verify, found: map[string]*Images{}}
	for _, batch := range cifarBatches {
		name := filepath.Join(dir, batch)
		if err := open(name, func(r io.Reader) error { return c.add(name, batch, bufio.NewReaderSize(r, 1<<16)) }); err != nil {
			return nil, nil, err
		}
	}
	return c.sets(dir)
}

func isBatch(base string) bool {
	for _, b := range cifarBatches {
		if b == base {
			return true
		}
	}
	return false
}

// locateCIFAR returns the archive, or the batch files of a directory (its own or those in cifar-10-batches-bin).
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
	return nil, fmt.Errorf("no %s in this directory: %w", cifarBatches[0], os.ErrNotExist)
}
