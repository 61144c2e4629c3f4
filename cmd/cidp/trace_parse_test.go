package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

// tracedCall is one system call. The lines of the trace are in the order in which strace saw calls begin and end, and a thread goes on only
// after that.
type tracedCall struct {
	name, fd   string
	data       []byte
	cut        bool // the trace does not hold all of data
	begin, end int  // lines; end is 0 while it has not come back
	result     int64
}

// readTrace reads a trace that strace wrote with -f -yy -xx, joining the halves of calls that others came between.
func readTrace(t *testing.T, path, addr string) *trace {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := &trace{port: addr, conns: map[string]*tracedConn{}, written: map[string]int{}}
	type half struct {
		text  string
		begin int
	}
	open := map[string]half{}
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return tr // the last line is whole
		}
		tr.lines++
		pid, body, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		body = strings.TrimLeft(body, " ")
		begin, whole := tr.lines, true
		if rest, ok := strings.CutSuffix(body, "<unfinished ...>"); ok {
			open[pid], body, whole = half{rest, tr.lines}, rest, false
		} else if strings.HasPrefix(body, "<... ") {
			_, rest, _ := strings.Cut(body, " resumed>")
			body, begin = open[pid].text+rest, open[pid].begin
			delete(open, pid)
		}
		if c, ok := tr.call(body, begin, whole); ok {
			if err := tr.take(c); err != nil {
				t.Fatalf("line %d of the trace: %v", tr.lines, err)
			}
		}
	}
}

// call reads one call on a file or a socket, or the first half of one: name(fd<what it is>, "bytes", ...) = result.
func (tr *trace) call(body string, begin int, whole bool) (c tracedCall, ok bool) {
	name, rest, ok := strings.Cut(body, "(")
	if !ok {
		return c, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r == ',' || r == ')' || r == ' ' })
	if end < 0 || rest[end-1] != '>' {
		return c, false
	}
	c = tracedCall{name: name, fd: string(unhex(rest[:end])), begin: begin}
	for rest = rest[end:]; ; {
		from := strings.IndexByte(rest, '"')
		if from < 0 {
			break
		}
		length := strings.IndexByte(rest[from+1:], '"')
		if length < 0 {
			return c, false
		}
		c.data = append(c.data, unhex(rest[from+1:from+1+length])...)
		rest = rest[from+2+length:]
		c.cut = c.cut || strings.HasPrefix(rest, "...")
	}
	if at := strings.LastIndex(rest, ") "); whole && at >= 0 {
		result, _, _ := strings.Cut(strings.TrimLeft(rest[at+2:], " ="), " ")
		if n, err := strconv.ParseInt(result, 10, 64); err == nil {
			c.end, c.result = tr.lines, n
		}
	}
	return c, true
}

// unhex undoes strace's \x2f; other characters stay.
func unhex(s string) []byte {
	out := make([]byte, 0, len(s)/4+8)
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			out = append(out, nibble(s[i+2])<<4|nibble(s[i+3]))
			i += 3
		} else {
			out = append(out, s[i])
		}
	}
	return out
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
