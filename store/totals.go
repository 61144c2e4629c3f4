package store

// Totals are the ledger added up.
type Totals struct {
	Received, Stored, Duplicate, Late, Refused, Expired int64
	RefusedByReason                                     map[string]int64 // of messages and readings
	QuarantinedByReason                                 map[string]int64 // of windows; a window may have several
}

// Sum adds ledger rows up.
func Sum(rows []LedgerRow) Totals {
	t := Totals{RefusedByReason: map[string]int64{}, QuarantinedByReason: map[string]int64{}}
	for _, r := range rows {
		switch r.Counter {
		case counterReceived:
			t.Received += r.Value
		case counterStored:
			t.Stored += r.Value
		case counterDuplicate:
			t.Duplicate += r.Value
		case counterLate:
			t.Late += r.Value
		case counterRefused:
			t.Refused += r.Value
			t.RefusedByReason[r.Reason] += r.Value
		case counterExpired:
			t.Expired += r.Value
		case counterQuarantine:
			t.QuarantinedByReason[r.Reason] += r.Value
		}
	}
	return t
}

// Holds says whether everything received is accounted for: the first half of the ledger law.
func (t Totals) Holds() bool { return t.Received == t.Stored+t.Duplicate+t.Late+t.Refused }

// Forgotten is what retention took, beside the stored that Totals counts as expired.
type Forgotten struct{ Windows, Transitions, Messages, Late int64 }

// Forget adds up what retention took by ledger rows.
func Forget(rows []LedgerRow) (f Forgotten) {
	for _, r := range rows {
		switch r.Counter {
		case expiredOf(counterWindow):
			f.Windows += r.Value
		case expiredOf(counterAlert):
			f.Transitions += r.Value
		case expiredOf(counterRefused):
			f.Messages += r.Value
		case expiredOf(counterLate):
			f.Late += r.Value
		}
	}
	return f
}
