package broker

import (
	"cmp"
	"slices"
)

// phrases keep retained outputs short: what all of them have in common, the names of fields, stands in each as one byte. Our payloads have no bytes below a blank, so that nothing else is
// one of these; one that has is kept whole. A general compressor makes them shorter still and takes several times as long (DESIGN.md).
type phrases struct {
	all   []string
	first [256]bool   // what they begin with
	third [256][]byte // by their third byte: which phrases, the longest first
}

// Bounds of phrases.
const (
	maxPhrases     = ' ' - 1
	shortestPhrase = 3 // bytes
)

// newPhrases takes the first maxPhrases that are long enough.
func newPhrases(from []string) *phrases {
	p := &phrases{}
	for _, s := range from {
		if len(s) >= shortestPhrase && len(p.all) < maxPhrases {
			p.all = append(p.all, s)
		}
	}
	slices.SortStableFunc(p.all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for i, s := range p.all {
		p.first[s[0]] = true
		p.third[s[2]] = append(p.third[s[2]], byte(i))
	}
	return p
}

// pack appends a text in short, and is false where it cannot be told so: it has bytes that stand for phrases.
func (p *phrases) pack(dst, text []byte) ([]byte, bool) {
	from := 0 // what is not in dst yet
	for i := 0; i < len(text); {
		if p.first[text[i]] {
			if k, ok := p.at(text[i:]); ok {
				dst = append(append(dst, text[from:i]...), k+1)
				i += len(p.all[k])
				from = i
				continue
			}
		}
		if text[i] < ' ' {
			return dst, false
		}
		i++
	}
	return append(dst, text[from:]...), true
}

// at gives the longest phrase that a text begins with.
func (p *phrases) at(text []byte) (byte, bool) {
	if len(text) < shortestPhrase {
		return 0, false
	}
	for _, k := range p.third[text[2]] {
		if s := p.all[k]; len(s) <= len(text) && string(text[:len(s)]) == s {
			return k, true
		}
	}
	return 0, false
}

// unpack gives the text again.
func (p *phrases) unpack(short string) []byte {
	n := 0
	for i := range len(short) {
		if c := short[i]; c < ' ' {
			n += len(p.all[c-1]) - 1
		}
	}
	text := make([]byte, 0, len(short)+n)
	for i := range len(short) {
		if c := short[i]; c < ' ' {
			text = append(text, p.all[c-1]...)
		} else {
			text = append(text, c)
		}
	}
	return text
}
