package models_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// put writes bytes where the registry keeps a model, whatever they are.
func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// encoded gives a model's file, of other inputs where they are given.
func encoded(t *testing.T, f *model.Forest) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// forestOf grows a forest on other inputs than the line's.
func forestOf(t *testing.T, schema []stream.Feature) *model.Forest {
	t.Helper()
	d := model.Dataset{Schema: schema}
	for i := range 40 {
		row := make([]float64, len(schema))
		row[0] = float64(i)
		d.X, d.Y = append(d.X, row), append(d.Y, uint8(i/20))
	}
	cfg := model.DefaultTrainConfig()
	cfg.Trees, cfg.MaxDepth, cfg.MinLeaf = 2, 2, 1
	f, err := model.Train(t.Context(), d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRefusedFiles: whatever is wrong with a file is one sentence, and it does not get into the registry.
func TestRefusedFiles(t *testing.T) {
	good := encoded(t, modeltest.Small(t, 1, modeltest.Passed()))
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	list := stream.FeatureList[:]
	swapped := append([]stream.Feature{list[1], list[0]}, list[2:]...)
	unit := append([]stream.Feature(nil), list...)
	unit[1].Unit = "degF"
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":          {nil, "not a CIDP model file"},
		"foreign":        {[]byte("\x08\x07\x12\x0bskl2onnx..."), "not a CIDP model file"},
		"another text":   {[]byte(`{"trees":[]}`), "not a CIDP model file"},
		"cut":            {good[:len(good)-7], "cut short"},
		"damaged":        {flipped, "damaged"},
		"with a tail":    {append(bytes.Clone(good), 0), "goes on after its end"},
		"other features": {encoded(t, forestOf(t, []stream.Feature{{Name: "rpm", Unit: "1/min"}})), `made for other windows: check model`},
		"another order":  {encoded(t, forestOf(t, swapped)), "input 0 is"},
		"another unit":   {encoded(t, forestOf(t, unit)), `in "degF" in the model`},
		"too large":      {make([]byte, models.MaxFile+1), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			path := filepath.Join(data, "given.cidpmodel")
			put(t, path, c.file)
			if _, err := models.Read(path); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("read: %v, want %q", err, c.want)
			}
			const id = "0123456789abcdef"
			put(t, models.Path(data, id), c.file)
			ask := models.Ask{Action: store.ActionShadow, ID: id}
			if err := ask.Load(data); err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, models.ErrUnknown) {
				t.Errorf("load: %v, want %q", err, c.want)
			}
		})
	}
}

// TestAskedForWhatIsNotThere: an id is a name in one folder, and a file has the name of its content.
func TestAskedForWhatIsNotThere(t *testing.T) {
	data := t.TempDir()
	f := modeltest.Small(t, 1, nil)
	put(t, models.Path(data, "0123456789abcdef"), encoded(t, f))
	put(t, filepath.Join(data, "secret.cidpmodel"), encoded(t, f))
	for id, want := range map[string]string{
		"../secret":          "is no id",
		"":                   "is no id",
		"0123456789ABCDEF":   "is no id",
		"fedcba9876543210":   "is not there",
		"0123456789abcdef":   "holds model " + f.ID(),
		"0123456789abcdef\n": "is no id",
	} {
		ask := models.Ask{Action: store.ActionActivate, ID: id}
		if err := ask.Load(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", id, err, want)
		}
	}
	if _, err := models.Read(data); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
}

// TestPut writes what Load reads, once, and leaves nothing beside it.
func TestPut(t *testing.T) {
	data := t.TempDir()
	f := modeltest.Small(t, 1, nil)
	for range 2 {
		if err := models.Put(data, f); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := models.Load(data, f.ID()); err != nil || got.ID() != f.ID() {
		t.Errorf("%v", err)
	}
	put(t, models.Path(data, f.ID()), []byte("torn"))
	if err := models.Put(data, f); err != nil {
		t.Fatal(err)
	}
	if _, err := models.Load(data, f.ID()); err != nil {
		t.Errorf("a torn file is not mended: %v", err)
	}
	if all, err := os.ReadDir(filepath.Dir(models.Path(data, f.ID()))); err != nil || len(all) != 1 {
		t.Errorf("%v: %v", all, err)
	}
}

// TestJudge: the trial that was held last counts, in place of the manifest's.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name            string
		manifest, later *model.Trial
		live            bool
	}{
		{"none", nil, nil, false},
		{"passed when it was trained", modeltest.Passed(), nil, true},
		{"not passed then", modeltest.Failed(), nil, false},
		{"passed later", nil, modeltest.Passed(), true},
		{"passed later, not then", modeltest.Failed(), modeltest.Passed(), true},
		{"passed then, not later", modeltest.Passed(), modeltest.Failed(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := t.TempDir()
			f := modeltest.Small(t, 1, c.manifest)
			counts := c.manifest
			if c.later != nil {
				counts = c.later
				c.later.ModelID = f.ID()
				text, err := json.Marshal(c.later)
				if err != nil {
					t.Fatal(err)
				}
				put(t, models.TrialPath(data, f.ID()), text)
			}
			v, err := models.Judge(data, f)
			if err != nil || v.Live != c.live || v.Why == "" {
				t.Errorf("%+v, %v", v, err)
			}
			if counts != nil && !strings.Contains(v.Why, counts.Why) {
				t.Errorf("why %q does not say %q", v.Why, counts.Why)
			}
		})
	}
	data := t.TempDir()
	f := modeltest.Small(t, 1, modeltest.Passed())
	for text, want := range map[string]string{
		`{"passed":`:                     "cannot be read",
		`{"passed":true}`:                `is of model ""`,
		`{"model_id":"another"}`:         `is of model "another"`,
		strings.Repeat(" ", 2<<20) + `1`: "too large",
	} {
		put(t, models.TrialPath(data, f.ID()), []byte(text))
		if v, err := models.Judge(data, f); err == nil || v.Live || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v, want %q", v, err, want)
		}
	}
}
