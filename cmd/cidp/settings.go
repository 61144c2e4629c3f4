package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"

	"github.com/camrail/cidp/stream"
)

// settings is what a config file holds: flags by name, and tables that no flag could carry. It resolves flags that neither the command line nor the
// environment gives.
type settings struct {
	path  string
	flags map[string]any

	Kinds   map[string]kindSettings `toml:"kinds"`
	Sensors []sensorSettings        `toml:"sensors"`

	Rules map[string]map[string]*ruleSettings `toml:"rules"` // by kind and rule

	Users map[string]string `toml:"users"` // name to bcrypt hash (cidp passwd)
}

// kindSettings replaces limits of a kind; what is left out keeps its default.
type kindSettings struct {
	FailLow     *float64 `toml:"fail_low_c"`
	FailHigh    *float64 `toml:"fail_high_c"`
	SuspectLow  *float64 `toml:"suspect_low_c"`
	SuspectHigh *float64 `toml:"suspect_high_c"`
	Spike       *float64 `toml:"spike_k"`
	Rate        *float64 `toml:"rate_k_per_min"`
	Tau         *float64 `toml:"tau_min"`
	Hop         *float64 `toml:"hop_s"`
	Source      string   `toml:"source"`
}

// sensorSettings gives sensors a kind and a period by a pattern on their name, or on site/asset/sensor.
type sensorSettings struct {
	Match  string        `toml:"match"`
	Kind   string        `toml:"kind"`
	Period time.Duration `toml:"period"`
}

// loadSettings reads a config file strictly: a key that is neither a flag of some command nor one of the tables is an error.
func loadSettings(path string, app *kong.Application) (*settings, error) {
	s := &settings{path: path, flags: map[string]any{}}
	if path == "" {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("config file %s does not exist: check --config or CIDP_CONFIG", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read config file %s: %w", path, err)
	}
	var all map[string]any
	if _, err := toml.Decode(string(text), &all); err != nil {
		return nil, fmt.Errorf("read config file %s: %w", path, err)
	}
	meta, err := toml.Decode(string(text), s)
	if err != nil {
		return nil, fmt.Errorf("read config file %s: %w", path, err)
	}
	known := flagNames(app)
	for _, key := range meta.Undecoded() {
		if len(key) != 1 || !known[key[0]] {
			if len(key) > 1 && known[key[0]] {
				continue // inside a value already refused below
			}
			return nil, fmt.Errorf("config file %s: unknown key %q; known keys are %s and the tables kinds, rules, sensors, users",
				path, key.String(), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	for key, value := range all {
		if !known[key] {
			continue
		}
		switch v := value.(type) {
		case string, int64, float64, bool:
			s.flags[key] = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("config file %s: key %q must be a text, a number or true or false", path, key)
		}
	}
	return s, nil
}

// flagNames gives the long names of every flag of every command that a config file may set.
func flagNames(app *kong.Application) map[string]bool {
	out := map[string]bool{}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			if f.Name != "help" && f.Name != "config" && f.Name != "version" && f.Tag.Get("config") != "-" {
				out[f.Name] = true
			}
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(app.Node)
	return out
}

// Validate has nothing to add: loadSettings has checked the keys.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve gives a flag its value from the file, unless the environment has one.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Tag.Get("config") == "-" {
		return nil, nil
	}
	for _, env := range flag.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil
		}
	}
	if v, ok := s.flags[flag.Name]; ok {
		return v, nil
	}
	return nil, nil
}

// apply moves the tables into a windower's configuration.
func (s *settings) apply(cfg *stream.Config) error {
	for name, k := range s.Kinds {
		kind, err := stream.ParseKind(name)
		if err != nil {
			return fmt.Errorf("config file %s: table kinds: %w", s.path, err)
		}
		l := cfg.Kinds[kind]
		for _, f := range []struct {
			from *float64
			to   *float64
		}{
			{k.FailLow, &l.FailLow}, {k.FailHigh, &l.FailHigh}, {k.SuspectLow, &l.SuspectLow}, {k.SuspectHigh, &l.SuspectHigh},
			{k.Spike, &l.SpikeK}, {k.Rate, &l.RateKPerMin}, {k.Tau, &l.TauMin}, {k.Hop, &l.HopS},
		} {
			if f.from != nil {
				*f.to = *f.from
			}
		}
		if k.Source != "" {
			l.Source = k.Source
		}
		cfg.Kinds[kind] = l
	}
	var own []stream.Pattern
	for _, p := range s.Sensors {
		kind := stream.Other
		if p.Kind != "" {
			var err error
			if kind, err = stream.ParseKind(p.Kind); err != nil {
				return fmt.Errorf("config file %s: sensors match %q: %w", s.path, p.Match, err)
			}
		}
		own = append(own, stream.Pattern{Match: p.Match, Kind: kind, Period: p.Period})
	}
	cfg.Patterns = append(own, cfg.Patterns...)
	return nil
}
