package sensors

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// lines says on which line of a TOML text a table or a key stands: the decoder tells it of mistakes in the syntax only.
type lines struct {
	sensors []block        // [[sensor]], in order
	keys    map[string]int // of everything else, by its dotted name; the first
}

// block is where a [[sensor]] begins, and its keys.
type block struct {
	line int
	keys map[string]int
}

// of gives the line of a key of the block, or the block's.
func (b *block) of(key string) int {
	if line := b.keys[key]; line != 0 {
		return line
	}
	return b.line
}

// ofKey gives the line of a key, or of the table it is in, 0 when it stands nowhere.
func (l *lines) ofKey(key toml.Key) int {
	for n := len(key); n > 0; n-- {
		name := strings.Join(key[:n], ".")
		if line := l.keys[name]; line != 0 {
			return line
		}
		if rest, ok := strings.CutPrefix(name, "sensor."); ok {
			for i := range l.sensors {
				if line := l.sensors[i].keys[rest]; line != 0 {
					return line
				}
			}
		}
	}
	return 0
}

// findLines walks over a text that the decoder has accepted.
func findLines(text string) *lines {
	l := &lines{keys: map[string]int{}}
	in := "" // the table
	var s scan
	for i, line := range strings.Split(text, "\n") {
		if s.inside() {
			s.line(line)
			continue
		}
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "[["):
			in = header(line[2:])
			if in == "sensor" {
				l.sensors = append(l.sensors, block{i + 1, map[string]int{}})
			} else {
				l.note(in, i+1)
			}
		case strings.HasPrefix(line, "["):
			in = header(line[1:])
			l.note(in, i+1)
		case line != "" && line[0] != '#':
			key, value := cutKey(line)
			if in != "" {
				key = in + "." + key
			}
			l.note(key, i+1)
			s.line(value)
			continue
		}
	}
	return l
}

// note keeps the first line of a name; one within a [[sensor]] belongs to that.
func (l *lines) note(name string, line int) {
	into := l.keys
	if rest, ok := strings.CutPrefix(name, "sensor."); ok && len(l.sensors) > 0 {
		name, into = rest, l.sensors[len(l.sensors)-1].keys
	}
	parts := strings.Split(name, ".")
	for n := 1; n <= len(parts); n++ {
		if name := strings.Join(parts[:n], "."); into[name] == 0 {
			into[name] = line
		}
	}
}

// header gives the name in a table's header, without blanks and quotes.
func header(rest string) string {
	name, _, _ := strings.Cut(rest, "]")
	return bare(name)
}

// bare takes blanks and quotes out of a dotted name.
func bare(name string) string {
	return strings.NewReplacer(" ", "", "\t", "", `"`, "", "'", "").Replace(name)
}

// cutKey splits a line into its key and what follows the sign of equality outside of quotes.
func cutKey(line string) (key, value string) {
	var quote byte
	for i := range len(line) {
		switch c := line[i]; {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		case c == '=' && quote == 0:
			return bare(line[:i]), line[i+1:]
		}
	}
	return bare(line), ""
}

// scan follows values over their lines: texts of several lines, lists and inline tables.
type scan struct {
	text  string // the quotes that end the open text of several lines
	depth int    // open brackets
}

func (s *scan) inside() bool { return s.text != "" || s.depth > 0 }

func (s *scan) line(v string) {
	for v != "" {
		if s.text != "" {
			i := strings.Index(v, s.text)
			if e := strings.IndexByte(v, '\\'); s.text == `"""` && e >= 0 && (i < 0 || e < i) {
				v = v[min(e+2, len(v)):]
				continue
			}
			if i < 0 {
				return
			}
			s.text, v = "", strings.TrimLeft(v[i+3:], `"'`)
			continue
		}
		switch c := v[0]; c {
		case '#':
			return
		case '"', '\'':
			if three := strings.Repeat(string(c), 3); strings.HasPrefix(v, three) {
				s.text, v = three, v[3:]
				continue
			}
			v = v[1:]
			for v != "" && v[0] != c {
				if v[0] == '\\' && c == '"' {
					v = v[min(1, len(v)):]
				}
				v = v[min(1, len(v)):]
			}
		case '[', '{':
			s.depth++
		case ']', '}':
			s.depth--
		}
		if v != "" {
			v = v[1:]
		}
	}
}
