package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/camrail/cidp/cmd/cidp/floor"
)

// folder makes a data folder.
func (b *bench) folder() (string, error) {
	dir, err := os.MkdirTemp(b.cfg.Data, "cidp-bench-*")
	if err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	return dir, nil
}

func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove data folder: %w", err)
	}
	return nil
}

// askedFor is how long a database that nobody writes is asked.
const askedFor = time.Second

// restart starts the platform again on what the run left, and asks the database what people ask. The system still has the files in memory, as after an update of the program.
func (b *bench) restart(ctx context.Context, r *run) error {
	if info, err := os.Stat(r.database()); err == nil {
		r.figures.set(databaseSize, float64(info.Size())/mib)
	}
	begin := time.Now()
	if err := b.start(ctx, r); err != nil {
		return fmt.Errorf("start again: %w", err)
	}
	defer r.platform.kill()
	if err := ready(ctx, r.platform.http); err != nil {
		return fmt.Errorf("start again: %w", err)
	}
	r.figures.set(startMillis, millis(time.Since(begin)))
	if now, _ := Resident(r.platform.cmd.Process.Pid); now > 0 {
		r.figures.set(startResident, float64(now)/mib)
	}
	answers, _, err := b.ask(ctx, r, floor.Asking{Readers: 1, Last: askedFor})
	if err != nil {
		return err
	}
	r.figures.answers(answers)
	return r.platform.stop()
}

// ready waits until a platform says that it accepts and commits.
func ready(ctx context.Context, url string) error {
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(startWithin); ; {
		res, err := client.Get(url + "/readyz")
		if err != nil {
			return fmt.Errorf("ask whether it is ready: %w", err)
		}
		if err := res.Body.Close(); err != nil {
			return fmt.Errorf("ask whether it is ready: %w", err)
		}
		if res.StatusCode == http.StatusOK {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("it is not ready after %s: %s", startWithin, res.Status)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// ask lets another program ask the run's database, and says how much processor time that took it.
func (b *bench) ask(ctx context.Context, r *run, a floor.Asking) (answers []floor.Answered, cpu time.Duration, err error) {
	cmd := b.command("bench-floor", "ask", "--data", r.database(), "--readers", strconv.Itoa(a.Readers), "--pause", a.Pause.String(), "--for", a.Last.String())
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, 0, fmt.Errorf("ask the database: %w", err)
	}
	if err := json.Unmarshal(out, &answers); err != nil {
		return nil, 0, fmt.Errorf("ask the database: %w", err)
	}
	return answers, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), ctx.Err()
}

// Names of a question's figures.
func askMedian(question string) string { return "ask_" + question + "_p50_ms" }
func ask99(question string) string     { return "ask_" + question + "_p99_ms" }
func askRows(question string) string   { return "ask_" + question + "_rows" }
func askCount(question string) string  { return "ask_" + question + "_answers" }

// answers tells how long they took.
func (f *figures) answers(all []floor.Answered) {
	for _, a := range all {
		slices.Sort(a.Millis)
		f.set(askMedian(a.Name), quantile(a.Millis, 0.5))
		f.set(ask99(a.Name), quantile(a.Millis, 0.99))
		f.set(askRows(a.Name), a.Rows)
		f.set(askCount(a.Name), float64(len(a.Millis)))
	}
}

// quantile of sorted values: the least that is not below the share.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
