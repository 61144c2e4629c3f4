package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// TestMain lets the test binary be the program: a test that needs a real process starts itself again with this variable set. With CIDP_TEST_KILL as well
// the process kills itself at a step.
func TestMain(m *testing.M) {
	if os.Getenv("CIDP_TEST_AS_PROGRAM") == "1" {
		atStep = killAtStep(os.Getenv("CIDP_TEST_KILL"))
		main()
		return
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn) // a temporary folder
	}
	os.Exit(code)
}

// program is the real program as a child process.
type program struct {
	cmd        *exec.Cmd
	mqtt, http string
	data       string
	stderr     *bytes.Buffer
	done       chan error
}

// startProgram runs cidp as a child and waits until it is ready.
func startProgram(t *testing.T, data string, args ...string) *program {
	t.Helper()
	p := launched(t, os.Args[0], data, args...)
	wait(t, "the child to be ready", func() bool {
		res, err := http.Get("http://" + p.http + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

// launched runs a binary, this one or another, as a child on ports of its own, and waits for nothing.
func launched(t *testing.T, binary, data string, args ...string) *program {
	t.Helper()
	p := &program{data: data, mqtt: lowAddr(t), http: lowAddr(t), stderr: &bytes.Buffer{}, done: make(chan error, 1)}
	p.cmd = exec.Command(binary, append([]string{"run", "--data", data, "--mqtt", p.mqtt, "--http", p.http}, args...)...)
	p.cmd.Env = append(os.Environ(), "CIDP_TEST_AS_PROGRAM=1")
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		if t.Failed() {
			t.Logf("child: %s", p.stderr)
		}
	})
	return p
}

// stop sends SIGTERM and waits for an orderly end.
func (p *program) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			t.Fatalf("the child ended with %v: %s", err, p.stderr)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the child did not stop within 10 s")
	}
}

func (p *program) database() string { return filepath.Join(p.data, "industrial_dwh.sqlite") }

func (p *program) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(p.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// lowAddr gives a free port below those that the kernel gives to outgoing connections and to whoever asks for any: nobody else takes it while the program is down.
func lowAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := "127.0.0.1:" + strconv.Itoa(12_000+rand.IntN(18_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// wait polls a condition of another process, for which there is nothing to wait on.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited a minute for %s", what)
}

// peer finds a program from outside. Without it the test is skipped, or fails where CIDP_REQUIRE_PEERS=1 says that it must be there.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CIDP_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed, and CIDP_REQUIRE_PEERS=1", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// shared finds data beside the repository; without it the test is skipped.
func shared(t *testing.T, path string) string {
	t.Helper()
	full := filepath.Join("..", "..", "..", "shared", path)
	if _, err := os.Stat(full); err != nil {
		t.Skipf("../shared/%s is not there", path)
	}
	return full
}

// verified runs cidp verify, which must hold, and gives the digest.
func verified(t *testing.T, database string) string {
	t.Helper()
	code, out, errOut := cidp(t, "verify", database, "--digest")
	if code != 0 {
		t.Fatalf("verify: exit %d\n%s%s", code, out, errOut)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	digest := lines[len(lines)-1]
	if len(digest) != 64 {
		t.Fatalf("digest %q", digest)
	}
	return digest
}

// sqlite asks Debian's sqlite3 one question.
func sqlite(t *testing.T, database, sql string) string {
	t.Helper()
	out, err := exec.Command(peer(t, "sqlite3"), "-readonly", database, sql).CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3 %s: %v: %s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// reading is the payload of a healthy one.
func reading(ts int64, i int) string {
	return fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":25.5,"speed_kmh":60}`, ts, 45+float64(i*7%13)/10)
}

// writeFile puts a text into a folder and gives its path.
func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIsRun(t *testing.T) {
	for _, c := range []struct {
		args []string
		want bool
	}{
		{[]string{"run"}, true},
		{[]string{"--log-json", "--config", "demo", "--log-level", "debug", "run", "--data", "x"}, true},
		{[]string{"--config=x", "run"}, true},
		{[]string{"run", "--help"}, false},
		{[]string{"verify", "run"}, false},
		{[]string{"--config", "run", "verify"}, false},
		{nil, false},
	} {
		if got := isRun(c.args); got != c.want {
			t.Errorf("%q: %t", c.args, got)
		}
	}
	app, err := kong.New(&commands{}, kong.Vars{"version": version})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range app.Model.Flags {
		if !f.IsBool() && !isRun([]string{"--" + f.Name, "x", "run"}) {
			t.Errorf("--%s takes a value, which is taken for the command", f.Name)
		}
	}
}
