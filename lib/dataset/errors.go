package dataset

import "fmt"

// NotFoundError says that the files of a source are not where they were looked for. Hint says how to get them.
type NotFoundError struct {
	Source string
	Path   string
	Reason string
	Hint   string
}

func (e *NotFoundError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %s", e.Source, e.Reason)
	}
	return fmt.Sprintf("%s: %s: %s", e.Source, e.Path, e.Reason)
}

// FileError says that a file of a source is not what it should be: truncated, of another format, or inconsistent with
// the file beside it.
type FileError struct {
	Path string
	What string // what was looked at: "magic number", "records"
	Want string
	Got  string
	Hint string // what to do about it; "" where only another file helps
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s: %s: expected %s, got %s", e.Path, e.What, e.Want, e.Got)
}

func fileError(path, what, want, format string, args ...any) error {
	return &FileError{Path: path, What: what, Want: want, Got: fmt.Sprintf(format, args...)}
}

// chosen is a fileError that another choice of parameters helps against.
func chosen(hint, path, what, want, format string, args ...any) error {
	return &FileError{Path: path, What: what, Want: want, Got: fmt.Sprintf(format, args...), Hint: hint}
}

// ChecksumError says that the bytes of a file are not those they should be: of the published data set, of the compressed
// file's own checksum, or of the digest asked for.
type ChecksumError struct {
	Path string
	Of   string // whose checksum it is: "the published fashion-mnist"
	Want string
	Got  string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: checksum of %s: expected %s, got %s", e.Path, e.Of, e.Want, e.Got)
}
