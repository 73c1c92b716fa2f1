package source

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// codePages are names of encodings that Windows and Python use, but neither index knows.
var codePages = map[string]string{
	"cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5", "cp1251": "windows-1251",
	"cp1252": "windows-1252",
}

// NamesEncoding returns the encoding of that name in the index of the web (gbk, shift_jis, ...) or of IANA (cp437,
// ...). It returns nil for "".
func NamesEncoding(name string) (encoding.Encoding, error) {
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
	return nil, fmt.Errorf("names-encoding is %q; it must be an encoding such as gbk, shift_jis, big5, euc-kr, cp437, "+
		"cp866 or windows-1252", name)
}

// namesReader turns the names of files, which are bytes, into text.
type namesReader struct {
	other encoding.Encoding // of names that are not UTF-8; nil if unknown
}

// text returns a name as valid UTF-8 and reports whether its encoding is known. In a name of unknown encoding, bytes
// that are not ASCII become escapes such as \xd5, so that different names stay different.
func (r *namesReader) text(raw string) (name string, known bool) {
	if known = utf8.ValidString(raw); known {
		name = raw
	} else if r.other != nil {
		text, err := r.other.NewDecoder().String(raw)
		if known = err == nil && !strings.ContainsRune(text, utf8.RuneError); known {
			name = text
		}
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

// unicodePath is the number of Info-ZIP's extra field with the name in UTF-8.
const unicodePath = 0x7075

// zipPath returns the name of a member of a zip file as text. Some programs for Windows separate directories by
// backslashes. As in Info-ZIP's unzip, backslashes are separators only in a name without slashes. They are replaced
// after decoding, since a byte of a character in Shift JIS or GBK can be a backslash.
func (r *namesReader) zipPath(f *zip.File) (name string, known bool) {
	raw := f.Name
	if better, ok := unicodeName(f); ok {
		raw = better
	}
	name, known = r.text(raw)
	if known && !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return name, known
}

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

// inside returns a path of a member without leading slashes, empty elements and dots. Archivers drop leading slashes
// too. ok is false if the path leads out of the archive.
func inside(name string) (clean string, ok bool) {
	clean = path.Clean(strings.TrimLeft(name, "/"))
	return clean, clean != ".." && !strings.HasPrefix(clean, "../")
}
