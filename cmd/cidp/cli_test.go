package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cidp runs one command line within the test and gives its exit code and what it said.
func cidp(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var o, e bytes.Buffer
	code = Main(ctx, args, &o, &e)
	return code, o.String(), e.String()
}

func TestBadInputGetsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string { return writeFile(t, dir, name, text) }
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	text := write("notes.txt", "these are notes, not a database, and long enough to have a header of sixteen bytes or more\n")
	unknownKey := write("unknown.toml", "data = \"x\"\nmqqt = \"127.0.0.1:1883\"\n")
	unknownNested := write("nested.toml", "[kinds.bearing]\nfail_heigh_c = 3\n")
	badKind := write("kind.toml", "[kinds.wheel]\nspike_k = 3.0\n")
	noToml := write("broken.toml", "data = \n")
	typed := write("typed.toml", "window = [1]\n")
	tables := write("tables.toml", "sensors-file = \"none.toml\"\n[[sensors]]\nmatch = \"hub*\"\nkind = \"bearing\"\n")
	rows := write("rows.csv", "when,value\n2020-01-01 00:00:00,1\n")

	for _, test := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"verify missing file", []string{"verify", filepath.Join(dir, "none.sqlite")}, 1, "does not exist"},
		{"verify not a database", []string{"verify", text}, 1, "not an SQLite database"},
		{"run on a file that is no database", []string{"run", "--data", notADatabase(t), "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"}, 1, "not an SQLite database"},
		{"run with a taken MQTT port", []string{"run", "--data", t.TempDir(), "--mqtt", busy.Addr().String(), "--http", "127.0.0.1:0"}, 1, "--mqtt"},
		{"run with a taken HTTP port", []string{"run", "--data", t.TempDir(), "--mqtt", "127.0.0.1:0", "--http", busy.Addr().String()}, 1, "--http"},
		{"run beyond loopback", []string{"run", "--data", t.TempDir(), "--mqtt", "0.0.0.0:0", "--http", "127.0.0.1:0"}, 1, "--allow-anonymous"},
		{"console beyond loopback", []string{"run", "--data", t.TempDir(), "--mqtt", "127.0.0.1:0", "--http", "0.0.0.0:0"}, 1, "--allow-anonymous"},
		{"run in a folder that is a file", []string{"run", "--data", text, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"}, 1, "notes.txt"},
		{"config file missing", []string{"run", "--config", filepath.Join(dir, "none.toml")}, 2, "does not exist"},
		{"config with an unknown key", []string{"run", "--config", unknownKey}, 2, `unknown key "mqqt"`},
		{"config with an unknown nested key", []string{"run", "--config", unknownNested}, 2, "fail_heigh_c"},
		{"config with an unknown kind", []string{"run", "--config", badKind}, 2, "wheel"},
		{"config that is no TOML", []string{"run", "--config", noToml}, 2, "broken.toml"},
		{"config with a wrong type", []string{"run", "--config", typed}, 2, `"window"`},
		{"run with a broken sensors file", []string{"run", "--data", t.TempDir(), "--sensors", unknownKey}, 2, `unknown.toml line 1: unknown key "data"`},
		{"run with a missing sensors file", []string{"run", "--data", t.TempDir(), "--sensors", filepath.Join(dir, "none.toml")}, 2, "none.toml does not exist"},
		{"config with sensors and a sensors file", []string{"run", "--data", t.TempDir(), "--config", tables}, 2, "sensors file none.toml does not exist"},
		{"sensors check of a broken file", []string{"sensors", "check", unknownNested}, 1, `nested.toml line 1: unknown key "kinds.bearing"`},
		{"sensors list without a database", []string{"sensors", "list", "--data", dir}, 1, "does not exist"},
		{"unknown command", []string{"rnu"}, 2, "rnu"},
		{"unknown flag", []string{"run", "--windwo", "60s"}, 2, "--windwo"},
		{"bad duration", []string{"run", "--window", "soon"}, 2, "--window"},
		{"window out of range", []string{"run", "--window", "1ms"}, 2, "between 1s and 24h"},
		{"replay of a missing file", []string{"replay", filepath.Join(dir, "none.csv")}, 1, "does not exist"},
		{"replay without a broker", []string{"replay", rows, "--time", "when", "--broker", "tcp://127.0.0.1:1"}, 1, "is a broker running there"},
		{"replay of an unknown column", []string{"replay", rows, "--time", "then"}, 2, `no column "then"`},
		{"replay without a time column", []string{"replay", rows}, 2, "--time"},
		{"replay in an unknown zone", []string{"replay", rows, "--tz", "Mars/Olympus"}, 2, "Mars/Olympus"},
		{"simulate of an unknown fault", []string{"simulate", "--broker", "tcp://127.0.0.1:1", "--faults", "gremlins"}, 2, "gremlins"},
		{"simulate without a broker", []string{"simulate"}, 2, "--broker"},
		{"demo in somebody's folder", []string{"demo", "--data", notADatabase(t)}, 1, "no demo made"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := cidp(t, test.args...)
			if code != test.code {
				t.Errorf("exit %d, want %d", code, test.code)
			}
			if lines := strings.Split(strings.TrimSpace(errOut), "\n"); len(lines) != 1 || !strings.Contains(errOut, test.says) {
				t.Errorf("stderr %q, want one line with %q", errOut, test.says)
			}
			if out != "" {
				t.Errorf("stdout %q", out)
			}
		})
	}
}

func notADatabase(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "industrial_dwh.sqlite"), []byte(strings.Repeat("not a database ", 300)), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPrecedenceIsFlagEnvironmentFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cidp.toml")
	// An address that cannot be listened on shows in the error which one was taken.
	if err := os.WriteFile(file, []byte("data = \""+dir+"\"\nhttp = \"127.0.0.1:0\"\nmqtt = \"from-file:x\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		_, _, errOut := cidp(t, append([]string{"run", "--config", file}, args...)...)
		return errOut
	}
	if got := run(); !strings.Contains(got, "from-file") {
		t.Errorf("file: %q", got)
	}
	t.Setenv("CIDP_MQTT", "from-env:x")
	if got := run(); !strings.Contains(got, "from-env") {
		t.Errorf("environment over file: %q", got)
	}
	if got := run("--mqtt", "from-flag:x"); !strings.Contains(got, "from-flag") {
		t.Errorf("flag over environment: %q", got)
	}
}

func TestHelpHasAnExample(t *testing.T) {
	for _, command := range []string{"demo", "run", "simulate", "replay", "verify", "train", "passwd", "sensors"} {
		code, out, _ := cidp(t, command, "--help")
		if code != 0 || !strings.Contains(out, "Example:") {
			t.Errorf("%s --help: exit %d, %q", command, code, out)
		}
	}
	if code, out, _ := cidp(t, "--version"); code != 0 || !strings.Contains(out, version) {
		t.Errorf("--version: exit %d, %q", code, out)
	}
}
