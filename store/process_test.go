package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// A test that needs another process starts this binary again with childEnv set to what it is to do.
const childEnv = "CIDP_STORE_CHILD"

func TestMain(m *testing.M) {
	if what, path, ok := strings.Cut(os.Getenv(childEnv), " "); ok {
		if err := child(what, path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child opens the database; to "commit" it commits until it is killed, and tells each commit once it is done. To "share" it does what nobody may.
func child(what, path string) error {
	if what == "share" {
		return share(path)
	}
	db, err := store.Open(path, store.Options{})
	if err != nil || what != "commit" {
		return err
	}
	b := &store.Batch{Batch: &stream.Batch{}, ID: 1}
	newPlant(inOrder()).register(b)
	for ts := t0; ; ts += 100 {
		for i := range int64(50) {
			b.Readings = append(b.Readings, stream.Stored{SensorID: i%6 + 1, Reading: stream.Reading{TS: ts + i}})
		}
		if ts == t0 {
			for i := range int64(6) {
				b.Opened = append(b.Opened, stream.Open{SensorID: i + 1, From: ts + i})
			}
		}
		count(b, 0)
		if err := db.Commit(b); err != nil {
			return err
		}
		fmt.Println(b.ID)
		b = &store.Batch{Batch: &stream.Batch{}, ID: db.LastCommit() + 1, Committed: ts}
	}
}

func run(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what+" "+path)
	return cmd
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	out, err := run(t, "open", path).Output()
	if err == nil || !strings.Contains(string(out), "in use by another process") || !strings.Contains(string(out), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the second process said %q, %v", out, err)
	}
	if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the same process, twice: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "open", path).Output(); err != nil {
		t.Errorf("after the first let go: %q, %v", out, err)
	}
}

func TestRemove(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	if err := store.Remove(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("remove while open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestKilledProcessLosesNothingItTold kills a committing process: what it told is there, the law holds, and the next one goes on.
func TestKilledProcessLosesNothingItTold(t *testing.T) {
	path := dbPath(t)
	cmd := run(t, "commit", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := int64(0)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if told, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		if told == 200 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if told < 200 {
		t.Fatalf("the child told %d commits", told)
	}
	holds(t, path)
	db := open(t, path, store.Options{})
	if db.LastCommit() < told {
		t.Errorf("%d commits are there, %d were told", db.LastCommit(), told)
	}
	if n := one(t, path, `SELECT count(*) FROM telemetry`); n != strconv.FormatInt(50*db.LastCommit(), 10) {
		t.Errorf("%s readings in %d commits", n, db.LastCommit())
	}
}

// TestForeignReader lets Debian's sqlite3 read the stopped database.
func TestForeignReader(t *testing.T) {
	cli, err := exec.LookPath("sqlite3")
	if err != nil {
		if os.Getenv("CIDP_REQUIRE_PEERS") == "1" {
			t.Fatal("sqlite3 is not installed")
		}
		t.Skip("sqlite3 is not installed")
	}
	path := filled(t)
	for _, c := range []struct{ sql, want string }{
		{`SELECT count(*) FROM telemetry`, "180"},
		{`SELECT sum(temp_c > 40), min(flag), max(flag) FROM telemetry`, "179|1|4"},
		{`SELECT count(*) FROM context`, "10"},
		{`SELECT count(*) FROM window_now`, "24"},
		{`SELECT count(*) FROM risk_now`, "6"},
		{`SELECT count(*) FROM kpi_asset_daily`, "2"},
		{`SELECT count(*) FROM kpi_data_quality`, "6"},
		{`SELECT sum(value) FROM ledger WHERE counter = 'stored'`, "190"},
		{`PRAGMA integrity_check`, "ok"},
	} {
		out, err := exec.Command(cli, path, c.sql).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.sql, got, err, c.want)
		}
	}
	out, err := exec.Command(cli, path, `EXPLAIN QUERY PLAN SELECT count(*) FROM telemetry`).CombinedOutput()
	if err != nil || strings.Contains(string(out), "sensor") || strings.Contains(string(out), "flag") {
		t.Errorf("its plan of count: %s, %v", out, err)
	}
	if out, err := exec.Command(cli, path, `.dump`).Output(); err != nil || !strings.Contains(string(out), "CREATE TABLE telemetry_window") {
		t.Errorf("its dump: %d bytes, %v", len(out), err)
	}
}

func TestUnwritableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(filepath.Join(dir, "x.sqlite"), store.Options{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("open: %v", err)
	}
}

// TestReadsInAnUnwritableFolder: a stopped database can be verified where nothing may be made beside it.
func TestReadsInAnUnwritableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere")
	}
	path := filled(t)
	if err := os.Chmod(filepath.Dir(path), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Dir(path), 0o755) })
	holds(t, path)
	digest(t, path)
}

func TestFolderThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(filepath.Join(file, "x.sqlite"), store.Options{})
	if err == nil || !strings.Contains(err.Error(), "make database folder") {
		t.Errorf("open: %v", err)
	}
}

func FuzzCutText(f *testing.F) {
	for _, s := range []string{"", "axle1", "a\x00b", "\xff\xfe", strings.Repeat("é", 600), strings.Repeat("x", 1023) + "€", strings.Repeat("\x80", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := store.CutText(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") || len(got) > 3*store.NameBytes {
			t.Errorf("%q became %q", s, got)
		}
		if utf8.ValidString(s) && len(s) <= store.NameBytes && !strings.Contains(s, "\x00") && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
