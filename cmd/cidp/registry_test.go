package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// TestRegistryCommands walks a model through the registry: of a stopped database, and of a running platform, by the same words.
func TestRegistryCommands(t *testing.T) {
	dir := t.TempDir()
	p, end := plantWith(t, dir, nil)
	live := modeltest.Default(t, modeltest.Passed()).ID()
	passed, failed := modeltest.Small(t, 1, modeltest.Passed()), modeltest.Small(t, 2, modeltest.Failed())
	for _, running := range []bool{true, false} {
		http := p.HTTPAddr()
		if !running {
			end()
		}
		says := func(want int, args []string, parts ...string) string {
			t.Helper()
			args = append(append([]string{"model"}, args...), "--data", dir, "--http", http, "--by", "A. Mbarga", "--note", "trial of June")
			code, out, errOut := cidp(t, args...)
			for _, part := range parts {
				if !strings.Contains(out+errOut, part) {
					t.Errorf("running %t, %v does not say %q:\n%s%s", running, args, part, out, errOut)
				}
			}
			if code != want {
				t.Errorf("running %t, %v: exit %d, want %d: %s%s", running, args, code, want, out, errOut)
			}
			return out
		}
		says(0, []string{"list"}, "live: "+live+": it is live: in a test it missed 1 of 40")
		says(0, []string{"add", modeltest.File(t, passed)}, passed.ID()+": shadow: it ")
		says(0, []string{"add", modeltest.File(t, passed)}, "it runs in shadow already")
		says(0, []string{"add", modeltest.File(t, failed)}, failed.ID()+": shadow")
		says(0, []string{"list"}, passed.ID()+"  shadow  small", "may go live (cidp model activate)", "it runs in shadow: it did not pass its trial", "missed 9 of 40")
		says(1, []string{"activate", failed.ID()}, failed.ID()+": shadow: it did not pass its trial")
		says(0, []string{"activate", passed.ID()}, passed.ID()+": active: in a test it missed 1 of 40")
		says(0, []string{"activate", passed.ID()}, "it is live already")
		says(0, []string{"add", modeltest.File(t, passed)}, passed.ID()+": active: it is live")
		says(0, []string{"show", passed.ID()}, "(small): active", "A. Mbarga asked to activate it: active: in a test", "note: trial of June", `"features_per_node"`)
		says(0, []string{"show", live}, "retired and scores nothing", "--model asked to activate it", "A. Mbarga asked to retire it: retired: model "+passed.ID()+" came in its place")
		says(0, []string{"retire", passed.ID()}, passed.ID()+": retired")
		says(0, []string{"list"}, "live: rules: no forest is live: the rules of physics speak alone")
		says(0, []string{"activate", live}, live+": active")
		says(0, []string{"retire", failed.ID()}, "it scores nothing")
		says(1, []string{"show", "0123456789abcdef"}, "the registry has no model 0123456789abcdef")
		says(1, []string{"retire", "0123456789abcdef"}, "no such model")
		says(1, []string{"activate", "0123456789abcdef"}, "no such model", "cidp model add")
		says(2, []string{"activate", "forest.cidpmodel"}, "is no model's id")
		for _, args := range [][]string{{"list", "--json"}, {"show", live, "--json"}, {"shadow", passed.ID(), "--json"}} {
			if out := says(0, args); !json.Valid([]byte(out)) {
				t.Errorf("%v: no JSON: %s", args, out)
			}
		}
	}
	report, err := store.Verify(t.Context(), filepath.Join(dir, platform.DatabaseName), nil)
	if err != nil || !report.OK {
		t.Errorf("%v: %v", err, report.Breaches)
	}
}

// TestRegistryElsewhere: where there is no database the platform is asked, and where there is neither that is said.
func TestRegistryElsewhere(t *testing.T) {
	dir, none := t.TempDir(), filepath.Join(t.TempDir(), "none")
	p, end := plantWith(t, dir, nil)
	live := modeltest.Default(t, modeltest.Passed()).ID()
	at := []string{"--data", none, "--http", p.HTTPAddr(), "--by", "ngo"}
	for _, args := range [][]string{{"list"}, {"show", live}, {"shadow", live}, {"activate", live}} {
		if code, out, errOut := cidp(t, append(append([]string{"model"}, args...), at...)...); code != 0 || !strings.Contains(out, live) {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errOut)
		}
	}
	end()
	for _, args := range [][]string{{"list"}, {"retire", live}, {"add"}} {
		if code, out, errOut := cidp(t, append(append([]string{"model"}, args...), at...)...); code != 1 || !strings.Contains(errOut, "no platform answers") && !strings.Contains(errOut, "holds no database") {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errOut)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("asking has made a folder")
	}
}

// TestModelsThatNobodyWillRun: what is wrong with a file is one sentence, of add and of a start, and a start with it takes no folder.
func TestModelsThatNobodyWillRun(t *testing.T) {
	dir := t.TempDir()
	_, end := plantWith(t, dir, nil)
	end()
	foreign := filepath.Join(t.TempDir(), "forest.onnx")
	if err := os.WriteFile(foreign, []byte("\x08\x07\x12\x0bskl2onnx"), 0o644); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(t.TempDir(), "large.cidpmodel")
	if err := os.WriteFile(large, make([]byte, models.MaxFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.cidpmodel")
	if f, err := modeltest.Small(t, 1, modeltest.Passed()).Rename(positions()); err != nil {
		t.Fatal(err)
	} else if _, err := writeModel(other, f); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{foreign: "not a CIDP model file", large: "too large", other: "made for other windows", filepath.Join(dir, "none"): "does not exist"} {
		fresh := filepath.Join(t.TempDir(), "fresh")
		for _, args := range [][]string{{"model", "add", path, "--data", dir}, {"run", "--model", path, "--data", fresh, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"}} {
			code, out, errOut := cidp(t, args...)
			if code != 1 || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%v: exit %d, want %q: %s%s", args, code, want, out, errOut)
			}
		}
		if _, err := os.Stat(filepath.Join(fresh, platform.DatabaseName)); err == nil {
			t.Errorf("%s: a start that was refused has made a database", path)
		}
	}
	if n, err := filepath.Glob(models.Path(dir, "*")); err != nil || len(n) != 1 {
		t.Errorf("in the registry: %v %v", n, err)
	}
}

// positions are names of as many inputs as the line's, but not its.
func positions() (names []string) {
	f, _ := model.Default()
	for _, s := range f.Schema() {
		names = append(names, "x_"+s.Name)
	}
	return names
}
