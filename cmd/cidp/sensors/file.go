// Package sensors reads the sensor registry's file: what an operator knows of his sensors, by exact name or by pattern. It promises one sentence with the line for each mistake,
// and that a file with a mistake changes nothing; it refuses keys that it does not know. It reads no sensor and keeps no state.
package sensors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/camrail/cidp/stream"
)

// DefaultName is the file within the data folder that is read when no other is named.
const DefaultName = "sensors.toml"

// maxSize bounds a file, bytes: a rule for each of a million sensors has room.
const maxSize = 256 << 20

// File is a registry file that was read: limits of kinds, and rules. A mistake that only the rest of the configuration shows is told by Apply.
type File struct {
	name  string
	kinds []kindLimits
	rules []stream.Rule
}

// kindLimits is a [kind.<kind>] table.
type kindLimits struct {
	kind    stream.Kind
	entries map[string][]float64
	source  string
	where   string
}

// tables is the file as TOML has it.
type tables struct {
	Kind   map[string]map[string]any `toml:"kind"`
	Sensor []table                   `toml:"sensor"`
}

// table is one [[sensor]].
type table struct {
	Match    string         `toml:"match"`
	Kind     *string        `toml:"kind"`
	Position *string        `toml:"position"`
	Axle     *int           `toml:"axle"`
	Side     *string        `toml:"side"`
	Mate     *string        `toml:"mate"`
	Period   *string        `toml:"period"`
	Limits   map[string]any `toml:"limits"`
}

const knownKeys = "a [[sensor]] has match, kind, position, axle, side, mate, period, limits; the other tables are [kind.bearing], [kind.motor], [kind.brake], [kind.transformer], [kind.other]"

// missingError is fs.ErrNotExist in a sentence.
type missingError string

func (e missingError) Error() string { return "sensors file " + string(e) + " does not exist" }

func (missingError) Is(target error) bool { return target == fs.ErrNotExist }

// Read reads a file from disk.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, missingError(path)
	case err != nil:
		return nil, fmt.Errorf("read sensors file: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("sensors file %s is a folder", path)
	case info.Size() > maxSize:
		return nil, fmt.Errorf("sensors file %s has %d bytes, more than %d", path, info.Size(), maxSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read sensors file: %w", err)
	}
	return text, nil
}

// Parse reads the text of a file; path is for the sentences. The error joins one sentence for each mistake.
func Parse(path string, text []byte) (*File, error) {
	f := &File{name: filepath.Base(path)}
	var in tables
	meta, err := toml.Decode(string(text), &in)
	if err != nil {
		return nil, f.sentence(err)
	}
	lines := findLines(string(text))
	var errs []error
	bad := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", f.at(line), fmt.Errorf(format, args...)))
	}
	unknown := map[string]bool{}
	for _, key := range meta.Undecoded() {
		unknown[key.String()] = true
		if unknown[key[:len(key)-1].String()] { // its table is told of
			continue
		}
		bad(lines.ofKey(key), "unknown key %q; %s", key.String(), knownKeys)
	}
	if len(lines.sensors) != len(in.Sensor) {
		bad(lines.ofKey(toml.Key{"sensor"}), "write every sensor as a [[sensor]] table of its own")
		return nil, joined(errs)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Kind)) {
		f.addKind(name, in.Kind[name], lines, bad)
	}
	slices.SortFunc(f.kinds, func(a, b kindLimits) int { return int(a.kind) - int(b.kind) })
	for i := range in.Sensor {
		f.addRule(&in.Sensor[i], lines, i, bad)
	}
	if len(errs) > 0 {
		return nil, joined(errs)
	}
	return f, nil
}

// at names a place in the file; line 0 is not known.
func (f *File) at(line int) string {
	if line == 0 {
		return f.name
	}
	return fmt.Sprintf("%s line %d", f.name, line)
}

type complain func(line int, format string, args ...any)

func (f *File) addKind(name string, numbers map[string]any, lines *lines, bad complain) {
	line := lines.ofKey(toml.Key{"kind", name})
	kind, err := stream.ParseKind(name)
	if err != nil {
		bad(line, "%w", err)
		return
	}
	k := kindLimits{kind: kind, where: f.at(line)}
	if k.entries, k.source, err = limits(numbers); err != nil {
		bad(lines.ofKey(toml.Key{"kind", name, badLimit(numbers)}), "%w", err)
		return
	}
	f.kinds = append(f.kinds, k)
}

func (f *File) addRule(t *table, lines *lines, i int, bad complain) {
	s := &lines.sensors[i]
	r := stream.Rule{Match: t.Match, Position: t.Position, Axle: t.Axle, Side: t.Side, Mate: t.Mate, Where: f.at(s.line)}
	if t.Match == "" {
		bad(s.line, "a [[sensor]] needs match: a sensor as site/asset/sensor, or a pattern")
	}
	if t.Kind != nil {
		kind, err := stream.ParseKind(*t.Kind)
		if err != nil {
			bad(s.of("kind"), "%w", err)
		}
		r.Kind = &kind
	}
	if t.Period != nil {
		period, err := time.ParseDuration(*t.Period)
		if err != nil {
			bad(s.of("period"), "the period %q is no time: write \"10s\", \"1m30s\", or \"0s\" to have it learned", *t.Period)
		}
		r.Period = &period
	}
	if t.Limits != nil {
		var err error
		if r.Limits, r.LimitsFrom, err = limits(t.Limits); err != nil {
			bad(s.of("limits"), "%w", err)
		} else if len(r.Limits) == 0 {
			bad(s.of("limits"), "the limits are empty: give at least one of %s", limitNames())
		}
		r.LimitsWhere = f.at(s.of("limits"))
	}
	f.rules = append(f.rules, r)
}

// limits reads the numbers and the source of a table of limits.
func limits(in map[string]any) (entries map[string][]float64, source string, err error) {
	entries = map[string][]float64{}
	if name := badLimit(in); name != "" {
		return nil, "", limitFault(name, in[name])
	}
	for name, v := range in {
		if text, ok := v.(string); ok {
			source = text
		} else {
			entries[name], _ = numbersOf(v)
		}
	}
	return entries, source, nil
}

// badLimit names the first entry that is wrong.
func badLimit(in map[string]any) string {
	var names []string
	for name, v := range in {
		if limitFault(name, v) != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

func limitFault(name string, v any) error {
	if name == "source" {
		if _, ok := v.(string); !ok {
			return errors.New("the source must be a text: who says so")
		}
		return nil
	}
	numbers, ok := numbersOf(v)
	if !ok { // but is there such a limit at all?
		if err := new(stream.Limits).Set(map[string][]float64{name: {0}}, ""); err != nil {
			return err
		}
		return fmt.Errorf("the limit %s must be a number", name)
	}
	return new(stream.Limits).Set(map[string][]float64{name: numbers}, "")
}

// numbersOf reads a number, or a list of numbers.
func numbersOf(v any) (numbers []float64, ok bool) {
	switch v := v.(type) {
	case int64:
		return []float64{float64(v)}, true
	case float64:
		return []float64{v}, true
	case []any:
		numbers = []float64{}
		for _, e := range v {
			one, ok := numbersOf(e)
			if _, list := e.([]any); !ok || list {
				return nil, false
			}
			numbers = append(numbers, one...)
		}
		return numbers, true
	}
	return nil, false
}

func limitNames() string {
	var names []string
	for _, f := range stream.LimitFields() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// Apply puts the file's limits and rules into a configuration that is valid without them, which it does not change. The error joins one sentence for each mistake.
func (f *File) Apply(base stream.Config) (stream.Config, error) {
	cfg := base
	cfg.Kinds = map[stream.Kind]stream.Limits{}
	for k, l := range base.Kinds {
		cfg.Kinds[k] = l
	}
	var errs []error
	for _, k := range f.kinds {
		before := cfg.Kinds[k.kind]
		l := before
		if err := l.Set(k.entries, k.source); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.where, err))
			continue
		}
		l.Where = k.where
		cfg.Kinds[k.kind] = l
		alone := cfg
		alone.Rules, alone.Patterns = nil, nil
		if err := alone.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.where, err))
			cfg.Kinds[k.kind] = before
		}
	}
	cfg.Rules = append(slices.Clone(f.rules), base.Rules...)
	if err := cfg.Validate(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return base, joined(errs)
	}
	return cfg, nil
}

// maxTold is how many mistakes are told at once.
const maxTold = 10

// joined gives the first mistakes as one error.
func joined(errs []error) error {
	var flat []error
	for _, err := range errs {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			flat = append(flat, many.Unwrap()...)
		} else {
			flat = append(flat, err)
		}
	}
	if n := len(flat); n > maxTold {
		flat = append(flat[:maxTold:maxTold], fmt.Errorf("and %d more mistakes", n-maxTold))
	}
	return errors.Join(flat...)
}

// sentence says in one line where the text stops being TOML, or what has the wrong type.
func (f *File) sentence(err error) error {
	var parse toml.ParseError
	if !errors.As(err, &parse) || parse.Message == "" {
		text := strings.TrimPrefix(err.Error(), "toml: ")
		if at := wrongType.FindStringSubmatch(text); at != nil {
			return fmt.Errorf("%s line %s: the value of %s is %s, and must be %s", f.name, at[1], at[2], typeName(at[3]), typeName(at[4]))
		}
		return fmt.Errorf("%s: %s", f.name, strings.ReplaceAll(text, "\n", " "))
	}
	return fmt.Errorf("%s: %s", f.at(parse.Position.Line), strings.ReplaceAll(parse.Message, "\n", " "))
}

// wrongType is how the decoder says that a value is of a type that its key has not.
var wrongType = regexp.MustCompile(`^line (\d+) \(last key "(.*)"\): incompatible types: TOML value has type (.*); destination has type (.*)$`)

// typeName says what the decoder's name of a type means in a file.
func typeName(name string) string {
	switch {
	case name == "string":
		return "a text in quotes"
	case strings.HasPrefix(name, "int"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	case name == "bool" || name == "boolean":
		return "true or false"
	case strings.HasPrefix(name, "map") || name == "sensors.table":
		return "a table"
	case strings.HasPrefix(name, "slice") || strings.HasPrefix(name, "[]"):
		return "a list"
	}
	return "of type " + name
}
