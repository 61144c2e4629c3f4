package store

import "golang.org/x/sys/unix"

// blockSize is what blocks are counted in; Bsize is the best size to write, which some file systems give another value.
func blockSize(st *unix.Statfs_t) int64 {
	if st.Frsize > 0 {
		return int64(st.Frsize)
	}
	return int64(st.Bsize)
}
