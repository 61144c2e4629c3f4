//go:build !unix

package broker

// writeAtOnce writes nothing here: the writing goroutine does.
func writeAtOnce(uintptr, []byte) int { return 0 }

// readsAtOnce says whether readAtOnce can. Here connections are read in the standard way.
const readsAtOnce = false

func readAtOnce(uintptr, []byte) (int, error) { return -1, nil }
