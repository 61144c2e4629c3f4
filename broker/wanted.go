package broker

import (
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
)

// wanted tells topics that nobody can be subscribed to from others, without a look at the index of subscriptions or a note of each topic: nearly all that sensors send on are such. It knows
// what the filters that there were since the start begin with, so that it errs to one side. The routing lock guards it.
type wanted struct {
	begins []string
	all    bool
}

// maxBegins is how many beginnings are told apart; with more, every topic may be wanted.
const maxBegins = 64

// add takes in a filter. It must come before the subscription is in the index.
func (w *wanted) add(filter string) {
	if mqtt.IsSharedFilter(filter) { // $share/group/filter
		_, filter, _ = strings.Cut(filter, "/")
		_, filter, _ = strings.Cut(filter, "/")
	}
	if i := strings.IndexAny(filter, "+#"); i >= 0 {
		filter = filter[:i]
	}
	filter = strings.TrimRight(filter, "/") // a/# matches a as well
	if w.may(filter) {                      // what is there is as wide
		return
	}
	if filter == "" || len(w.begins) >= maxBegins {
		w.begins, w.all = nil, true
		return
	}
	w.begins = append(w.begins, strings.Clone(filter))
}

// may says whether anybody may be subscribed to a topic.
func (w *wanted) may(topic string) bool {
	for _, b := range w.begins {
		if strings.HasPrefix(topic, b) {
			return true
		}
	}
	return w.all
}
