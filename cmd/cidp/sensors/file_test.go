package sensors_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/sensors"
	"github.com/camrail/cidp/stream"
)

// read parses and applies a text to the defaults.
func read(text string) (stream.Config, error) {
	f, err := sensors.Parse("some/where/sensors.toml", []byte(text))
	if err != nil {
		return stream.Config{}, err
	}
	return f.Apply(stream.DefaultConfig())
}

func TestEveryMistakeGetsASentenceWithItsLine(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"\n[[sensor]\n", "sensors.toml line 3: expected"},
		{"[[sensor]]\nmatch = \"x\"\nperiod = 10\n", "sensors.toml line 3: the value of sensor.period is a whole number, and must be a text in quotes"},
		{"[[sensor]]\nmatch = \"x\"\n\ncolour = \"red\"\n", `sensors.toml line 4: unknown key "sensor.colour"; a [[sensor]] has match, kind,`},
		{"[[sensor]]\nmatch = \"y\"\n[[sensor]]\nmatch = \"x\"\n[sensor.lmits]\nspike_k=1\n", `sensors.toml line 5: unknown key "sensor.lmits"`},
		{"# one\n\n[sensors]\nx = 1\n", `sensors.toml line 3: unknown key "sensors"`},
		{"speed = 4\n", `sensors.toml line 1: unknown key "speed"`},
		{"[kind.wheel]\nspike_k = 3\n", `sensors.toml line 1: kind "wheel" is not one of other, bearing, motor, brake, transformer`},
		{"[kind.brake]\n\nfail_heigh_c = 3\n", `sensors.toml line 3: there is no limit "fail_heigh_c"; the limits are fail_low_c, suspect_low_c, suspect_high_c,`},
		{"[kind.brake]\nfail_high_c = \"hot\"\n", "sensors.toml line 2: the limit fail_high_c must be a number"},
		{"[kind.brake]\nfail_high_c = [1, 2]\n", "sensors.toml line 2: the limit fail_high_c must be one number, not 2"},
		{"[kind.brake]\nfail_high_c = [\n[1]]\n", "sensors.toml line 2: the limit fail_high_c must be a number"},
		{"[kind.brake]\nfail_high_c = inf\n", "sensors.toml line 2: the limit fail_high_c must be a number, not +Inf"},
		{"[kind.brake]\nsource = 3\n", "sensors.toml line 2: the source must be a text: who says so"},
		{"\n[kind.bearing]\nfail_high_c = 100\n", "sensors.toml line 2: the limits of kind bearing must be in order: fail low, suspect low, suspect high, fail high"},
		{"\n\n[[sensor]]\nkind = \"motor\"\n", "sensors.toml line 3: a [[sensor]] needs match: a sensor as site/asset/sensor, or a pattern"},
		{"[[sensor]]\nmatch = \"x\"\nkind = \"weel\"\n", `sensors.toml line 3: kind "weel" is not one of`},
		{"[[sensor]]\nmatch = \"x\"\nperiod = \"soon\"\n", `sensors.toml line 3: the period "soon" is no time: write "10s"`},
		{"[[sensor]]\nmatch = \"x\"\nperiod = \"25h\"\n", "sensors.toml line 1: the period must be between 1ms and 24h"},
		{"[[sensor]]\nmatch = \"x\"\nlimits = {}\n", "sensors.toml line 3: the limits are empty: give at least one of fail_low_c"},
		{"[[sensor]]\nmatch = \"x\"\nlimits = { source = \"me\" }\n", "sensors.toml line 3: the limits are empty"},
		{"[[sensor]]\nmatch = \"x\"\nkind = \"motor\"\nlimits = { fail_high_c = 100 }\n", "sensors.toml line 4: the limits of kind motor must be in order"},
		{"[[sensor]]\nmatch = \"x\"\nlimits = { spikes = 100 }\n", `sensors.toml line 3: there is no limit "spikes"`},
		{"[[sensor]]\nmatch = \"a/b\"\n", `sensors.toml line 1: the match "a/b" must be a sensor's name or site/asset/sensor`},
		{"[[sensor]]\nmatch = \"x\"\n[[sensor]]\nmatch = \"x\"\n", `sensors.toml line 3: the match "x" is there already: sensors.toml line 1`},
		{"sensor = [ { match = \"x\" } ]\n", "sensors.toml line 1: write every sensor as a [[sensor]] table of its own"},
		{"[[sensor]]\nmatch = \"x\"\ncolour = 1\naxle = -1\n", `sensors.toml line 3: unknown key "sensor.colour"`},
	} {
		_, err := read(test.text)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v\nwant %s", test.text, err, test.want)
		}
	}
	var many strings.Builder
	for i := range 30 {
		fmt.Fprintf(&many, "[[sensor]]\nmatch = \"x%d\"\naxle = -1\n", i)
	}
	if _, err := read(many.String()); err == nil || strings.Count(err.Error(), "\n") != 10 || !strings.HasSuffix(err.Error(), "and 20 more mistakes") {
		t.Errorf("many: %v", err)
	}
}

func TestExampleIsRightAndExplained(t *testing.T) {
	f, err := sensors.Parse("sensors.toml", []byte(sensors.Example))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := f.Explain(&out, stream.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"every bearing, unless a rule says otherwise (bearing supplier's data sheet 4711, 2025):\n",
		"    fail_high_c    240 degC, was 250\n", "    tau_min        30 min\n",
		"the sensor douala/loco-7/hub-a: kind bearing, position axle3, axle 3, side left, period 10s\n",
		"sensors like douala/*/gearbox*-de: kind bearing, mate gearbox*-nde, suspect_high_c 150, fail_high_c 200, limits from \"gearbox manual\"\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not explained: %q in\n%s", want, out.String())
		}
	}
	cfg, err := f.Apply(stream.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	r := stream.NewRegistry(&cfg)
	for sensor, want := range map[[3]string]string{
		{"douala", "loco-7", "hub-a"}:           "bearing 10s 240",
		{"douala", "loco-7", "hub-d"}:           "other 0s 1000",
		{"douala", "loco-9", "gearbox2-de"}:     "bearing 0s 200",
		{"yaounde", "substation-2", "top-oil1"}: "transformer 1m0s 220",
		{"yaounde", "substation-22", "top-oil"}: "other 0s 1000",
	} {
		s := r.Resolve(sensor[0], sensor[1], sensor[2])
		if got := fmt.Sprintf("%s %s %g", s.Kind, s.Period, s.Limits.FailHigh); got != want {
			t.Errorf("%v: %s, want %s", sensor, got, want)
		}
	}
	if s := r.Resolve("douala", "loco-7", "hub-d"); s.Mate == nil || *s.Mate != "hub-c" {
		t.Error("hub-d has not hub-c as its mate")
	}
	if s := r.Resolve("douala", "loco-1", "gearbox2-de"); *s.Mate != "gearbox2-nde" || s.Limits.Source != "gearbox manual" || s.From.Limits != "sensors.toml line 39" {
		t.Errorf("gearbox: mate %s, source %s, from %+v", *s.Mate, s.Limits.Source, s.From)
	}
	lines := strings.Split(sensors.Example, "\n")
	if at := lines[39-1]; !strings.HasPrefix(at, "limits") {
		t.Errorf("line 39 is %q", at)
	}
}

// TestLinesAreRight where TOML lets a table begin on what looks like another.
func TestLinesAreRight(t *testing.T) {
	for _, text := range []string{
		"# [[sensor]]\n[kind.bearing] # [[sensor]]\nsource = \"\"\"\n[[sensor]]\n\\\"\"\"\n[[sensor]]\\\\\"\"\"\n\"spike_k\" = 5.0\n[[ sensor ]]\nmatch = 'x'\n[[sensor]] #x\nmatch = \"y=#[\"\naxle = -7\n",
		"[kind.\"bearing\"]\nsource = '''\n[[sensor]]\n''' # '''\n\n\n\n[[\"sensor\"]]\nmatch = \"\\\"\\\\\"\n[[sensor]]\nmatch = '[a]'\nlimits = { \"source\" = '}', spike_k = 1 } # {\naxle = -7\n",
	} {
		_, err := read(text)
		if err == nil || !strings.Contains(err.Error(), "sensors.toml line 10: the ") {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

func TestApplyLeavesTheBaseAlone(t *testing.T) {
	f, err := sensors.Parse("f", []byte("[kind.bearing]\nspike_k = 6\n[[sensor]]\nmatch = \"x\"\nperiod = \"0s\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	base := stream.DefaultConfig()
	cfg, err := f.Apply(base)
	if err != nil || base.Kinds[stream.Bearing].SpikeK != 5 || cfg.Kinds[stream.Bearing].SpikeK != 6 || len(base.Rules) != 0 {
		t.Errorf("%v: %+v", err, base.Kinds[stream.Bearing])
	}
	if r := cfg.Rules[0]; r.Period == nil || *r.Period != time.Duration(0) {
		t.Errorf("rule %+v", r)
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if _, err := sensors.Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "does not exist") {
		t.Error(err)
	}
	if _, err := sensors.Read(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := sensors.Read(filepath.Join(dir, "f")); err != nil || string(text) != "x" {
		t.Error(text, err)
	}
}

// FuzzParse: whatever the bytes, nothing panics; what is taken makes a valid configuration, and the same one when it is read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sensors.Example))
	f.Add([]byte("[[sensor]]\nmatch = \"x\"\nlimits = { spike_k = 3 }\n[kind.motor]\ntau_min = 1e3\n"))
	f.Add([]byte("[[sensor]]\nmatch = \"*\"\nmate = \"a*\"\n\"\\u0061xle\" = 3\nsource='''\n"))
	f.Add([]byte("sensor.x = \"\"\"\\\"\"\"\"\nkind.bearing.spike_k = 4\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := sensors.Parse("f", text)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("a mistake without a sentence")
			}
			return
		}
		cfg, err := file.Apply(stream.DefaultConfig())
		if err != nil {
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		digest, err := cfg.Digest()
		if err != nil {
			t.Fatal(err)
		}
		again, err := sensors.Parse("g", append(text, "\n# a comment\n"...))
		if err != nil {
			t.Fatal(err)
		}
		other, err := again.Apply(stream.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if d, err := other.Digest(); err != nil || d != digest {
			t.Errorf("digest %s (%v), before %s", d, err, digest)
		}
		r := stream.NewRegistry(&cfg)
		for _, rule := range cfg.Rules {
			sensor := strings.NewReplacer("*", "a", "?", "b").Replace(rule.Match[strings.LastIndexByte(rule.Match, '/')+1:])
			if s := r.Resolve("site", "asset", sensor); s.Limits == nil || s.From.Kind == "" || s.From.Limits == "" {
				t.Errorf("%s: %+v", sensor, s)
			}
		}
	})
}
