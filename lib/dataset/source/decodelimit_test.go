package source

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/picture"
)

// blankJPEG returns a uniform grey JPEG file of any size. Each of its Huffman tables has a single code, of the bit 0,
// so all bits of the image are zero.
func blankJPEG(w, h int, progressive bool) []byte {
	var b bytes.Buffer
	segment := func(marker byte, content ...byte) {
		b.Write([]byte{0xff, marker, 0, byte(2 + len(content))})
		b.Write(content)
	}
	scan := func(bitsPerBlock int, parameters ...byte) {
		segment(0xda, append([]byte{1, 1, 0}, parameters...)...)
		blocks := (w + 7) / 8 * ((h + 7) / 8)
		b.Write(make([]byte, (blocks*bitsPerBlock+7)/8))
	}
	b.Write([]byte{0xff, 0xd8})
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	frame := byte(0xc0)
	if progressive {
		frame = 0xc2
	}
	size := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(h)), uint16(w))
	segment(frame, append(append([]byte{8}, size...), 1, 1, 0x11, 0)...)
	for _, class := range []byte{0x00, 0x10} {
		segment(0xc4, append([]byte{class, 1}, make([]byte, 16)...)...) // one code, of one bit, for the symbol 0
	}
	if progressive {
		scan(1, 0, 0, 0)
		scan(1, 1, 63, 0)
	} else {
		scan(2, 0, 63, 0)
	}
	b.Write([]byte{0xff, 0xd9})
	return b.Bytes()
}

// TestPhotoMemory: a process that reads photos of 100 megapixels stays below its limit, although its processors could
// decode several at a time. The test runs its own binary as that process.
func TestPhotoMemory(t *testing.T) {
	const limit = 640 << 20 // one photo takes 300 MB
	if dir := os.Getenv("VAPO_TEST_PHOTOS"); dir != "" {
		sets, _, err := readImages(t, "images", ImageOptions{Path: dir, Size: 16, Channels: 1, Memory: limit})
		if err != nil || sets["train"].N != 3 || sets["train"].Pixels[0] != 128 {
			t.Fatal(err)
		}
		if peak := peakMemory(t); peak > limit {
			t.Errorf("the peak is %d MiB, the limit is %d MiB", peak>>20, limit>>20)
		} else {
			t.Logf("the peak is %d MiB", peak>>20)
		}
		return
	}
	peakMemory(t) // skips the test if the peak is unknown on this system
	photo := blankJPEG(10_000, 10_000, false)
	dir := writeFolder(t, map[string][]byte{
		"a.jpg": photo, "b.jpg": photo, "c.jpg": blankJPEG(6000, 6000, true), "d.jpg": blankJPEG(30, 20, true),
	})
	cmd := exec.Command(os.Args[0], "-test.run=^TestPhotoMemory$", "-test.v")
	cmd.Env = append(os.Environ(), "VAPO_TEST_PHOTOS="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the process that reads the photos: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// peakMemory returns the greatest resident size that this process has had, in bytes.
func peakMemory(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("the peak memory of a process is not known here: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Skip("/proc/self/status has no VmHWM")
	return 0
}

// TestPhotoLimits: a photo with more than the maximum number of pixels counts as broken. A photo that needs more memory
// than is available stops the run, since a data set must not depend on the machine.
func TestPhotoLimits(t *testing.T) {
	small := blankJPEG(40, 40, false)
	for _, c := range []struct {
		photo      []byte
		memory     int64
		skip       bool
		class      failure.Class
		want, hint string
	}{
		{blankJPEG(13_378, 13_378, false), 0, false, failure.Input, "at most 178956970 pixels are read", "smaller"},
		{blankJPEG(13_378, 13_378, false), 0, true, failure.OK, "", ""},
		{blankJPEG(3000, 2000, false), 10 << 20, true, failure.Resources, "b.jpg: its 3000x2000 pixels need 17", "memory"},
		{blankJPEG(3000, 2000, true), 20 << 20, false, failure.Resources, "need 28 MiB", "memory"},
	} {
		o := ImageOptions{Size: 8, Memory: c.memory, SkipBroken: c.skip, TestFraction: 0.5}
		o.Path = writeFolder(t, map[string][]byte{
			"a.jpg": small, "b.jpg": c.photo, "c.jpg": small, "d.jpg": small, "e.jpg": small,
		})
		_, p, err := readImages(t, "images", o)
		if failure.ClassOf(err) != c.class {
			t.Errorf("error %v, want class %v", err, c.class)
		} else if err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(failure.HintOf(err), c.hint)) {
			t.Errorf("error %v (hint %q), want %q with hint %q", err, failure.HintOf(err), c.want, c.hint)
		} else if err == nil && p.Broken.N != 1 {
			t.Errorf("files left out: %+v, want one", p.Broken)
		}
	}
	if max := picture.MaxPixels; 13_377*13_377 > max || 13_378*13_378 <= max {
		t.Error("squares of 13377 and 13378 pixels a side are not the last below and the first above the limit")
	}
}
