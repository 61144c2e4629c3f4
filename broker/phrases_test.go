package broker_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/camrail/cidp/broker"
)

// FuzzPhrases: what is told in short is the same text again, byte by byte, and only what has bytes below a blank beside the phrases cannot be told.
func FuzzPhrases(f *testing.F) {
	f.Add(`{"site":"|","asset":"|,"n":|,"n":1`, []byte(`{"site":"a","asset":"b","n":12}`))
	f.Add("aaa|aa|a\x01a|aaaa", []byte("aaaaa\x01aaa"))
	f.Add("\x02\x03\x04", []byte("\x02\x03\x04"))
	f.Add("", []byte{0, 31, 32, 127, 255})
	f.Fuzz(func(t *testing.T, common string, text []byte) {
		short, back := broker.Shortened(strings.Split(common, "|"), text)
		switch {
		case back == nil && len(text) > 0:
			if !bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q cannot be told in short", text)
			}
		case !bytes.Equal(back, text) || len(short) > len(text):
			t.Fatalf("%q is %q in short, and that is %q", text, short, back)
		}
	})
}
