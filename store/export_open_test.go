package store

// AppendTimes is appendTimes.
func AppendTimes(from, to int64, times []int64) ([]byte, error) {
	return appendTimes(nil, from, to, times)
}

// ReadTimes is readTimes.
func ReadTimes(b []byte, from, to int64) ([]int64, bool) { return readTimes(b, from, to) }
