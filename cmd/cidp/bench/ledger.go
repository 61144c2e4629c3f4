package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/camrail/cidp/store"
)

// Ledger is what became of the readings of a scenario, all runs together.
type Ledger struct {
	Sent      int64 `json:"sent"`
	Acked     int64 `json:"acknowledged"`
	Received  int64 `json:"received"`
	Stored    int64 `json:"stored"`
	Duplicate int64 `json:"duplicate"`
	Late      int64 `json:"late"`
	Refused   int64 `json:"refused"`
	Lost      int64 `json:"lost"`
	Verified  int   `json:"verified"` // runs whose database was proved by cidp verify
}

func (l *Ledger) add(o *Ledger) {
	l.Sent += o.Sent
	l.Acked += o.Acked
	l.Received += o.Received
	l.Stored += o.Stored
	l.Duplicate += o.Duplicate
	l.Late += o.Late
	l.Refused += o.Refused
	l.Lost += o.Lost
	l.Verified += o.Verified
}

// settleWithin is how long the platform has to have counted what it acknowledged, and to take what nobody is told of.
const settleWithin = time.Minute

// settle proves that nothing of a run was lost: by the platform's own count, and by its database. Then it adds what only an ended process tells.
func (b *bench) settle(ctx context.Context, r *run) error {
	l := &r.ledger
	l.Sent, l.Acked = r.sent, r.acked
	for end := time.Now().Add(settleWithin); ; {
		counts, err := Scrape(r.platform.http)
		if err != nil {
			return err
		}
		l.read(counts, r.s.shape.QoS)
		if l.Received >= l.Sent && l.balanced() || time.Now().After(end) {
			break
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	if err := l.check(r.s.shape.QoS); err != nil {
		return err
	}
	if err := r.platform.stop(); err != nil {
		return err
	}
	if n := r.platform.written(); n > 0 && l.Stored > 0 {
		r.figures.set(bytesReading, float64(n)/float64(l.Stored))
	}
	if err := r.readProfile(b); err != nil {
		return err
	}
	return r.verify(ctx)
}

// readProfile makes stages of the run's profile, and keeps it where that was asked for.
func (r *run) readProfile(b *bench) (err error) {
	if !r.profiled(b) {
		return nil
	}
	if r.stages, err = stages(r.profile(), r.ledger.Received); err != nil || b.cfg.Profiles == "" {
		return err
	}
	text, err := os.ReadFile(r.profile())
	if err == nil {
		err = os.WriteFile(filepath.Join(b.cfg.Profiles, r.s.name+".pprof"), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep profile: %w", err)
	}
	return nil
}

// read takes what the platform has counted. Lost is what it had acknowledged and does not have; at QoS 0, where nobody is told, what was sent.
func (l *Ledger) read(c Counts, qos int) {
	outcome := func(name string) int64 { return int64(c.Sum(`cidp_readings_total{outcome="` + name + `"`)) }
	l.Received = int64(c["cidp_readings_received_total"])
	l.Stored, l.Duplicate, l.Late, l.Refused = outcome("stored"), outcome("duplicate"), outcome("late"), outcome("refused")
	owed := l.Acked
	if qos == 0 {
		owed = l.Sent
	}
	l.Lost = max(0, owed-l.accounted())
}

func (l *Ledger) accounted() int64 { return l.Stored + l.Duplicate + l.Late + l.Refused }

// balanced is the ledger law.
func (l *Ledger) balanced() bool { return l.Received == l.accounted() }

// check says what does not add up. What was sent at QoS 0 must have been received too: the connection did not break.
func (l *Ledger) check(qos int) error {
	switch {
	case l.Lost > 0 && qos == 0:
		return fmt.Errorf("%d readings are lost: %d were sent at QoS 0, and %d stored + %d duplicate + %d late + %d refused", l.Lost, l.Sent, l.Stored, l.Duplicate, l.Late, l.Refused)
	case l.Lost > 0:
		return fmt.Errorf("%d readings are lost: %d were acknowledged, and %d stored + %d duplicate + %d late + %d refused", l.Lost, l.Acked, l.Stored, l.Duplicate, l.Late, l.Refused)
	case !l.balanced():
		return fmt.Errorf("the ledger does not hold: received %d, and stored %d + duplicate %d + late %d + refused %d", l.Received, l.Stored, l.Duplicate, l.Late, l.Refused)
	case l.Received != l.Sent:
		return fmt.Errorf("%d readings were sent at QoS %d and %d received", l.Sent, qos, l.Received)
	case l.Duplicate > 0 || l.Refused > 0:
		return fmt.Errorf("%d readings were refused and %d taken for repeats: none is", l.Refused, l.Duplicate)
	}
	return nil
}

// verify proves the run's database, and that it holds what was counted.
func (r *run) verify(ctx context.Context) error {
	report, err := store.Verify(ctx, r.database(), nil)
	if err != nil {
		return fmt.Errorf("verify the database: %w", err)
	}
	if !report.OK {
		return fmt.Errorf("verify the database: %d breaches, the first is %s: %s", len(report.Breaches), report.Breaches[0].Check, report.Breaches[0].Detail)
	}
	received, stored := r.earlier.Received+r.ledger.Received, r.earlier.Stored+r.ledger.Stored
	if t := store.Sum(report.Ledger); int64(t.Received) != received || int64(t.Stored) != stored {
		return fmt.Errorf("verify the database: it has received %d and stored %d, the platform counted %d and %d", t.Received, t.Stored, received, stored)
	}
	r.ledger.Verified++
	return nil
}
