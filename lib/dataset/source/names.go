package source

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// codePages maps names of encodings that Windows and Python use to names in the indexes below.
var codePages = map[string]string{
	"cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5", "cp1251": "windows-1251",
	"cp1252": "windows-1252", "latin-1": "latin1", "utf8": "utf-8", "utf16": "utf-16le",
}

// Encoding returns the encoding with the given name in the WHATWG index (gbk, shift_jis, latin1, ...) or the IANA index
// (cp437, ...). It returns nil for "". Errors name the parameter.
func Encoding(parameter, name string) (encoding.Encoding, error) {
	key := strings.ToLower(strings.TrimSpace(name))
	if key == "" {
		return nil, nil
	}
	if other, ok := codePages[key]; ok {
		key = other
	}
	if enc, err := htmlindex.Get(key); err == nil && enc != encoding.Replacement {
		return enc, nil
	}
	if enc, err := ianaindex.IANA.Encoding(key); err == nil && enc != nil {
		return enc, nil
	}
	return nil, fmt.Errorf("%s is %q; it must be the name of an encoding, such as gbk, shift_jis, big5, "+
		"euc-kr, cp437, cp866 or windows-1252", parameter, name)
}

// zipUTF8 is the flag of a member of a zip file whose name is UTF-8.
const zipUTF8 = 1 << 11

// decodeNames turns the names of entries, which are bytes, into text. Names that are marked as UTF-8 are UTF-8. The
// others are UTF-8 too if all of them are valid UTF-8, and otherwise in the given encoding. One name does not suffice
// to decide: the bytes of 猫 in GBK are those of è in UTF-8.
func decodeNames(entries []entry, names encoding.Encoding) {
	other := slices.ContainsFunc(entries, func(e entry) bool { return !e.marked && !utf8.ValidString(e.raw) })
	if !other {
		names = nil
	}
	for i := range entries {
		e := &entries[i]
		in := names
		if e.marked {
			in = nil
		}
		e.name, e.known = text(e.raw, in)
		e.link, _ = text(e.link, names)
		// Some programs for Windows separate directories with backslashes. As in Info-ZIP's unzip, backslashes are
		// separators only in a name without slashes. They are replaced after decoding, since a byte of a character in
		// Shift JIS or GBK can be a backslash.
		if e.zip != nil && e.known && !strings.Contains(e.name, "/") {
			e.name = strings.ReplaceAll(e.name, `\`, "/")
		}
	}
}

// text converts a name from an encoding (nil: UTF-8) to UTF-8, and reports whether it is valid in that encoding or in
// UTF-8. Otherwise, bytes that are not ASCII become escapes such as \xd5, so that different names stay different.
func text(raw string, in encoding.Encoding) (name string, known bool) {
	if in != nil {
		decoded, err := in.NewDecoder().String(raw)
		if known = err == nil && !strings.ContainsRune(decoded, utf8.RuneError); known {
			name = decoded
		}
	}
	if !known && utf8.ValidString(raw) {
		name, known = raw, true
	}
	if known {
		return strings.ReplaceAll(name, "\x00", `\x00`), true
	}
	var b strings.Builder
	for i := range len(raw) {
		if c := raw[i]; c == 0 || c >= utf8.RuneSelf {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String(), false
}

// unicodePath is the ID of Info-ZIP's extra field that holds the name in UTF-8.
const unicodePath = 0x7075

// unicodeName returns the name in the extra field unicodePath. The field counts only if it has the checksum of the
// member's name; otherwise some program has renamed the member and left the field as it was.
func unicodeName(f *zip.File) (name string, ok bool) {
	for extra := f.Extra; len(extra) >= 4; {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return "", false
		}
		field := extra[:size]
		extra = extra[size:]
		if id == unicodePath && size > 5 && field[0] == 1 &&
			binary.LittleEndian.Uint32(field[1:]) == crc32.ChecksumIEEE([]byte(f.Name)) && utf8.Valid(field[5:]) {
			return string(field[5:]), true
		}
	}
	return "", false
}

// inside returns the path of a member without leading slashes, which archivers drop too, and without empty and dot
// elements. ok is false if the path leads out of the archive.
func inside(name string) (clean string, ok bool) {
	clean = path.Clean(strings.TrimLeft(name, "/"))
	return clean, clean != ".." && !strings.HasPrefix(clean, "../")
}
