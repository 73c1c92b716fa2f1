package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/picture"
)

// archiveHint is the hint for an archive in a format that is not supported.
const archiveHint = "unpack it and give the folder; only zip files and tar archives (plain, .gz, .bz2, .xz or .zst) " +
	"can be read without unpacking"

const archiveFormats = "a zip file or a tar archive"

// listArchive lists the members of an archive. Zip files and plain tar archives are read in place. A compressed tar
// archive has no random access, so it is decompressed into a temporary file if its images are wanted.
func (c *collection) listArchive(ctx context.Context, wanted bool) error {
	c.data, c.dataSize = c.archive, c.size
	content, format, err := decompress(io.NewSectionReader(c.archive, 0, c.size))
	if err != nil {
		return damaged(c.path, err)
	}
	var members []entry
	switch format {
	case "":
		members, err = c.listPlain()
	default:
		members, err = c.listCompressed(ctx, content, format, wanted)
	}
	if err != nil {
		return damaged(c.path, err)
	}
	return c.take(members)
}

// listPlain lists an archive that is not compressed as a whole.
func (c *collection) listPlain() ([]entry, error) {
	if c.size == 0 {
		return nil, fileError("check how the file was made", c.path, "format", archiveFormats, "an empty file")
	}
	section := io.NewSectionReader(c.archive, 0, c.size)
	head, err := bufio.NewReaderSize(io.NewSectionReader(c.archive, 0, c.size), 512).Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if format := formatOf(head); format == "zip" || format == "program" {
		return c.listZip()
	}
	if err := c.otherFormat(head, ""); err != nil {
		return nil, err
	}
	return c.listTar(section, func() int64 { return offset(section) })
}

// otherFormat returns an error if head, the first bytes of a file that should be a tar archive, shows another format.
// outer is the compression format of the file, or "" if it is not compressed.
func (c *collection) otherFormat(head []byte, outer string) error {
	format := formatOf(head)
	switch {
	case format == "":
		return nil
	case format == "web page":
		return fileError("the download failed; get the file again", c.path, "format", "an archive", "a web page")
	case outer != "":
		return fileError("decompress it, and give the resulting file", c.path, "format",
			"a tar archive in the "+outer+" file", "another format, %s", format)
	case picture.Named("x." + strings.ToLower(format)):
		return fileError("give the folder that holds the image", c.path, "format", archiveFormats, "one image")
	}
	return fileError(archiveHint, c.path, "format", archiveFormats, "another format, %s", format)
}

// offset returns how many bytes of a section have been read.
func offset(s *io.SectionReader) int64 {
	at, _ := s.Seek(0, io.SeekCurrent) // fails only for a negative offset
	return at
}

// listCompressed lists a compressed tar archive. Its uncompressed size is bounded, because a small file can expand to
// any size.
func (c *collection) listCompressed(
	ctx context.Context, content io.Reader, format string, wanted bool,
) (members []entry, err error) {
	limit := maxSlack + maxRatio*c.size
	in := &counter{r: content, ctx: ctx, left: limit}
	whole := bufio.NewReaderSize(in, 1<<16)
	head, err := whole.Peek(8)
	if err == nil {
		err = c.otherFormat(head, format)
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	switch {
	case err != nil:
	case wanted:
		c.unpacked, err = unpack(whole)
		if errors.Is(err, errTrailing) { // listing the archive shows whether it is complete
			c.notes, err = append(c.notes, noteTrailing), nil
		}
		if err == nil {
			c.data, c.dataSize = c.unpacked, in.n
			section := io.NewSectionReader(c.data, 0, in.n)
			members, err = c.listTar(section, func() int64 { return offset(section) })
		}
	default:
		c.data = nil // no copy of the decompressed archive is kept, so images cannot be read
		members, err = c.listTar(whole, func() int64 { return 0 })
	}
	if errors.Is(err, errBomb) {
		return nil, fileError("unpack it, if you trust it, and give the folder", c.path, "archive",
			fmt.Sprintf("at most %d bytes uncompressed (%d times its size, plus %d)", limit, maxRatio, maxSlack), "more")
	}
	return members, err
}

// counter counts the bytes that are read from r. It returns errBomb if they exceed a limit.
type counter struct {
	r       io.Reader
	ctx     context.Context
	n, left int64
}

// errBomb reports data that expand far more than images do.
var errBomb = errors.New("it expands beyond the limit")

func (c *counter) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.left -= int64(n); c.left < 0 {
		return n, errBomb
	}
	return n, err
}

// unpack copies its input to a temporary file. The file is unlinked at once, so it disappears when the process ends,
// even if the process is killed. If the error is errTrailing, the returned file is valid too.
func unpack(in io.Reader) (*os.File, error) {
	const hint = "set TMPDIR to a directory that can hold the decompressed archive, or unpack it and give the folder"
	file, err := os.CreateTemp("", "vapo-tar-")
	if err != nil {
		return nil, failure.New(failure.Resources, hint, "decompressing: %w", err)
	}
	err = os.Remove(file.Name())
	if err == nil {
		_, err = io.Copy(file, in)
	}
	if err == nil || errors.Is(err, errTrailing) {
		return file, err
	}
	file.Close()
	if failure.ClassOf(err) == failure.Resources {
		err = failure.New(failure.Resources, hint, "decompressing: %w", err)
	}
	return nil, err
}
