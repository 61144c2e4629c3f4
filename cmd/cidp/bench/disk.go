package bench

import (
	"os"
	"path/filepath"
	"strings"
)

// fileSystem names the kind of file system that a folder is on ("ext4"), empty where that is not known: it is read from /proc/self/mountinfo (proc(5)).
func fileSystem(dir string) string {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return ""
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return mountedAt(string(text), path)
}

// unescaped are the characters that mountinfo writes as octal numbers.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountedAt finds the mount with the longest path that leads to this one; of several in one place the last covers the others.
func mountedAt(mounts, path string) (kind string) {
	longest := -1
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		place, of := strings.Fields(before), strings.Fields(after)
		if len(place) < 5 || len(of) < 1 {
			continue
		}
		at := strings.TrimSuffix(unescaped.Replace(place[4]), "/")
		if rest, ok := strings.CutPrefix(path, at); ok && (rest == "" || rest[0] == '/') && len(at) >= longest {
			longest, kind = len(at), of[0]
		}
	}
	return kind
}

// inMemory says whether a kind of file system writes to no disk.
func inMemory(kind string) bool { return kind == "tmpfs" || kind == "ramfs" }
