package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
)

// built gives the real program, built once in a test run. TestMain removes it.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cidp-built-*")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "cidp")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// builtIn is the folder of the built program, empty until there is one.
var builtIn string

// mortal is the program on one folder and one pair of addresses, as often as it is killed.
type mortal struct {
	path          string
	data          string
	mqtt, http    string
	args, env     []string
	starts, kills int
	inRecovery    int // kills before the program had said that it runs
	stopping      int // kills after it was asked to end
	running       *exec.Cmd
	done          chan error
	log           *childLog
	ended         error // of the last one
}

// newMortal lays out a program that is not started yet. An empty path is this test binary as the program.
func newMortal(t *testing.T, path string) *mortal {
	t.Helper()
	m := &mortal{path: path, data: t.TempDir(), mqtt: lowAddr(t), http: lowAddr(t)}
	if path == "" {
		m.path, m.env = os.Args[0], []string{"CIDP_TEST_AS_PROGRAM=1"}
	}
	m.args = []string{"run", "--data", m.data, "--mqtt", m.mqtt, "--http", m.http, "--model", modeltest.File(t, modeltest.Default(t, modeltest.Passed())), "--history-after", "0",
		"--disorder", (crashDisorder * crashTick * time.Millisecond).String(), "--idle", "10m"}
	t.Cleanup(func() {
		if m.running != nil {
			m.kill()
		}
		if t.Failed() && m.log != nil {
			t.Logf("the last child: %s", m.log)
		}
	})
	return m
}

// noRace skips what starts this test binary as the program and has much to do: with the race detector it takes minutes, and other tests look for races in the program.
func noRace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the program takes minutes for this with the race detector")
	}
}

// notBuiltForRaces skips, under the race detector, what runs the program as a user builds it: without the detector, which then watches the test alone.
func notBuiltForRaces(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the program is built without the race detector")
	}
}

// sequential skips, under the race detector, a test in which nothing runs beside anything else but the threads of a training, which package model tests: there is no race to find, and it takes ten times as long.
func sequential(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("nothing in it is concurrent but the threads of a training: package model tests those")
	}
}

func (m *mortal) database() string { return filepath.Join(m.data, "industrial_dwh.sqlite") }

// start starts the program and does not wait for it.
func (m *mortal) start(t *testing.T, env ...string) {
	t.Helper()
	m.starts++
	m.running = exec.Command(m.path, m.args...)
	m.running.Env = append(append(os.Environ(), m.env...), env...)
	m.log = &childLog{}
	m.running.Stderr = m.log
	if err := m.running.Start(); err != nil {
		t.Fatal(err)
	}
	m.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(m.running, m.done)
}

// kill ends the program with SIGKILL and waits until it is gone.
func (m *mortal) kill() {
	_ = m.running.Process.Kill() // it may have killed itself
	m.ended = <-m.done
	m.running = nil
	m.kills++
	if !m.log.has(saysItRuns) {
		m.inRecovery++
	}
}

// died waits until the program has killed itself: some steps come only when retention looks again, every ten seconds.
func (m *mortal) died(t *testing.T) {
	t.Helper()
	select {
	case m.ended = <-m.done:
		m.running = nil
		m.kills++
		if status, ok := m.ended.(*exec.ExitError); !ok || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ended with %v, not by SIGKILL: %s", m.ended, m.log)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the child still lives after a minute: %s", m.log)
	}
}

// livesFor lets the program run; it must not end.
func (m *mortal) livesFor(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case m.ended = <-m.done:
		m.running = nil
		t.Fatalf("the child ended by itself with %v: %s", m.ended, m.log)
	case <-time.After(d):
	}
}

// ready waits until the program says that it accepts and commits.
func (m *mortal) ready(t *testing.T) {
	t.Helper()
	m.wait(t, "to be ready", func() bool {
		res, err := http.Get("http://" + m.http + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// saysItRuns is what the program logs once it has recovered.
const saysItRuns = "cidp is running"

// runs waits until the program says that it runs.
func (m *mortal) runs(t *testing.T) {
	t.Helper()
	m.wait(t, "to run", func() bool { return m.log.has(saysItRuns) })
}

// wait polls a condition of the program, which must not end meanwhile.
func (m *mortal) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	wait(t, "the child "+what, func() bool {
		select {
		case err := <-m.done:
			m.running = nil
			t.Fatalf("the child ended by itself with %v: %s", err, m.log)
		default:
		}
		return ok()
	})
}

// stop asks the program to end, which it must do in order.
func (m *mortal) stop(t *testing.T) {
	t.Helper()
	if err := m.running.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-m.done:
		m.running = nil
		if err != nil {
			t.Fatalf("the child ended with %v: %s", err, m.log)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("the child did not stop")
	}
}

// verified runs cidp verify as a process of its own on a database, live or not, which must hold, and gives the digest.
func (m *mortal) verified(t *testing.T, database string) string {
	t.Helper()
	cmd := exec.Command(m.path, "verify", database, "--digest")
	cmd.Env = append(os.Environ(), m.env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("verify: %v\n%s%s", err, &out, &errOut)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	digest := lines[len(lines)-1]
	if len(digest) != 64 {
		t.Fatalf("digest %q", digest)
	}
	return digest
}

// corpse copies what a killed program left on disk, as the next one would find it, and gives the copy of the database. The next corpse takes its place.
func (m *mortal) corpse(t *testing.T) string {
	t.Helper()
	to := filepath.Join(m.data, "corpse", "copy.sqlite")
	if err := os.RemoveAll(filepath.Dir(to)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		from, err := os.Open(m.database() + suffix)
		if os.IsNotExist(err) && suffix != "" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(to + suffix)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, from)
		from.Close()
		if closeErr := out.Close(); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
	}
	return to
}

// childLog is what a child says on stderr; it may be read while the child speaks.
type childLog struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *childLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *childLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *childLog) has(text string) bool { return strings.Contains(l.String(), text) }
