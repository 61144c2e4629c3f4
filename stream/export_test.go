package stream

import "time"

// ParseTopic shows parseTopic's verdict to the tests.
func ParseTopic(topic string) (context bool, reason Reason) {
	_, context, reason, _ = parseTopic(topic)
	return context, reason
}

// ParseMilli reads a JSON number as Decode does.
func ParseMilli(text string) (Milli, bool) { return parseMilli([]byte(text)) }

// MemoryRoundTrip decodes a stored memory and encodes it again.
func MemoryRoundTrip(b []byte) ([]byte, error) {
	var m memory
	if err := m.decode(b); err != nil {
		return nil, err
	}
	return m.encode(), nil
}

// SampleMemory encodes a memory with every field set to something else.
func SampleMemory() []byte {
	m := memory{
		Nominal: 60_000, First: 1_600_000_000_000, Last: 1_700_000_000_000, Intervals: [ringSize]int64{1, 2, 3, 4, 5, 6, 7, 8}, Next: 7, Gap: 9, Windows: 10,
		Quantum: 11, Value: -12, Since: 1_699_999_999_000,
	}
	for i := range m.Baseline {
		m.Baseline[i] = baseline{Rise: float64(i) - 0.1, N: int64(i)}
	}
	return m.encode()
}

// SetMost lowers how many sensors and assets a windower takes.
func (w *Windower) SetMost(n int) { w.most = n }

// Listen is the part of Tick that looks for silence.
func (w *Windower) Listen(mono time.Duration) { w.listen(mono) }
