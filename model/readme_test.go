package model_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestReadmeShowsTheRules: the README's table of limits is the default profile.
func TestReadmeShowsTheRules(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	figure := func(v float64) string {
		if v == 0 {
			return "-"
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	rules := model.DefaultRules()
	for kind := stream.Bearing; kind <= stream.Transformer; kind++ {
		for _, name := range model.RuleNames() {
			l, ok := rules.Limit(kind, name)
			if !ok {
				continue
			}
			waits := "-"
			if l.Unbraked > 0 {
				waits = fmt.Sprintf("%.0f min unbraked", l.Unbraked.Minutes())
			}
			if l.Steady > 0 {
				waits = fmt.Sprintf("%.0f min steady", l.Steady.Minutes())
			}
			line := fmt.Sprintf("| %s | `%s` | %s | %s | %s | %s | %s | %s |", kind, name, figure(l.Watch), figure(l.Alarm), figure(l.Critical), figure(l.Deadband), waits, l.Source)
			if !strings.Contains(string(readme), line+"\n") {
				t.Errorf("README.md lacks the line\n%s", line)
			}
		}
	}
}
