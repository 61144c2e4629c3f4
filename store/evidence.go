package store

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// evidenceBytes is what is kept of a refused payload when nothing else is said.
const evidenceBytes = 4096

// nameBytes bounds what evidence keeps of a topic, a client id and a detail: strangers choose them.
const nameBytes = 1024

// source is who sent what kind of bad message.
type source struct {
	client string
	reason stream.Reason
}

// evidence counts what quarantine_message holds, so that one noisy client cannot fill the disk. Its size is bounded by the cap of a reason.
type evidence struct {
	perSource, perReason, bytes int
	bySource                    map[source]int
	byReason                    map[stream.Reason]int
}

func loadEvidence(c *sqlite3.Conn, o Options) (evidence, error) {
	e := evidence{o.EvidencePerClientReason, o.EvidencePerReason, o.EvidenceBytes, map[source]int{}, map[stream.Reason]int{}}
	err := query(c, `SELECT reason, client_id, count(*) FROM quarantine_message GROUP BY reason, client_id`, func(s *sqlite3.Stmt) error {
		from, n := source{s.ColumnText(1), stream.Reason(s.ColumnText(0))}, s.ColumnInt(2)
		e.bySource[from] = n
		e.byReason[from.reason] += n
		return nil
	})
	if err != nil {
		return evidence{}, fmt.Errorf("count evidence: %w", err)
	}
	return e, nil
}

// stage is what one batch adds to the counts; it counts only once the batch is committed.
type stage struct {
	of       *evidence
	bySource map[source]int
	byReason map[stream.Reason]int
}

func (e *evidence) stage() *stage { return &stage{of: e} }

// admit says whether a refusal's evidence is still under the caps, and counts it if so.
func (s *stage) admit(from source) bool {
	if s.of.byReason[from.reason]+s.byReason[from.reason] >= s.of.perReason ||
		s.of.bySource[from]+s.bySource[from] >= s.of.perSource {
		return false
	}
	if s.bySource == nil {
		s.bySource, s.byReason = map[source]int{}, map[stream.Reason]int{}
	}
	s.bySource[from]++
	s.byReason[from.reason]++
	return true
}

func (e *evidence) take(s *stage) {
	for from, n := range s.bySource {
		e.bySource[from] += n
	}
	for reason, n := range s.byReason {
		e.byReason[reason] += n
	}
}

// evidences keeps what was refused, up to the caps, and counts the rest.
func (w *writer) evidences(p *pass) error {
	limit := p.evidence.of.bytes
	for i := range p.Refusals {
		r := &p.Refusals[i]
		from := source{cutText(r.Client), r.Reason}
		if !p.evidence.admit(from) {
			if p.over == nil {
				p.over = map[stream.Reason]int64{}
			}
			p.over[r.Reason]++
			continue
		}
		payload := r.Payload[:min(len(r.Payload), limit)]
		err := w.evidence.int(r.Received).text(cutText(r.Topic)).text(from.client).blob(payload).
			int(int64(r.Element)).text(string(r.Reason)).text(cutText(r.Detail)).run()
		if err != nil {
			return err
		}
	}
	return nil
}

// cutText shortens outside text to nameBytes, at a rune, and makes it valid UTF-8 without NUL, which SQLite's own shell would cut at.
func cutText(s string) string {
	if len(s) > nameBytes {
		cut := nameBytes
		for cut > nameBytes-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
