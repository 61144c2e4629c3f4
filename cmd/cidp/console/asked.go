package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// asked reads a request that changes something; parse gets its body and who signed in, where users are known. When it is wrong the request has been answered, or nobody waits for an answer.
func asked[T any](w http.ResponseWriter, r *http.Request, known bool, parse func(text []byte, user string) (T, error)) (ask T, ok bool) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReleaseBytes))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", maxReleaseBytes))
	}
	if err != nil {
		return ask, false
	}
	user := ""
	if known {
		user, _, _ = r.BasicAuth()
	}
	if ask, err = parse(text, user); err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
	}
	return ask, err == nil
}

// exactly decodes one JSON object with known fields and nothing behind it.
func exactly(text []byte, into any) bool {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	return d.Decode(into) == nil && errors.Is(d.Decode(new(any)), io.EOF)
}

// actorOf checks who asks and why. Who signed in is the actor, whatever the text says; by is added where it is another name.
func actorOf(by, note, user string) (string, string, error) {
	by, note = strings.TrimSpace(by), strings.TrimSpace(note)
	switch {
	case user == "" && by == "":
		return "", "", errors.New("by must name who asks: it is kept in the audit")
	case !plain(by, maxActor):
		return "", "", fmt.Errorf("by must be a name of at most %d printable characters", maxActor)
	case !plain(note, maxNote):
		return "", "", fmt.Errorf("note must be at most %d printable characters", maxNote)
	case user == "":
		return by, note, nil
	case by != "" && by != user:
		user += " (" + by + ")"
	}
	return user, note, nil
}
