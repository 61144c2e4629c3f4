package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/stream"
)

// tracedCalls are the system calls that bring bytes in, out and onto the disk.
const tracedCalls = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,sendfile,splice,pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range,msync"

// TestSyncComesBeforePUBACK runs the program under strace, publishes with a client that waits and with several at full speed, and proves for each reading from the trace of
// its system calls: before the bytes of its PUBACK (or PUBREC) were handed to the kernel, the page of the WAL that holds this very reading had been
// written, and an fdatasync of the WAL had begun after that and come back. SIGKILL cannot show a missing sync: the kernel keeps what was written.
func TestSyncComesBeforePUBACK(t *testing.T) {
	notBuiltForRaces(t)
	strace := peer(t, "strace")
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(strace, "-f", "-o", os.DevNull, path, "--version").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here (%v): %s", err, out)
	}
	log := filepath.Join(t.TempDir(), "trace")
	run, client := tracedFleet(time.Now().AddDate(-1, 0, 0).Truncate(time.Hour).UnixMilli())
	p := newMortal(t, strace)
	p.args = append([]string{"-f", "-yy", "-xx", "-s", "1048576", "-e", "signal=none", "-e", "trace=" + tracedCalls, "-o", log, path}, p.args...)
	p.start(t)
	p.ready(t)
	run.publish(t, p.mqtt, client, nil)
	run.finish(t, 2*time.Minute)
	stopTraced(t, p)
	tr := readTrace(t, log, p.mqtt)
	want := tr.keysOf(t, p.database())
	early := 0
	for _, a := range tr.acks {
		if a.key == "" {
			continue // nothing of it is stored as a reading
		}
		if why := tr.judge(a); why != "" {
			if early++; early <= 5 {
				t.Errorf("line %d of the trace: packet %d on %s: %s", a.at, a.id, a.conn, why)
			}
		}
	}
	if early > 5 {
		t.Errorf("%d acknowledgements in all came too early", early)
	}
	if tr.judged < want || want < 1000 {
		t.Errorf("%d acknowledgements were judged, %d readings and contexts are stored", tr.judged, want)
	}
	t.Logf("%d acknowledgements judged, %d of %d readings and contexts; %d writes to the WAL, %d syncs of it, %d lines of trace",
		tr.judged, len(tr.written), want, tr.writes, len(tr.syncs), tr.lines)
}

// tracedFleet is one asset with a client that waits for each answer, and one with three that do not.
func tracedFleet(begin int64) (*crashRun, map[*feedSource]crashClient) {
	r := &crashRun{}
	slow, fast := newFeedAsset("loco-1", begin), newFeedAsset("loco-2", begin)
	slow.end, fast.end = 120, 600
	r.assets = []*feedAsset{slow, fast}
	return r, map[*feedSource]crashClient{
		r.source(slow, "axle1-left", 1, ""):  paho5Client(1),
		r.source(fast, "axle1-left", 1, ""):  rawClient(1),
		r.source(fast, "axle1-right", 1, ""): rawClient(2),
		r.source(fast, "axle2-left", 1, ""):  pahoClient(1),
		r.source(fast, "", 5, ""):            rawClient(1),
	}
}

// stopTraced ends the program, and not strace, which would leave it alone.
func stopTraced(t *testing.T, p *mortal) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.data, "cidp.lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		p.running = nil
		if err != nil {
			t.Fatalf("strace ended with %v: %s", err, p.log)
		}
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Fatal("the traced program did not stop")
	}
}

// trace is what a trace tells of one program.
type trace struct {
	port    string
	lines   int
	conns   map[string]*tracedConn
	acks    []*tracedAck
	pages   []tracedCall // writes to the WAL that hold pages
	writes  int
	syncs   [][2]int       // of the WAL: where each began and came back
	written map[string]int // by key: where the first page that holds it had been written
	judged  int
}

// tracedConn is one client's connection.
type tracedConn struct {
	in, out []byte // not yet whole packets
	version byte
	sent    map[uint16]*tracedAck // PUBLISH packets by id
}

// tracedAck is a message and its acknowledgement.
type tracedAck struct {
	conn    string
	id      uint16
	arrived int // line at which its last byte had been read
	at      int // line at which its PUBACK or PUBREC began to be written, 0: never
	topic   string
	payload []byte
	key     string // as it lies in the page; empty: nothing is stored for it
}

// take notes what a call did: bytes out when it begins, everything else when it has come back.
func (tr *trace) take(c tracedCall) error {
	wal := strings.HasSuffix(c.fd, "-wal>")
	client := strings.Contains(c.fd, "<TCP:["+tr.port+"->")
	if c.cut && (wal || client) {
		return fmt.Errorf("%s: the trace is cut", c.name)
	}
	reads := strings.HasPrefix(c.name, "read") || strings.HasPrefix(c.name, "recv")
	switch {
	case client && reads && c.end != 0 && c.result > 0:
		return tr.received(c)
	case client && (c.name == "sendfile" || c.name == "splice"):
		return fmt.Errorf("%s to a client is not understood", c.name)
	case client && !reads && c.begin == tr.lines:
		return tr.answered(c)
	case wal && strings.HasPrefix(c.name, "pwrite") && c.end != 0 && c.result == int64(len(c.data)):
		tr.writes++
		if len(c.data) >= 512 {
			tr.pages = append(tr.pages, c)
		}
	case wal && (c.name == "fdatasync" || c.name == "fsync") && c.end != 0 && c.result == 0:
		tr.syncs = append(tr.syncs, [2]int{c.begin, c.end})
	}
	return nil
}

func (tr *trace) conn(fd string) *tracedConn {
	c := tr.conns[fd]
	if c == nil {
		c = &tracedConn{version: 4, sent: map[uint16]*tracedAck{}}
		tr.conns[fd] = c
	}
	return c
}

// packet takes one whole MQTT packet off the front of b.
func packet(b []byte) (first byte, body, rest []byte, whole bool) {
	if len(b) < 2 {
		return 0, nil, b, false
	}
	n, used := binary.Uvarint(b[1:]) // the same encoding
	if used <= 0 || uint64(len(b)-1-used) < n {
		return 0, nil, b, false
	}
	at := 1 + used
	return b[0], b[at : at+int(n)], b[at+int(n):], true
}

// packets takes the whole packets off the front of what was read.
func packets(b *[]byte, take func(first byte, body []byte) error) error {
	for {
		first, body, rest, whole := packet(*b)
		if !whole {
			return nil
		}
		*b = rest
		if err := take(first, body); err != nil {
			return err
		}
	}
}

// received takes what a client sent: its PUBLISH packets arrive with this read.
func (tr *trace) received(call tracedCall) error {
	c := tr.conn(call.fd)
	c.in = append(c.in, call.data...)
	return packets(&c.in, func(first byte, body []byte) error {
		switch first >> 4 {
		case 1:
			c.version = body[6]
		case 3:
			n := 2 + int(binary.BigEndian.Uint16(body))
			if first&6 == 0 || len(body) < n+2 {
				return fmt.Errorf("PUBLISH % x is not understood", body)
			}
			m := &tracedAck{conn: call.fd, id: binary.BigEndian.Uint16(body[n:]), arrived: tr.lines, topic: string(body[2:n]), payload: body[n+2:]}
			if c.version == 5 {
				length, used := binary.Uvarint(m.payload)
				m.payload = m.payload[used+int(length):]
			}
			m.payload = bytes.Clone(m.payload)
			c.sent[m.id] = m
			tr.acks = append(tr.acks, m)
		}
		return nil
	})
}

// answered takes what a client is about to be sent.
func (tr *trace) answered(call tracedCall) error {
	c := tr.conn(call.fd)
	c.out = append(c.out, call.data...)
	return packets(&c.out, func(first byte, body []byte) error {
		if kind := first >> 4; kind == 4 || kind == 5 {
			m := c.sent[binary.BigEndian.Uint16(body)]
			if m == nil {
				return fmt.Errorf("an acknowledgement of packet % x, which was not sent", body)
			}
			m.at = call.begin
		}
		return nil
	})
}

// keysOf gives each message the key under which its reading or context is stored, finds where each key was written to the WAL, and says how many readings and
// contexts a database has.
func (tr *trace) keysOf(t *testing.T, database string) (stored int) {
	t.Helper()
	db := crashOpen(t, database, sqlite3.OPEN_READWRITE)
	defer db.Close()
	ids := map[string]int64{}
	crashRows(t, db, `SELECT site || '/' || asset || '/' || sensor, sensor_id FROM sensor JOIN asset USING (asset_id)
		UNION ALL SELECT site || '/' || asset, asset_id FROM asset`, func(s *sqlite3.Stmt) { ids[s.ColumnText(0)] = s.ColumnInt64(1) })
	keys := map[string]bool{}
	crashRows(t, db, `SELECT key, 't' FROM reading UNION ALL SELECT key, 'c' FROM context_reading`, func(s *sqlite3.Stmt) {
		keys[s.ColumnText(1)+rowid(s.ColumnInt64(0))] = true
	})
	for _, a := range tr.acks {
		name := strings.TrimPrefix(strings.TrimPrefix(a.topic, "cidp/v1/telemetry/"), "cidp/v1/context/")
		var ts int64
		if n, err := fmt.Sscanf(string(a.payload), `{"ts":%d,`, &ts); n != 1 || err != nil || ids[name] == 0 {
			continue
		}
		kind := "t"
		if strings.HasPrefix(a.topic, "cidp/v1/context/") {
			kind = "c"
		}
		if key := rowid(stream.Key(ts, ids[name])); keys[kind+key] {
			a.key = key
		}
	}
	tr.findKeys()
	return len(keys)
}

// rowid is how SQLite writes a large integer key: nine bytes, seven bits in each of the first eight.
func rowid(key int64) string {
	var b [9]byte
	b[8] = byte(key)
	for i, v := 7, uint64(key)>>8; i >= 0; i, v = i-1, v>>7 {
		b[i] = byte(v) | 0x80
	}
	return string(b[:])
}

// findKeys looks for the keys of all messages in the pages that were written to the WAL.
func (tr *trace) findKeys() {
	wanted, starts := map[string]bool{}, map[[3]byte]bool{}
	for _, a := range tr.acks {
		if a.key != "" {
			wanted[a.key] = true
			starts[[3]byte([]byte(a.key))] = true
		}
	}
	for _, p := range tr.pages {
		for i := 0; i+9 <= len(p.data); i++ {
			if !starts[[3]byte(p.data[i:])] {
				continue
			}
			key := string(p.data[i : i+9])
			if _, before := tr.written[key]; wanted[key] && !before {
				tr.written[key] = p.end
			}
		}
	}
}

// judge says what is wrong with an acknowledgement, if anything.
func (tr *trace) judge(a *tracedAck) string {
	if a.at == 0 {
		return "it was never acknowledged"
	}
	tr.judged++
	written, ok := tr.written[a.key]
	switch {
	case !ok:
		return "no page written to the WAL holds its reading"
	case written >= a.at:
		return fmt.Sprintf("it was acknowledged before the page that holds its reading was written, on line %d", written)
	}
	for _, s := range tr.syncs {
		if s[0] > written && s[1] < a.at {
			return ""
		}
	}
	return fmt.Sprintf("no sync of the WAL began after its page was written on line %d and came back before its acknowledgement", written)
}
