package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"
)

// crashSubscriber is an operator's client: Eclipse paho with a session that lasts, QoS 1, subscribed once and for all. It connects again by itself,
// and what it was told it keeps.
type crashSubscriber struct {
	client mqtt.Client

	mu       sync.Mutex
	messages int
	repeated int
	seen     map[string]toldMessage // by what identifies it: the event id, or the topic and the window
	payloads map[string]string      // likewise
	fresh    []toldMessage          // since they were last checked
	faults   []string
}

// toldMessage is what a payload of risk, alerts and events says (contract, section 2).
type toldMessage struct {
	topic       string
	Event       string    `json:"event"`
	EventID     string    `json:"event_id"`
	Site        string    `json:"site"`
	Asset       string    `json:"asset"`
	Sensor      string    `json:"sensor"`
	AlertID     string    `json:"alert_id"`
	At          time.Time `json:"at"`
	Kind        string    `json:"kind"`
	From        string    `json:"from"`
	To          string    `json:"to"`
	State       string    `json:"state"`
	Cause       string    `json:"cause"`
	Severity    string    `json:"severity"`
	WindowStart time.Time `json:"window_start"`
	Revision    int       `json:"revision"`
	Reasons     []string  `json:"reasons"`
	PFailure    float64   `json:"p_failure"`
	Level       string    `json:"level"`
	Source      string    `json:"source"`
}

// identity is the same each time the same thing is told.
func (m *toldMessage) identity() string {
	if strings.HasPrefix(m.topic, "cidp/v1/events/") {
		return "event " + m.EventID
	}
	return fmt.Sprintf("%s %s %d", m.topic, m.WindowStart.Format(time.RFC3339Nano), m.Revision)
}

var crashFilters = map[string]byte{"cidp/v1/alerts/#": 1, "cidp/v1/events/#": 1, "cidp/v1/risk/#": 1}

// watchCrashes connects and subscribes while the program runs.
func watchCrashes(t *testing.T, addr string) *crashSubscriber {
	t.Helper()
	s := &crashSubscriber{seen: map[string]toldMessage{}, payloads: map[string]string{}}
	s.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("control-room").SetCleanSession(false).
		SetStore(mqtt.NewOrderedMemoryStore()).SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.take(m.Topic(), m.Payload()) }))
	if token := s.client.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("the subscriber cannot connect: %v", token.Error())
	}
	if token := s.client.SubscribeMultiple(crashFilters, nil); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("the subscriber cannot subscribe: %v", token.Error())
	}
	t.Cleanup(func() { s.client.Disconnect(0) })
	return s
}

// watchWithMosquitto is the same with Debian's mosquitto_sub and MQTT 5, for the events alone. It subscribes again whenever it connects, which brings it nothing
// that it missed: events are never retained. Where it is not installed there is none.
func watchWithMosquitto(t *testing.T, addr string) *crashSubscriber {
	t.Helper()
	if _, err := exec.LookPath("mosquitto_sub"); err != nil && os.Getenv("CIDP_REQUIRE_PEERS") != "1" {
		t.Log("mosquitto_sub is not installed: paho alone watches")
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &crashSubscriber{seen: map[string]toldMessage{}, payloads: map[string]string{}}
	stdbuf, sub := peer(t, "stdbuf"), peer(t, "mosquitto_sub")
	ctx, cancel := context.WithCancel(t.Context())
	granted := make(chan struct{})
	once := sync.OnceFunc(func() { close(granted) })
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	running.Go(func() {
		for ctx.Err() == nil { // it ends when the program says DISCONNECT, as it does when it is asked to end
			cmd := exec.CommandContext(ctx, stdbuf, "-oL", sub, "-h", "127.0.0.1", "-p", port, "-i", "night-shift", "-V", "mqttv5", "-c", "-x", "3600",
				"-q", "1", "-t", "cidp/v1/events/#", "-F", "%t %p", "-d")
			if out, err := cmd.StdoutPipe(); err == nil && cmd.Start() == nil {
				s.listen(out, once)
				_ = cmd.Wait() // how it ended does not matter
			}
			pause(ctx, 50*time.Millisecond)
		}
	})
	select {
	case <-granted:
	case <-time.After(10 * time.Second):
		t.Fatal("mosquitto_sub cannot subscribe")
	}
	return s
}

// listen reads what one mosquitto_sub says until it ends.
func (s *crashSubscriber) listen(out io.Reader, granted func()) {
	in := bufio.NewScanner(out)
	for in.Buffer(nil, 1<<20); in.Scan(); {
		if topic, payload, ok := strings.Cut(in.Text(), " "); ok && strings.HasPrefix(topic, "cidp/v1/") {
			s.take(topic, []byte(payload))
		} else if strings.Contains(in.Text(), "received SUBACK") {
			granted()
		}
	}
}

// take notes a message before it is acknowledged.
func (s *crashSubscriber) take(topic string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	if len(payload) == 0 {
		return // an alert that stands no more
	}
	m := toldMessage{topic: topic}
	if err := json.Unmarshal(payload, &m); err != nil {
		s.faults = append(s.faults, fmt.Sprintf("%s: %s: %v", topic, payload, err))
		return
	}
	id := m.identity()
	if before, again := s.payloads[id]; again {
		if s.repeated++; before != string(payload) {
			s.faults = append(s.faults, fmt.Sprintf("%s was told twice and differently: %s, then %s", id, before, payload))
		}
		return
	}
	s.seen[id], s.payloads[id] = m, string(payload)
	s.fresh = append(s.fresh, m)
}

// count gives how many messages came, and how many of them again.
func (s *crashSubscriber) count() (messages, repeated int) {
	if s == nil {
		return 0, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages, s.repeated
}

// committed proves that what was told since the last call is in a database.
func (s *crashSubscriber) committed(t *testing.T, db *sqlite3.Conn) {
	t.Helper()
	if s == nil {
		return
	}
	s.mu.Lock()
	fresh := s.fresh
	s.fresh = nil
	faults := s.faults
	s.mu.Unlock()
	for _, f := range faults {
		t.Error(f)
	}
	const sensor = ` JOIN sensor s USING (sensor_id) JOIN asset a USING (asset_id) WHERE a.site = ? AND a.asset = ? AND s.sensor = ? `
	for _, m := range fresh {
		names := []any{m.Site, m.Asset, m.Sensor}
		var found string
		switch {
		case m.Event == "alert":
			found = crashAsk(t, db, `SELECT count(*) FROM alert_event e`+sensor+`AND e.alert_id = ? AND at_ms = ? AND e.kind = ? AND from_severity = ?
				AND to_severity = ? AND state = ? AND cause = ?`, append(names, m.AlertID, m.At.UnixMilli(), m.Kind, m.From, m.To, m.State, m.Cause)...)
		case m.Event == "quarantine":
			reasons, _ := json.Marshal(m.Reasons)
			found = crashAsk(t, db, `SELECT count(*) FROM quarantine_window q`+sensor+`AND start_ms = ? AND revision = ? AND reasons = ?`,
				append(names, m.WindowStart.UnixMilli(), m.Revision, string(reasons))...)
		case strings.HasPrefix(m.topic, "cidp/v1/risk/"):
			found = crashAsk(t, db, `SELECT count(*) FROM ai_telemetry_predictions p`+sensor+`AND start_ms = ? AND revision = ? AND p_failure = ? AND level = ? AND source = ?`,
				append(names, m.WindowStart.UnixMilli(), m.Revision, m.PFailure, m.Level, m.Source)...)
		default:
			found = crashAsk(t, db, `SELECT count(*) FROM ai_telemetry_predictions p`+sensor+`AND start_ms = ? AND p_failure = ? AND hold_worst IN (?, 'normal')
				AND EXISTS (SELECT 1 FROM alert WHERE alert_id = ?)`, append(names, m.WindowStart.UnixMilli(), m.PFailure, m.Severity, m.AlertID)...)
		}
		if found != "1" {
			t.Errorf("%s was told, and %s rows of the database say so: %s", m.identity(), found, s.payloads[m.identity()])
		}
	}
}

// complete proves that every transition and every quarantined window of a database reached the subscriber, each under one id; it waits for the last ones.
func (s *crashSubscriber) complete(t *testing.T, db *sqlite3.Conn) (transitions int) {
	t.Helper()
	if s == nil {
		return 0
	}
	want := map[string]bool{}
	crashRows(t, db, `SELECT alert_id, kind, at_ms FROM alert_event`, func(r *sqlite3.Stmt) {
		want[fmt.Sprintf("transition %s %s %d", r.ColumnText(0), r.ColumnText(1), r.ColumnInt64(2))] = true
	})
	transitions = len(want)
	crashRows(t, db, `SELECT site, asset, sensor, start_ms, revision FROM quarantine_window JOIN sensor USING (sensor_id) JOIN asset USING (asset_id)`, func(r *sqlite3.Stmt) {
		want[fmt.Sprintf("quarantine %s/%s/%s %d %d", r.ColumnText(0), r.ColumnText(1), r.ColumnText(2), r.ColumnInt64(3), r.ColumnInt64(4))] = true
	})
	var missing map[string]bool
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		missing = maps.Clone(want)
		s.mu.Lock()
		for _, m := range s.seen {
			switch m.Event {
			case "alert":
				delete(missing, fmt.Sprintf("transition %s %s %d", m.AlertID, m.Kind, m.At.UnixMilli()))
			case "quarantine":
				delete(missing, fmt.Sprintf("quarantine %s/%s/%s %d %d", m.Site, m.Asset, m.Sensor, m.WindowStart.UnixMilli(), m.Revision))
			}
		}
		s.mu.Unlock()
		if len(missing) == 0 {
			break
		}
	}
	if len(missing) > 0 {
		list := slices.Sorted(maps.Keys(missing))
		t.Errorf("%d of %d transitions and quarantined windows never reached the subscriber: %s", len(missing), len(want), strings.Join(list[:min(len(list), 5)], ", "))
	}
	events := 0
	s.mu.Lock()
	for _, m := range s.seen {
		if m.Event != "" {
			events++
		}
	}
	s.mu.Unlock()
	if events > len(want) {
		t.Errorf("%d events were told under ids of their own, and the database has %d", events, len(want))
	}
	return transitions
}

// retainedNow gives the retained payloads that a new subscriber is given, by topic. It waits until there are n of them.
func retainedNow(t *testing.T, addr string, n int) map[string]toldMessage {
	t.Helper()
	var mu sync.Mutex
	got := map[string]toldMessage{}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("newcomer"))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	defer c.Disconnect(0)
	c.SubscribeMultiple(map[string]byte{"cidp/v1/risk/#": 1, "cidp/v1/alerts/#": 1}, func(_ mqtt.Client, m mqtt.Message) {
		told := toldMessage{topic: m.Topic()}
		if err := json.Unmarshal(m.Payload(), &told); err != nil {
			t.Errorf("%s: %v", m.Topic(), err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[m.Topic()] = told
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	for end := time.Now().Add(30 * time.Second); count() < n && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // one too many would come too
	mu.Lock()
	defer mu.Unlock()
	return maps.Clone(got)
}

// retained proves that what stands retained is the newest of the database, and nothing else.
func retained(t *testing.T, addr string, db *sqlite3.Conn) {
	t.Helper()
	want := map[string]string{}
	crashRows(t, db, `SELECT site, asset, sensor, window_start_ms, p_failure, level FROM risk_now`, func(r *sqlite3.Stmt) {
		want["cidp/v1/risk/"+r.ColumnText(0)+"/"+r.ColumnText(1)+"/"+r.ColumnText(2)] = fmt.Sprint(r.ColumnInt64(3), r.ColumnFloat(4), " ", r.ColumnText(5))
	})
	crashRows(t, db, `SELECT site, asset, sensor, window_start_ms, alert_id, severity FROM alert WHERE state <> 'cleared'`, func(r *sqlite3.Stmt) {
		want["cidp/v1/alerts/"+r.ColumnText(0)+"/"+r.ColumnText(1)+"/"+r.ColumnText(2)] = fmt.Sprint(r.ColumnInt64(3), " ", r.ColumnText(4), " ", r.ColumnText(5))
	})
	got := map[string]string{}
	for topic, m := range retainedNow(t, addr, len(want)) {
		if strings.HasPrefix(topic, "cidp/v1/risk/") {
			got[topic] = fmt.Sprint(m.WindowStart.UnixMilli(), m.PFailure, " ", m.Level)
		} else {
			got[topic] = fmt.Sprint(m.WindowStart.UnixMilli(), " ", m.AlertID, " ", m.Severity)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("retained is %v, the database's newest is %v", got, want)
	}
}
