package store

import (
	"bytes"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// publish puts what is to be told into the outbox, and takes out what was told. The rows of one statement get ids that follow each other.
func (w *writer) publish(p *pass) error {
	if len(p.Outbox) == 0 {
		return w.forget(p.Sent)
	}
	told := make(map[revision]textAt, len(p.Predictions))
	for i := range p.Predictions {
		told[revision{p.Predictions[i].WindowID, p.Predictions[i].Revision}] = w.explained[i]
	}
	for out := p.Outbox; len(out) > 0; {
		q, n := w.outbox, 1
		if len(out) >= together {
			q, n = w.outboxRows, together
		}
		for i := range out[:n] {
			o := &out[i]
			retain := int64(0)
			if o.Retain {
				retain = 1
			}
			q.text(o.Topic)
			if cut, ok := w.leaveOut(o, told[revision{o.WindowID, o.Revision}]); ok {
				q.blob(w.text).int(retain).int(p.ID).int(o.WindowID).int(int64(o.Revision)).int(int64(cut))
			} else {
				q.blob(o.Payload).int(retain).int(p.ID).null().null().null()
			}
		}
		if err := q.run(); err != nil {
			return err
		}
		last := w.c.LastInsertRowID()
		for i := range out[:n] {
			out[i].ID = last - int64(n-1-i)
		}
		out = out[n:]
	}
	return w.forget(p.Sent)
}

// leaveOut takes the explanation, as the prediction's row has it, out of a payload that tells of the prediction, into w.text, and says how many bytes come before it.
func (w *writer) leaveOut(o *Publication, of textAt) (cut int, ok bool) {
	if of == (textAt{}) { // it tells of none
		return 0, false
	}
	explanation := w.texts[of.from:of.to]
	if cut = bytes.Index(o.Payload, explanation); cut < 0 {
		return 0, false
	}
	w.text = append(append(w.text[:0], o.Payload[:cut]...), o.Payload[cut+len(explanation):]...)
	return cut, true
}

// forget deletes publications, those whose ids follow each other at once.
func (w *writer) forget(sent []int64) error {
	for len(sent) > 0 {
		n := 1
		for n < len(sent) && sent[n] == sent[n-1]+1 {
			n++
		}
		if err := w.sent.int(sent[0]).int(sent[n-1]).run(); err != nil {
			return fmt.Errorf("delete publications %d to %d: %w", sent[0], sent[n-1], err)
		}
		sent = sent[n:]
	}
	return nil
}

// outboxRows reads publications o; publicationAt makes one of a row.
const outboxRows = `SELECT o.outbox_id, o.topic, o.payload, o.retain, o.window_id, o.revision, o.cut, p.explanation FROM outbox o
	LEFT JOIN ai_telemetry_predictions p ON p.window_id = o.window_id AND p.revision = o.revision `

// publicationAt gives back the payload that was committed, byte by byte.
func publicationAt(s *sqlite3.Stmt) (Publication, error) {
	o := Publication{ID: s.ColumnInt64(0), Topic: s.ColumnText(1), Payload: s.ColumnBlob(2, nil), Retain: s.ColumnInt(3) != 0, WindowID: s.ColumnInt64(4), Revision: s.ColumnInt(5)}
	if o.WindowID == 0 {
		return o, nil
	}
	cut := s.ColumnInt(6)
	if isNull(s, 7) || cut < 0 || cut > len(o.Payload) {
		return o, fatalf("read publication %d: the explanation of window %d revision %d, which belongs at %d of its %d bytes, is not there", o.ID, o.WindowID, o.Revision, cut, len(o.Payload))
	}
	whole := append(make([]byte, 0, len(o.Payload)+300), o.Payload[:cut]...)
	whole = append(append(whole, s.ColumnRawText(7)...), o.Payload[cut:]...)
	o.Payload = whole
	return o, nil
}

// wholeAgain makes the publications of predictions whole that are about to go.
const wholeAgain = `UPDATE outbox SET window_id = NULL, revision = NULL, cut = NULL, payload = CAST(substr(payload, 1, cut) ||
	(SELECT p.explanation FROM ai_telemetry_predictions p WHERE p.window_id = outbox.window_id AND p.revision = outbox.revision) || substr(payload, cut + 1) AS BLOB) WHERE window_id BETWEEN ? AND ?`
