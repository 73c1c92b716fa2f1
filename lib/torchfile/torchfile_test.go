package torchfile

import (
	"archive/zip"
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"vapo/lib/failure"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestFormats reads the tensors that testdata/golden.py wrote in the zip format and in the earlier format.
func TestFormats(t *testing.T) {
	base := func(i, j, k int) float32 { return float32(i*12+j*4+k) / 7 }
	var plain, turned []float32
	for i := range 24 {
		plain = append(plain, float32(i)/7)
	}
	for k := range 4 {
		for j := range 3 {
			for i := range 2 {
				turned = append(turned, base(i, j, k))
			}
		}
	}
	inf := float32(math.Inf(1))
	double := make([]float32, 12)
	for i := range double {
		double[i] = float32(i) / 7
	}
	for _, name := range []string{"zip.pth", "legacy.pth"} {
		f, err := parse(golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(f.Names()); got != 11 {
			t.Errorf("%s: %d tensors, want 11: %v", name, got, f.Names())
		}
		for _, c := range []struct {
			name  string
			shape []int
			want  []float32
		}{
			{"model.plain", []int{2, 3, 4}, plain},
			{"model.turned", []int{4, 3, 2}, turned},
			{"model.part", []int{2, 4}, plain[16:]},
			{"model.parameter", []int{2, 4}, slices.Concat(plain[:4], plain[12:16])},
			{"double", []int{3, 4}, double},
			{"half", []int{6}, []float32{1, -0.5, 65504, 5.9604645e-08, inf, 0.00010001659393310547}},
			{"bfloat16", []int{4}, []float32{0, 143, 286, 428}},
			{"long", []int{2}, []float32{-3, 1 << 40}},
			{"bool", []int{2}, []float32{1, 0}},
			{"scalar", nil, []float32{2.5}},
			{"empty", []int{0, 3}, nil},
		} {
			got, shape, ok, err := f.Tensor(c.name)
			if err != nil || !ok || !slices.Equal(shape, c.shape) || !slices.Equal(got, c.want) {
				t.Errorf("%s: %s is %v %v (found %v, error %v), want %v %v", name, c.name, got, shape, ok, err, c.want, c.shape)
			}
		}
		if _, _, ok, err := f.Tensor("step"); ok || err != nil {
			t.Errorf("%s: the number step is returned as a tensor, or with error %v", name, err)
		}
	}
}

// TestLists: list entries are named by their position, Order keeps the order of the file, and numbers are not tensors.
func TestLists(t *testing.T) {
	f, err := parse(golden(t, "lists.pth"))
	if err != nil {
		t.Fatal(err)
	}
	order := []string{
		"optimizer.state.0.exp_avg", "model.z", "model.a",
		"ema.shadow_params.0", "ema.shadow_params.1", "ema.shadow_params.2.0",
	}
	if !slices.Equal(f.Order(), order) {
		t.Errorf("tensors are %v, want %v", f.Order(), order)
	}
	v, shape, ok, err := f.Tensor("ema.shadow_params.1")
	if err != nil || !ok || !slices.Equal(shape, []int{3}) || !slices.Equal(v, []float32{4, 5, 6}) {
		t.Errorf("the second list entry is %v %v (found %v, error %v), want [4 5 6] [3]", v, shape, ok, err)
	}
	if n, ok := f.Number("step"); !ok || n != 1234567 {
		t.Errorf("step is %d (found %v), want 1234567", n, ok)
	}
	if n, ok := f.Number("ema.decay"); ok {
		t.Errorf("the float ema.decay is returned as the integer %d", n)
	}
	// A list that contains itself must not cause an endless loop.
	endless := map[string][]byte{"a/data.pkl": []byte("\x80\x02]q\x00(h\x00h\x00h\x00e.")}
	if _, err := parse(archive(t, zip.Store, endless)); err == nil {
		t.Error("a list that contains only itself was read")
	}
}

// TestBeside: everything that a training loop saves in addition to the weights is skipped and listed, and the tensors
// are read. This holds for both containers and all pickle protocols.
func TestBeside(t *testing.T) {
	var order, skipped []string
	for _, name := range []string{"beside", "beside4", "beside5", "beside-legacy", "beside4-legacy"} {
		f, err := parse(golden(t, name+".pth"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, c := range []struct {
			name  string
			shape []int
			want  []float32
		}{
			{"model.0.weight", []int{2, 3}, []float32{0, 1, 2, 3, 4, 5}},
			{"model.1.bias", []int{2}, []float32{30, 31}},
			{"model.1.num_batches_tracked", nil, []float32{1}},
			{"attributed", []int{3}, []float32{0, 1, 2}},
			{"typed", []int{4}, []float32{0, 1, 2, 3}},
			{"int8", []int{2}, []float32{-1, 2}},
			{"int16", []int{2}, []float32{-300, 300}},
			{"uint8", []int{1}, []float32{255}},
			{"nested.inner.w", []int{2}, []float32{1, 1}},
			{"pair.1.w", []int{1}, []float32{1}},
			{"optimizer.state.3.exp_avg", []int{2}, []float32{0.2, 0.2}},
		} {
			got, shape, ok, err := f.Tensor(c.name)
			if err != nil || !ok || !slices.Equal(shape, c.shape) || !slices.Equal(got, c.want) {
				t.Errorf("%s: %s is %v %v (found %v, error %v), want %v %v", name, c.name, got, shape, ok, err, c.want, c.shape)
			}
		}
		for tensor, want := range map[string]string{
			"complex": "type complex64 are not supported", "expanded": "shape [1000] and strides [0]",
		} {
			if _, _, ok, err := f.Tensor(tensor); !ok || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s: found %v, error %v, want it found with an error that contains %q",
					name, tensor, ok, err, want)
			}
		}
		if n, ok := f.Number("step"); !ok || n != 1234 {
			t.Errorf("%s: step is %d (found %v), want 1234", name, n, ok)
		}
		var values []string
		for _, s := range f.Skipped() {
			value, _, _ := strings.Cut(s, " (")
			values = append(values, value)
		}
		for _, s := range []string{
			"args (argparse.Namespace)", "best (numpy.core.multiarray.scalar)", "device (torch.device)",
			"dtype (torch.float32)", "function (torch.nn.functional.mse_loss)", "losses (list of 300)", "step (number)",
			"module (torch.nn.modules.container.Sequential)", "sparse (torch._utils._rebuild_sparse_tensor)",
			"optimizer_object (torch.optim.adam.Adam)", "optimizer.param_groups.0.lr (number)",
		} {
			if !slices.Contains(f.Skipped(), s) {
				t.Errorf("%s: %s is not listed as skipped", name, s)
			}
		}
		if order == nil {
			order, skipped = f.Order(), values
		}
		if !slices.Equal(f.Order(), order) || !slices.Equal(values, skipped) {
			t.Errorf("%s has the tensors %v and skips %v; the first file has %v and skips %v",
				name, f.Order(), values, order, skipped)
		}
	}
}

// TestWholeModules: for a file with a module, a program, NumPy arrays or an ordinary pickle, the error says what to
// save instead.
func TestWholeModules(t *testing.T) {
	for name, want := range map[string]string{
		"module.pth":  "object of class torch.nn.modules.container.Sequential, which is never constructed",
		"program.pth": "a program of torch.jit.save",
		"arrays.pth":  "without a dictionary of tensors; it holds weight (numpy.core.multiarray._reconstruct)",
		"pickle.pth":  "a pickle that torch.save did not write",
	} {
		_, err := parse(golden(t, name))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(failure.HintOf(err), "state_dict()") {
			t.Errorf("%s: error %v (hint %q), want one with %q and a hint with state_dict()",
				name, err, failure.HintOf(err), want)
		}
	}
}

// TestUnknownElements: a file with a tensor of an unsupported type can be opened, and only reading that tensor fails.
// This holds for the zip format. The earlier format cannot skip a storage whose element size is unknown.
func TestUnknownElements(t *testing.T) {
	p := bytes.ReplaceAll(storagePickle("0", 4, 4), []byte("FloatStorage"), []byte("Float7Storage"))
	f, err := parse(archive(t, zip.Store, map[string][]byte{"a/data.pkl": p}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := f.Tensor("w"); !ok || err == nil || !strings.Contains(err.Error(), "torch.Float7Storage") {
		t.Errorf("found %v, error %v, want w found with an error about torch.Float7Storage", ok, err)
	}
	untyped := []byte("\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v3\n((X\x07\x00\x00\x00storage" +
		"ctorch.storage\nUntypedStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x04\x85K\x01\x85\x89N" +
		"ctorch\nfloat8_e4m3fn\ntRs.")
	if f, err = parse(archive(t, zip.Store, map[string][]byte{"a/data.pkl": untyped})); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := f.Tensor("w"); !ok || err == nil || !strings.Contains(err.Error(), "torch.float8_e4m3fn") {
		t.Errorf("found %v, error %v, want w found with an error about torch.float8_e4m3fn", ok, err)
	}
}

// archive packs entries into a zip archive. PyTorch stores entries without compression; method may also compress them.
func archive(t testing.TB, method uint16, entries map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, data := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// storagePickle returns a pickled dictionary with one tensor of shape [n]. The tensor's storage has the given key and
// number of elements.
func storagePickle(key string, elements, n uint32) []byte {
	number := func(v uint32) string {
		return "J" + string([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
	}
	text := func(s string) string { return "X" + number(uint32(len(s)))[1:] + s }
	return []byte("\x80\x02}" + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" +
		text("storage") + "ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(elements) + "tQ" +
		number(0) + number(n) + "\x85" + number(1) + "\x85\x89ccollections\nOrderedDict\n)RtRs.")
}

// TestHostileFiles: a hostile file gives an error that states the reason, before it can allocate much memory or run
// code.
func TestHostileFiles(t *testing.T) {
	pickled := func(p string) []byte { return archive(t, zip.Store, map[string][]byte{"a/data.pkl": []byte(p)}) }
	compressed := map[string][]byte{"a/data.pkl": storagePickle("0", 64<<20, 64<<20)}
	bomb := map[string][]byte{"a/data/0": make([]byte, 256<<20)}
	short := map[string][]byte{"a/data.pkl": storagePickle("0", 4, 4), "a/data/0": make([]byte, 16)}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"a system call", "posix.system, which is never constructed",
			pickled("\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")},
		{"a system call before a legacy file", "did not write",
			[]byte("\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")},
		{"an old-style import", "opcode 0x69", pickled("\x80\x02(ios\nsystem\n.")},
		{"a string of 4 GB", "truncated", pickled("\x80\x02X\xff\xff\xff\xffa.")},
		{"bytes of 2^62", "truncated", pickled("\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x40a.")},
		{"a frame of 2^62", "truncated", pickled("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x40.")},
		{"a compressed archive", "compressed", archive(t, zip.Deflate, compressed)},
		{"a bomb as storage", "holds no data.pkl", archive(t, zip.Deflate, bomb)},
		{"an out-of-band buffer", "opcode 0x97", pickled("\x80\x05\x97.")},
		{"nothing but the start of an archive", "truncated or damaged", archive(t, zip.Store, short)[:200]},
		{"a pickle without an end", "truncated", pickled("\x80\x02}")},
		{"a pickle that pops nothing", "damaged|stack|not a", pickled("\x80\x02R.")},
		{"an empty file", "begins neither", nil},
		{"an image", "begins neither", []byte("\x89PNG")},
		{"no tensors", "without a dictionary", pickled("\x80\x02}.")},
	} {
		before := allocated()
		_, err := parse(c.data)
		if err == nil {
			t.Errorf("%s was read, want an error with %q", c.name, c.want)
			continue
		}
		contains := func(want string) bool { return strings.Contains(err.Error(), want) }
		if !slices.ContainsFunc(strings.Split(c.want, "|"), contains) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if grown := allocated() - before; grown > 16<<20 {
			t.Errorf("%s took %d MiB of memory, want at most 16", c.name, grown>>20)
		}
	}
	// The storage is too small for the tensor, is missing from the archive, has another size, or lies outside the
	// directory of the pickle.
	for _, entries := range []map[string][]byte{
		{"a/data.pkl": storagePickle("0", 4, 9), "a/data/0": make([]byte, 16)},
		{"a/data.pkl": storagePickle("0", 4, 4)},
		{"a/data.pkl": storagePickle("0", 4, 4), "a/data/0": make([]byte, 12)},
		{"a/data.pkl": storagePickle("../../../etc/passwd", 4, 4)},
	} {
		f, err := parse(archive(t, zip.Store, entries))
		if err != nil {
			t.Errorf("a tensor whose storage is wrong: error %v at opening, want one only when the tensor is read", err)
			continue
		}
		if _, _, _, err := f.Tensor("w"); err == nil || !strings.Contains(err.Error(), "w: ") {
			t.Errorf("reading a tensor whose storage is wrong: error %v, want one that names w", err)
		}
	}
	// A dictionary that contains itself must not cause an endless loop.
	if _, err := parse(pickled("\x80\x02}q\x00X\x01\x00\x00\x00ah\x00sX\x01\x00\x00\x00bh\x00s.")); err == nil {
		t.Error("a dictionary that contains only itself was read")
	}
}

// allocated returns the total number of bytes allocated so far, including freed memory.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzParse: any input gives an error, or tensors that are no larger than the file.
func FuzzParse(f *testing.F) {
	f.Add(golden(f, "zip.pth"))
	f.Add(golden(f, "legacy.pth"))
	f.Add(golden(f, "beside5.pth"))
	f.Add(golden(f, "beside4-legacy.pth"))
	f.Add(archive(f, zip.Store, map[string][]byte{"a/data.pkl": storagePickle("0", 4, 4), "a/data/0": make([]byte, 16)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse(data)
		if err != nil {
			return
		}
		for _, name := range file.Names() {
			v, shape, ok, err := file.Tensor(name)
			if err == nil && (!ok || len(v) > len(data)) {
				t.Errorf("tensor %q of shape %v (found %v) has %d elements in a file of %d bytes",
					name, shape, ok, len(v), len(data))
			}
		}
	})
}

// FuzzPickle fuzzes the pickle without the archive and its checksums, because the fuzzer makes faster progress then.
func FuzzPickle(f *testing.F) {
	f.Add(storagePickle("0", 4, 4))
	f.Add([]byte("\x80\x04\x95\x13\x00\x00\x00\x00\x00\x00\x00" +
		"\x8c\x01m\x8c\x01n\x93)\x81\x94}\x94\x8c\x01aK\x01sbh\x00\x85."))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := scan(data); err == nil {
			if root, err := unpickle(data[:n], classes, func(*storage) error { return nil }); err == nil {
				_ = fmt.Sprintf("%T", root)
			}
		}
	})
}
