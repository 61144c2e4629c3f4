package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a program under test: the platform, or a floor that serves.
type child struct {
	cmd        *exec.Cmd
	mqtt, http string // addresses that it says it serves on
	said       tail
	exited     chan struct{} // closed when err is there
	err        error
}

// Times that a child has.
const (
	startWithin = 30 * time.Second
	stopWithin  = 30 * time.Second
)

// launch starts the program with arguments and waits until it says where it serves. It logs as JSON; what it says last is part of the error when it ends too early.
func (b *bench) launch(ctx context.Context, args ...string) (*child, error) {
	c := &child{exited: make(chan struct{})}
	c.cmd = b.command(args...)
	out, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(args, " "), err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(args, " "), err)
	}
	serving := make(chan struct{})
	go func() {
		c.listen(out, serving)
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	select {
	case <-serving:
		return c, nil
	case <-c.exited:
		return nil, fmt.Errorf("%s ended before it served (%v): %s", strings.Join(args, " "), c.err, &c.said)
	case <-time.After(startWithin):
		c.kill()
		return nil, fmt.Errorf("%s does not serve after %s: %s", strings.Join(args, " "), startWithin, &c.said)
	case <-ctx.Done():
		c.kill()
		return nil, ctx.Err()
	}
}

// command is this program with other arguments. Settings of whoever runs the measurement are not those of what is measured.
func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.Command(b.cfg.Program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CIDP_") })
	cmd.Env = append(cmd.Env, b.cfg.Env...)
	return cmd
}

// listen reads what the child says until it ends. The first line with an address closes serving.
func (c *child) listen(out io.Reader, serving chan<- struct{}) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ MQTT, Console string }
		if c.mqtt == "" && json.Unmarshal(lines.Bytes(), &line) == nil && line.MQTT != "" {
			c.mqtt, c.http = line.MQTT, strings.TrimSuffix(line.Console, "/")
			close(serving)
		}
		c.said.add(lines.Text())
	}
}

// stop asks the child to end in order, and waits for that.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop child: %w", err)
	}
	select {
	case <-c.exited:
	case <-time.After(stopWithin):
		c.kill()
		return fmt.Errorf("the child did not stop within %s: %s", stopWithin, &c.said)
	}
	if c.err != nil {
		return fmt.Errorf("the child ended with %w: %s", c.err, &c.said)
	}
	return nil
}

// kill ends the child at once, if it has not ended.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.exited
}

// tail is what a child said last.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 20

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines = append(t.lines, line); len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

// last is its last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return ""
	}
	return t.lines[len(t.lines)-1]
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, " | ")
}
