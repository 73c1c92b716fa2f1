package picture

import (
	"bytes"
	"fmt"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// signatures lists the bytes at a given offset by which files of other kinds are recognised. Such files often have the
// extension of an image.
var signatures = []struct {
	at     int
	begins string
	kind   string
}{
	{4, "ftypavif", "an AVIF image"},
	{4, "ftypavis", "an AVIF animation"},
	{4, "ftypheic", "a HEIC image"},
	{4, "ftypheix", "a HEIC image"},
	{4, "ftypheim", "a HEIC image"},
	{4, "ftypheis", "a HEIC image"},
	{4, "ftypmif1", "a HEIF image"},
	{4, "ftypmsf1", "a HEIF animation"},
	{4, "ftypjxl ", "a JPEG XL image"},
	{4, "JXL \r\n\x87\n", "a JPEG XL image"},
	{0, "\xff\x0a", "a JPEG XL image"},
	{4, "jP  \r\n\x87\n", "a JPEG 2000 image"},
	{0, "\xff\x4f\xff\x51", "a JPEG 2000 image"},
	{0, "II*\x00", "a TIFF or raw image"},
	{0, "MM\x00*", "a TIFF or raw image"},
	{0, "8BPS", "a Photoshop file"},
	{0, "P1", "a PNM image"},
	{0, "P2", "a PNM image"},
	{0, "P3", "a PNM image"},
	{0, "P4", "a PNM image"},
	{0, "P5", "a PNM image"},
	{0, "P6", "a PNM image"},
	{0, "\x00\x00\x01\x00", "an icon"},
	{0, "%PDF", "a PDF document"},
	{0, "<svg", "an SVG drawing"},
}

// foreign returns an error for data in none of the formats. The error says what the data appears to be.
func foreign(data []byte) error {
	if err := program.StandInHead(data[:min(len(data), 64)]); err != nil {
		return failure.New(failure.Input, failure.HintOf(err), "%w, expected %s", err, expected)
	}
	for _, s := range signatures {
		if len(data) > s.at && bytes.HasPrefix(data[s.at:], []byte(s.begins)) {
			return failure.New(failure.Input, "convert it to PNG or JPEG", "it is %s, expected %s", s.kind, expected)
		}
	}
	return fmt.Errorf("its first bytes, % x, are not those of %s", data[:min(len(data), 8)], expected)
}

const expected = "a PNG, JPEG, GIF, BMP or WebP image"
