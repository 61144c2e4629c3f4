package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/camrail/cidp/"

// mayImport is the layout rule: data moves left to right, imports point only at the station that owns the noun, and only cmd knows
// them all.
var mayImport = map[string][]string{
	"broker":    {},
	"stream":    {},
	"model":     {"stream"},
	"store":     {"stream", "model"},
	"simulator": {"stream"},
}

// onlyIn says which of the stations may touch which outside world.
var onlyIn = map[string][]string{
	"github.com/mochi-mqtt/server/v2":     {"broker"},
	"github.com/ncruces/go-sqlite3":       {"store"},
	"github.com/eclipse/paho.mqtt.golang": {"simulator"},
	"net":                                 {"broker", "simulator"},
	"net/http":                            {},
	"os":                                  {"store"},
	"time/tzdata":                         {},
}

func TestImportsFollowTheLayoutRule(t *testing.T) {
	root := filepath.Join("..", "..")
	for pkg, allowed := range mayImport {
		files, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("package %s has no files (%v)", pkg, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, path := range imports(t, file) {
				if own, ok := strings.CutPrefix(path, module); ok && !slices.Contains(allowed, own) {
					t.Errorf("%s imports %s: %s may import %v of ours", file, own, pkg, allowed)
				}
				for outside, in := range onlyIn {
					if (path == outside || strings.HasPrefix(path, outside+"/") && strings.Contains(outside, ".")) && !slices.Contains(in, pkg) {
						t.Errorf("%s imports %s, which is not %s's to know", file, path, pkg)
					}
				}
			}
		}
	}
}

// onlyFloor: beside the stations the command knows MQTT servers and SQL only as floors, which are the same parts without the platform around them. Tests may look
// from outside.
const onlyFloor = "floor"

func TestCommandLeavesPartsToTheirStations(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.go", "*/*.go", "*/*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	floors := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, path := range imports(t, file) {
			if !strings.HasPrefix(path, "github.com/mochi-mqtt/") && !strings.HasPrefix(path, "github.com/ncruces/") && path != "database/sql" {
				continue
			}
			if filepath.Dir(file) != onlyFloor {
				t.Errorf("%s imports %s, which only its station and %s may", file, path, onlyFloor)
			}
			floors++
		}
	}
	if floors == 0 {
		t.Error("no floor uses the parts: the rule above holds nothing")
	}
}

// imports gives what a file imports.
func imports(t *testing.T, file string) (paths []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestTopLevelHoldsStationsOnly(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"cmd", "broker", "stream", "model", "store", "simulator", "docs", "database"}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("folder %s stands beside the stations", e.Name())
		}
	}
}
