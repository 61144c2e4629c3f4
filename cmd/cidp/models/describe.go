package models

import (
	"fmt"

	"github.com/camrail/cidp/store"
)

// Sentence says in words why a model is in its state.
func Sentence(state store.ModelState, v Verdict) string {
	switch {
	case state == store.ModelActive:
		return "it is live: " + v.Why
	case state == store.ModelRetired:
		return "it is retired and scores nothing"
	case v.Live:
		return "it runs in shadow, and may go live (cidp model activate): " + v.Why
	}
	return fmt.Sprintf("it runs in shadow: %s", v.Why)
}
