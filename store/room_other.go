//go:build !(linux || darwin || freebsd)

package store

// FileSystem does not know on this operating system.
func FileSystem(string) (free, size int64, known bool, err error) { return 0, 0, false, nil }
