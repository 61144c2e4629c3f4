package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"
)

// count asks a stopped database for one number.
func count(t *testing.T, database, sql string) int64 {
	t.Helper()
	db, err := sqlite3.OpenFlags(database, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, _, err := db.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Step() {
		t.Fatalf("%s: no row (%v)", sql, s.Err())
	}
	return s.ColumnInt64(0)
}

func TestReplayHourlyFahrenheit(t *testing.T) {
	file := shared(t, "data/nab/ambient_temperature_system_failure.csv")
	p := startProgram(t, t.TempDir())
	code, out, errOut := cidp(t, "replay", file, "--broker", "tcp://"+p.mqtt, "--time", "timestamp", "--temp", "value", "--unit", "f",
		"--site", "office", "--asset", "hvac", "--sensor", "ambient")
	if code != 0 || !strings.Contains(out, "7267 readings sent, 7267 acknowledged") {
		t.Fatalf("exit %d, %q, %q", code, out, errOut)
	}
	p.stop(t)
	verified(t, p.database())
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM telemetry`: 7267,
		// 69.88083514 degF
		`SELECT count(*) FROM telemetry WHERE ts_ms = 1372896000000 AND temp_c = 21.045`: 1,
		`SELECT (max(end_ms) - min(start_ms)) / 86400000 FROM telemetry_window`:          328,
		`SELECT period_ms FROM sensor`:                         3_600_000,
		`SELECT count(*) > 1150 FROM ai_telemetry_predictions`: 1,
		`SELECT count(*) FROM outbox`:                          0,
		`SELECT count(*) - (SELECT count(*) FROM ai_telemetry_predictions) - (SELECT count(*) FROM quarantine_window) FROM telemetry_window`: 0,
	} {
		if got := count(t, p.database(), sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

// TestReplayDoesNotDependOnOrder replays the hydraulic file in order, and shuffled within the disorder over several connections: equal
// digests. With one value changed the digest differs. The whole file is for CIDP_LONG=1; two hours of it are enough to see it work, and half an hour for the race detector.
func TestReplayDoesNotDependOnOrder(t *testing.T) {
	file := shared(t, "data/hydraulic/ts_1hz.csv.gz")
	rows := hydraulicRows(t, file)
	switch {
	case raceDetector:
		rows = rows[:1800]
	case os.Getenv("CIDP_LONG") != "1":
		rows = rows[:7200]
	}
	ordered := filepath.Join(t.TempDir(), "hydraulic.csv")
	writeRows(t, ordered, rows)
	digest := func(send func(p *program)) (string, *program) {
		p := startProgram(t, t.TempDir(), "--commit-every", "1ms")
		send(p)
		p.stop(t)
		return verified(t, p.database()), p
	}
	replay := func(file string) func(p *program) {
		return func(p *program) {
			code, out, errOut := cidp(t, "replay", file, "--broker", "tcp://"+p.mqtt, "--site", "zema", "--asset", "rig")
			if want := fmt.Sprintf("%d readings sent, %[1]d acknowledged", 4*len(rows)); code != 0 || !strings.Contains(out, want) {
				t.Fatalf("exit %d, %q, %q", code, out, errOut)
			}
		}
	}
	inOrder, p := digest(replay(ordered))
	if got, want := count(t, p.database(), `SELECT count(*) FROM telemetry`), int64(4*len(rows)); got != want {
		t.Errorf("%d readings stored, want %d", got, want)
	}
	span := int64(len(rows)) * 1000
	if got := count(t, p.database(), `SELECT max(end_ms) - min(start_ms) FROM ai_telemetry_predictions`); got < span-180_000 {
		t.Errorf("predictions span %d ms of %d", got, span)
	}
	shuffled, _ := digest(func(p *program) { sendShuffled(t, p, rows) })
	if shuffled != inOrder {
		t.Errorf("shuffled within the disorder: digest %s, in order %s", shuffled, inOrder)
	}
	changed := slices.Clone(rows)
	changed[len(rows)/2].temps[2] += 0.001
	file = filepath.Join(t.TempDir(), "hydraulic.csv")
	writeRows(t, file, changed)
	if other, _ := digest(replay(file)); other == inOrder {
		t.Error("one value changed, and the digest is the same")
	}
}

type hydraulicRow struct {
	ts    int64
	temps [4]float64
}

func hydraulicRows(t *testing.T, path string) []hydraulicRow {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]hydraulicRow, 0, len(records)-1)
	for _, r := range records[1:] {
		var row hydraulicRow
		if row.ts, err = strconv.ParseInt(r[0], 10, 64); err != nil {
			t.Fatal(err)
		}
		for k := range row.temps {
			if row.temps[k], err = strconv.ParseFloat(r[k+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func writeRows(t *testing.T, path string, rows []hydraulicRow) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "ts_ms,ts1_c,ts2_c,ts3_c,ts4_c")
	for _, r := range rows {
		fmt.Fprintf(w, "%d,%.3f,%.3f,%.3f,%.3f\n", r.ts, r.temps[0], r.temps[1], r.temps[2], r.temps[3])
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// sendShuffled sends each ten seconds of readings in random order over four connections, and the next ten seconds once those are acknowledged: no
// reading comes more than the disorder behind another.
func sendShuffled(t *testing.T, p *program, rows []hydraulicRow) {
	t.Helper()
	var clients [4]mqtt.Client
	for k := range clients {
		clients[k] = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID(fmt.Sprintf("shuffle-%d", k)))
		if tok := clients[k].Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
		defer clients[k].Disconnect(100)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for part := range slices.Chunk(rows, 10) {
		var tokens []mqtt.Token
		for _, i := range rng.Perm(4 * len(part)) {
			r, k := part[i/4], i%4
			tokens = append(tokens, clients[rng.IntN(len(clients))].Publish(fmt.Sprintf("cidp/v1/telemetry/zema/rig/ts%d_c", k+1), 1, false,
				fmt.Sprintf(`{"ts":%d,"temp_c":%.3f}`, r.ts, r.temps[k])))
		}
		for _, tok := range tokens {
			if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
				t.Fatalf("not acknowledged: %v", tok.Error())
			}
		}
	}
}

func TestReplayReportsMalformedRows(t *testing.T) {
	p := startProgram(t, t.TempDir(), "--history-after", "0")
	dir := t.TempDir()
	write := func(name, text string) string { return writeFile(t, dir, name, text) }
	for _, test := range []struct {
		name, file, text string
		args             []string
		sent             int
		reports          []string
	}{
		{"csv", "a.csv", "time,t1,note\n2025-03-30 01:30:00,20.5,x\nyesterday,21,x\n2025-03-30 03:30:00,warm,x\n2025-03-30 04:30:00,22,x\n2025-03-30 05:30:00\n",
			[]string{"--temp", "t1", "--tz", "Africa/Douala"}, 2, []string{`line 3: "yesterday" is not a time`, `line 4: "warm" is not a temperature`, "line 6: "}},
		{"ndjson", "b.ndjson", "{\"ts\":1700000000000,\"temp_c\":20,\"sensor\":\"s1\"}\nnot json\n{\"ts\":1700000001000,\"sensor\":\"s1\"}\n\n{\"ts\":\"2023-11-14T22:13:22Z\",\"temp_c\":20.5,\"sensor\":\"s2\",\"asset\":\"other\"}\n",
			nil, 2, []string{"line 2: malformed", "line 3: missing_field"}},
		{"quotes", "d.csv", "ts,a\n1700000000,\"20\"x\n\n17\"00000001,21\n1700000002,22\n", []string{"--temp", "a", "--sensor", "quoted"}, 1, []string{"line 2: ", "line 4: "}},
		{"kelvin", "c.csv", "ts,a,b\n1700000000,293.15,300\n", []string{"--unit", "k", "--sensor", "probe"}, 2, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := cidp(t, append([]string{"replay", write(test.file, test.text), "--broker", "tcp://" + p.mqtt}, test.args...)...)
			if want := fmt.Sprintf("%d malformed, %d readings sent, %[2]d acknowledged", len(test.reports), test.sent); code != 0 || !strings.Contains(out, want) {
				t.Errorf("exit %d, %q, want %q", code, out, want)
			}
			for _, r := range test.reports {
				if !strings.Contains(errOut, r) {
					t.Errorf("stderr %q lacks %q", errOut, r)
				}
			}
		})
	}
	p.stop(t)
	verified(t, p.database())
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM telemetry`: 7,
		`SELECT ts_ms FROM telemetry JOIN sensor USING (sensor_id) WHERE sensor = 't1' ORDER BY 1`:                       1_743_294_600_000,
		`SELECT temp_c * 1000 FROM telemetry JOIN sensor USING (sensor_id) WHERE sensor = 'probe-a'`:                     20_000,
		`SELECT count(*) FROM telemetry JOIN sensor USING (sensor_id) JOIN asset USING (asset_id) WHERE asset = 'other'`: 1,
	} {
		if got := count(t, p.database(), sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

func TestReplayInterrupted(t *testing.T) {
	p := startProgram(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "slow.csv")
	if err := os.WriteFile(file, []byte("ts,a\n1700000000,20\n1700000001,21\n1700999999,22\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, errOut bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"replay", file, "--speedup", "1000", "--broker", "tcp://" + p.mqtt}, &out, &errOut)
	}()
	p.stores(t, 2) // the third is due in a quarter of an hour
	interrupt()
	code := <-ended
	if code != 1 || errOut.String() != "cidp: stopped before the end of the file\n" || !strings.Contains(out.String(), "2 readings sent, 2 acknowledged") {
		t.Errorf("exit %d, %q, %q", code, out.String(), errOut.String())
	}
	p.stop(t)
}
