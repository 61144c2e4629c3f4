package model_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/camrail/cidp/model"
)

func tinyForest(tb testing.TB) *model.Forest {
	cfg := small()
	cfg.Trees, cfg.MaxDepth, cfg.Name = 3, 3, "tiny"
	return mustTrain(tb, noisy(200, 4, 1), cfg)
}

func TestFileComesBack(t *testing.T) {
	f := mustTrain(t, noisy(1000, 9, 1), small())
	file := mustEncode(t, f)
	got := mustDecode(t, file)
	if got.ID() != f.ID() || got.Base() != f.Base() || got.Nodes() != f.Nodes() || got.Check(f.Schema()) != nil {
		t.Fatalf("model %s came back as %s", f.ID(), got.ID())
	}
	for _, x := range noisy(500, 9, 2).X {
		if a, b := f.Predict(x), got.Predict(x); a != b {
			t.Fatalf("row %v: %v before, %v after", x, a, b)
		}
	}
	if !bytes.Equal(mustEncode(t, got), file) {
		t.Error("encoded again, the file differs")
	}
	if _, err := model.Decode(iotest.OneByteReader(bytes.NewReader(file))); err != nil {
		t.Errorf("read byte by byte: %v", err)
	}
}

// seal puts a head and a right checksum around a content, as a careful forger would.
func seal(content []byte) []byte {
	file := binary.LittleEndian.AppendUint32([]byte("CIDPFRST"), 2)
	file = binary.LittleEndian.AppendUint64(file, uint64(len(content)))
	file = append(file, content...)
	sum := sha256.Sum256(file)
	return append(file, sum[:]...)
}

// TestDamagedFiles is the damage table: what happened to the file, and what the one sentence says.
func TestDamagedFiles(t *testing.T) {
	whole := mustEncode(t, tinyForest(t))
	content := func(do func(c []byte) []byte) func([]byte) []byte {
		return func(file []byte) []byte { return seal(do(model.Content(file))) }
	}
	header := func(old, new string) func([]byte) []byte {
		return content(func(c []byte) []byte {
			n := binary.LittleEndian.Uint32(c)
			h := strings.Replace(string(c[4:4+n]), old, new, 1)
			out := binary.LittleEndian.AppendUint32(nil, uint32(len(h)))
			return append(append(out, h...), c[4+n:]...)
		})
	}
	pattern := func(old, new string) func([]byte) []byte {
		return content(func(c []byte) []byte {
			n := binary.LittleEndian.Uint32(c)
			h := c[4 : 4+n]
			at := regexp.MustCompile(old).FindIndex(h)
			h = slices.Concat(h[:at[0]], regexp.MustCompile(old).ReplaceAll(h[at[0]:at[1]], []byte(new)), h[at[1]:])
			return slices.Concat(binary.LittleEndian.AppendUint32(nil, uint32(len(h))), h, c[4+n:])
		})
	}
	nodes := tinyForest(t).Nodes()
	for name, tt := range map[string]struct {
		damage func(file []byte) []byte
		says   string
	}{
		"empty":                {func([]byte) []byte { return nil }, "not a CIDP model file"},
		"foreign":              {func([]byte) []byte { return []byte("PK\x03\x04 a zip file, not a model") }, `not a CIDP model file: it starts with "PK`},
		"JSON":                 {func([]byte) []byte { return []byte(`{"format":"sklearn-rf-dump-1"}`) }, "not a CIDP model file"},
		"cut in the magic":     {func(f []byte) []byte { return f[:5] }, "cut short"},
		"cut in the head":      {func(f []byte) []byte { return f[:15] }, "cut short"},
		"cut in the content":   {func(f []byte) []byte { return f[:len(f)/2] }, "cut short"},
		"cut in the checksum":  {func(f []byte) []byte { return f[:len(f)-1] }, "cut short"},
		"goes on":              {func(f []byte) []byte { return append(f, 0) }, "goes on after its end"},
		"next version":         {func(f []byte) []byte { f[8] = 3; return f }, "version 3, this build reads version 2"},
		"absurd length":        {func(f []byte) []byte { f[19] = 0xff; return f }, "at most"},
		"length that is short": {func(f []byte) []byte { f[12]--; return f }, "goes on"},
		"flipped checksum":     {func(f []byte) []byte { f[len(f)-5] ^= 1; return f }, "damaged"},
		"flipped node":         {func(f []byte) []byte { f[len(f)-100] ^= 1; return f }, "damaged"},
		"flipped name":         {func(f []byte) []byte { return bytes.Replace(f, []byte(`"x2"`), []byte(`"x9"`), 1) }, "damaged"},

		"no content":         {content(func([]byte) []byte { return nil }), "no header"},
		"header too long":    {content(func(c []byte) []byte { c[2] = 0xff; return c }), "the header claims"},
		"header not JSON":    {header(`{"features"`, `["features"`), "the header is not what it should be"},
		"header spelled":     {header(`{"features"`, `{ "features"`), "spelled otherwise"},
		"header with more":   {header(`{"features"`, `{"more":1,"features"`), "spelled otherwise"},
		"features gone":      {header(`"name":"x3"`, `"name":"x2"`), "x2 is named twice"},
		"one feature less":   {pattern(`({"name":"x[12]","unit":"1","spread":{[^}]*}},){2}`, ``), "of 2"},
		"negative trees":     {header(`"trees":3`, `"trees":-3`), "-3 trees"},
		"no trees":           {header(`"trees":3`, `"trees":0`), "0 trees"},
		"many trees":         {header(`"trees":3`, `"trees":30000000`), "cannot be"},
		"a billion nodes":    {header(`"nodes":`, `"nodes":10000000`), "cannot be"},
		"some nodes more":    {header(`"nodes":`, `"nodes":1`), "the file has"},
		"a value beyond one": {content(func(c []byte) []byte { c[len(c)-4*nodes-1] = 0x40; return c }), "not a probability"},
		"rows that vanish":   {content(func(c []byte) []byte { c[len(c)-1] = 0x40; return c }), "training rows"},
		"no rows at a node":  {content(func(c []byte) []byte { clear(c[len(c)-4:]); return c }), "training rows"},
		"no rows at all":     {header(`"covers":true`, `"covers":false`), "the file has"},
		"one has no spread":  {pattern(`"spread":{[^}]*}},{"name":"x1"`, `"spread":null},{"name":"x1"`), "3 distributions for 4 features"},
		"edges that fall":    {pattern(`"edges":\[`, `"edges":[9,`), "the distribution of x0 has 10 edges and 10 bins"},
		"an edge falls":      {pattern(`"edges":\[[^,]*,`, `"edges":[9,`), "edges must rise"},
		"negative rows":      {pattern(`"rows":\[`, `"rows":[-`), "bin 0 has -"},
		"many missing":       {pattern(`"missing":[0-9]*`, `"missing":99999999`), "99999999 rows without a value"},
		"no median":          {pattern(`"median":[-.0-9]*}`, `"median":null}`), "a median: false"},
		"score of what":      {header(`"of":"out_of_bag"`, `"of":"a dream"`), `the score is of "a dream"`},
		"median of text":     {pattern(`"median":[-.0-9]*}`, `"median":"warm"}`), "the header is not what it should be"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := model.Decode(bytes.NewReader(tt.damage(bytes.Clone(whole))))
			if f != nil {
				t.Error("there is a forest beside the error")
			}
			mustFail(t, err, "decode model: ", tt.says)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
	broken := errors.New("disk on fire")
	_, err := model.Decode(io.MultiReader(bytes.NewReader(whole[:60]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("a failing reader gave %v", err)
	}
}

// TestEveryByteMatters flips one bit of each byte, and cuts the file at each length.
func TestEveryByteMatters(t *testing.T) {
	whole := mustEncode(t, tinyForest(t))
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << (i % 8)
		if _, err := model.Decode(bytes.NewReader(bad)); err == nil {
			t.Fatalf("byte %d flipped, and the file decodes", i)
		}
		if _, err := model.Decode(bytes.NewReader(whole[:i])); err == nil {
			t.Fatalf("cut at byte %d, and the file decodes", i)
		}
	}
}

// TestLyingLengthAsksForLittle gives a head that claims the largest content and then stops.
func TestLyingLengthAsksForLittle(t *testing.T) {
	head := binary.LittleEndian.AppendUint32([]byte("CIDPFRST"), 2)
	head = binary.LittleEndian.AppendUint64(head, model.MaxContent)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := model.Decode(bytes.NewReader(head))
	runtime.ReadMemStats(&after)
	mustFail(t, err, "cut short: 20 of")
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("a file of 20 bytes took %d bytes of memory", n)
	}
}

// TestTreesThatAreNone is the table of node arrays that scoring could not survive.
func TestTreesThatAreNone(t *testing.T) {
	leaf, node := model.PackLeaf, model.PackNode
	half := []float32{.5, .5, .5}
	for name, tt := range map[string]struct {
		roots  []uint32
		nodes  []uint64
		values []float32
		says   string
	}{
		"no trees":        {nil, []uint64{leaf(0)}, half[:1], "0 trees"},
		"no nodes":        {[]uint32{0}, nil, nil, "tree 0 spans"},
		"values missing":  {[]uint32{0}, []uint64{leaf(0)}, nil, "1 nodes but 0 values"},
		"late root":       {[]uint32{1}, []uint64{leaf(0), leaf(1)}, half[:2], "starts at node 1"},
		"empty tree":      {[]uint32{0, 0}, []uint64{leaf(0)}, half[:1], "tree 0 spans"},
		"root beyond":     {[]uint32{0, 5}, []uint64{leaf(0)}, half[:1], "tree 0 spans"},
		"loop":            {[]uint32{0}, []uint64{node(0, 1, 0), leaf(1), leaf(2)}, half, "node 0 has children at 0"},
		"child beyond":    {[]uint32{0}, []uint64{node(0, 1, 2), leaf(1), leaf(2)}, half, "node 0 has children at 2"},
		"other tree":      {[]uint32{0, 2}, []uint64{node(0, 1, 1), leaf(1), leaf(2)}, half, "tree 0: node 0 has children"},
		"orphan":          {[]uint32{0}, []uint64{leaf(0), leaf(1), leaf(2)}, half, "node 1 has no parent"},
		"wandering leaf":  {[]uint32{0}, []uint64{node(0, 1, 1), leaf(2), leaf(2)}, half, "leaf 1 does not point to itself"},
		"unknown feature": {[]uint32{0}, []uint64{node(4, 1, 1), leaf(1), leaf(2)}, half, "feature 4 of 4"},
		"minus zero":      {[]uint32{0}, []uint64{1<<8 | 0x7fff_ffff<<32, leaf(1), leaf(2)}, half, "no number as its threshold"},
		"NaN threshold":   {[]uint32{0}, []uint64{1<<8 | 0xffff_fff0<<32, leaf(1), leaf(2)}, half, "no number as its threshold"},
		"NaN value":       {[]uint32{0}, []uint64{leaf(0)}, []float32{float32(math.NaN())}, "not a probability"},
		"negative value":  {[]uint32{0}, []uint64{leaf(0)}, []float32{-0.1}, "not a probability"},
		"two parents": {[]uint32{0}, []uint64{node(0, 1, 1), node(0, 1, 3), node(0, 1, 3), leaf(3), leaf(4)},
			[]float32{0, 0, 0, 0, 0}, "another parent"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := model.Rebuild(numbered(4), tt.roots, tt.nodes, tt.values)
			mustFail(t, err, tt.says)
		})
	}
	chain := make([]uint64, 0, 600) // a ladder deeper than any forest may be
	for i := range 300 {
		chain = append(chain, node(0, 1, 2*i+1))
		if i > 0 {
			chain[len(chain)-1], chain = node(0, 1, 2*i+1), append(chain, leaf(2*i))
		}
	}
	chain = append(chain, leaf(len(chain)), leaf(len(chain)+1))
	_, err := model.Rebuild(numbered(4), []uint32{0}, chain, make([]float32, len(chain)))
	mustFail(t, err, "deeper than 255")
}

// explained: whatever a forest says of its training, its explanations add up and its distributions have a bin for every value.
func explained(t *testing.T, f *model.Forest, x []float64) {
	t.Helper()
	dst := make([]float64, len(x))
	score, sum := f.Contributions(dst, x), f.Base()
	for _, c := range dst {
		sum += c
	}
	if !(math.Abs(sum-score) <= 1e-9) {
		t.Fatalf("the path of %v adds up to %v, the score is %v", x, sum, score)
	}
	exact, sum, err := f.Shapley(dst, x)
	for _, c := range dst {
		sum += c
	}
	if f.Covered() == (err != nil) || err == nil && !(exact == score && math.Abs(sum-score) <= 1e-9) {
		t.Fatalf("the exact values of %v add up to %v, the score is %v: %v", x, sum, score, err)
	}
	for i, v := range x {
		if d, ok := f.Distribution(i); ok && d.Bin(v) >= len(d.Rows) {
			t.Fatalf("%v is in bin %d of %d", v, d.Bin(v), len(d.Rows))
		}
	}
	if _, top := f.Explain(x, 3); len(top) > 3 {
		t.Fatalf("%d of 3 contributions", len(top))
	}
}

// FuzzDecode feeds the decoder arbitrary files, and arbitrary contents under a right checksum. Whatever decodes must score rows, and must be encoded as
// the very same bytes.
func FuzzDecode(f *testing.F) {
	whole := mustEncode(f, tinyForest(f))
	f.Add(whole, false)
	f.Add(model.Content(whole), true)
	m := tinyForest(f).Manifest()
	m.Calibration = &model.Calibration{Method: "isotonic", Applied: true, Knots: []model.Point{{0, 0.25}, {0.5, 0.5}, {1, 0.75}}}
	calibrated, err := tinyForest(f).WithManifest(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(model.Content(mustEncode(f, calibrated)), true)
	bare, err := model.ReadArrays(strings.NewReader(handArrays))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(model.Content(mustEncode(f, bare)), true)
	f.Add(whole[:len(whole)/2], false)
	f.Add([]byte("CIDPFRST"), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = seal(data)
		}
		forest, err := model.Decode(bytes.NewReader(data))
		if err != nil {
			if forest != nil {
				t.Fatal("a forest beside an error")
			}
			return
		}
		x := make([]float64, len(forest.Schema()))
		for _, v := range []float64{0, math.NaN(), 1e30, -1e30} {
			for i := range x {
				x[i] = v
			}
			if p := forest.Predict(x); p != forest.Walk(x) || !(p >= 0 && p <= 1) {
				t.Fatalf("row of %v: %v, walk %v", v, p, forest.Walk(x))
			}
			explained(t, forest, x)
		}
		if !bytes.Equal(mustEncode(t, forest), data) {
			t.Fatal("decoded and encoded, the file differs")
		}
	})
}
