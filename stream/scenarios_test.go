package stream_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScenarios runs every scenario of testdata/scenarios; README.md there says how they are written.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenarioFile(t, file) })
	}
}

// TestOtherScenarios runs the scenarios of another folder: suites that are not in the repository.
func TestOtherScenarios(t *testing.T) {
	folder := os.Getenv("CIDP_SCENARIOS")
	if folder == "" {
		t.Skip("CIDP_SCENARIOS names no folder with further scenarios")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in %s: %v", folder, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenarioFile(t, file) })
	}
}

func runScenarioFile(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseScenario(file, string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range playScenario(t, s) {
		t.Error(problem)
	}
}
