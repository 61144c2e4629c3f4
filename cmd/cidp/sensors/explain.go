package sensors

import (
	_ "embed"
	"fmt"
	"io"

	"github.com/camrail/cidp/stream"
)

// Example is a file with every key in it, explained.
//
//go:embed example.toml
var Example string

// Explain says in words what the file changes in a configuration that is valid without it, a line each.
func (f *File) Explain(w io.Writer, base stream.Config) error {
	cfg, err := f.Apply(base)
	if err != nil {
		return err
	}
	for _, k := range f.kinds {
		was, is := base.Kinds[k.kind], cfg.Kinds[k.kind]
		fmt.Fprintf(w, "%s: every %s, unless a rule says otherwise (%s):\n", k.where, k.kind, is.Source)
		for _, field := range stream.LimitFields() {
			note := ""
			if before := field.Text(&was); before != field.Text(&is) {
				note = ", was " + before
			}
			fmt.Fprintf(w, "    %-14s %s %s%s\n", field.Name, field.Text(&is), field.Unit, note)
		}
	}
	for _, exact := range []bool{true, false} {
		for i := range f.rules {
			if r := &f.rules[i]; r.Exact() == exact {
				fmt.Fprintf(w, "%s: %s: %s\n", r.Where, whom(r), r)
			}
		}
	}
	return nil
}

func whom(r *stream.Rule) string {
	if r.Exact() {
		return "the sensor " + r.Match
	}
	return "sensors like " + r.Match
}

// Size says how much is in the file.
func (f *File) Size() (kinds, rules int) { return len(f.kinds), len(f.rules) }
