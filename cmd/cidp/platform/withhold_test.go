package platform

import (
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func TestPublicationIsWithheld(t *testing.T) {
	dir := t.TempDir()
	var p *Platform
	var stop func()
	open := func() (*ear, mqtt.Client) {
		p, stop = start(t, dir, nil)
		return listen(t, p, "ear"), client(t, p, "train")
	}
	at := base()
	e, c := open()
	step := func(n, stuck int) {
		for range n {
			for _, asset := range []string{"a", "b"} {
				minutes(t, c, asset, at, 1, stuck, 40)
			}
			at += 60_000
		}
	}
	const risk, alert = riskPrefix + "d/a/axle1-left", alertsPrefix + "d/a/_asset"
	step(6, 0)
	until(t, "a risk", func() bool { return e.on(risk) != "" })
	step(6, 3)
	until(t, "the status to be degraded", func() bool {
		return strings.Contains(e.on(statusTopic), `"degraded"`) && strings.Contains(e.on(statusTopic), "of 2 assets are quarantined")
	})
	if ok, _ := p.status.Ready(); !ok {
		t.Error("not ready: readings are still taken")
	}
	told := e.count("raised", "quarantined")
	if e.on(alert) != "" {
		t.Errorf("told while it stands: %s", e.on(alert))
	}
	step(2, 3)
	if n := e.count("raised", "quarantined"); n != told {
		t.Errorf("%d events, %d before", n, told)
	}
	waiting := ask(t, dir, `SELECT count(*) FROM outbox`)
	if waiting == 0 || !strings.Contains(get(t, p, "/metrics"), "cidp_publications_withheld ") {
		t.Errorf("%d wait", waiting)
	}
	stop()
	verify(t, dir)

	e, c = open()
	step(1, 3)
	if e.on(alert) != "" || !strings.Contains(e.on(statusTopic), `"degraded"`) {
		t.Errorf("after the restart: alert %q, status %s", e.on(alert), e.on(statusTopic))
	}
	step(9, 0)
	until(t, "publication to go on", func() bool { return strings.Contains(e.on(statusTopic), `"online"`) && e.on(risk) != "" })
	until(t, "the outbox to be empty", func() bool { return ask(t, dir, `SELECT count(*) FROM outbox`) == 0 })
	if got := e.on(alert); got != "" { // raised and cleared meanwhile
		t.Errorf("alert %s", got)
	}
	for _, kind := range []string{"raised", "cleared"} { // no event vanished
		if n := e.count(kind, "of the asset's last 20 windows"); n != 2 {
			t.Errorf("%d events of fail-safes %s", n, kind)
		}
	}
	if n, m := int64(e.quarantines()), ask(t, dir, `SELECT count(*) FROM quarantine_window WHERE end_ms > ?`, "0"); n == 0 || n > m {
		t.Errorf("%d events of %d quarantined windows", n, m)
	}
	stop()
	verify(t, dir)
}

// quarantines counts the events of quarantined windows.
func (e *ear) quarantines() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.events {
		if strings.Contains(ev, `"event":"quarantine"`) {
			n++
		}
	}
	return n
}
