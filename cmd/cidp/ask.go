package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/user"
	"strings"
	"time"
)

// askFlags say whom to ask, and who does.
type askFlags struct {
	HTTP     string `name:"http" help:"Address of the running platform's console. Default ${default}." default:"127.0.0.1:8080" placeholder:"ADDR"`
	By       string `help:"Who asks; kept in the audit. Default the user of this machine." placeholder:"NAME"`
	Note     string `help:"Why; kept in the audit." placeholder:"TEXT"`
	User     string `help:"User of the console, where the platform has any." placeholder:"NAME"`
	Password string `help:"Password of that user: better given as CIDP_PASSWORD." placeholder:"TEXT"`
}

// askTimeout is how long the platform may take: it answers when what came of a request is on disk.
const askTimeout = 30 * time.Second

// who names who asks; where a user signs in, the platform knows.
func (c *askFlags) who() (string, error) {
	if c.By != "" || c.User != "" {
		return c.By, nil
	}
	who, err := user.Current()
	if err != nil || who.Username == "" {
		return "", usageError{errors.New("--by must name who asks: the user of this machine is not known")}
	}
	return who.Username, nil
}

// errSilent says that nothing answers where a platform should.
var errSilent = errors.New("no platform answers")

// send asks the running platform, with a body where there is one, and reads its answer.
func (c *askFlags) send(ctx context.Context, method, path string, body, answer any) error {
	address := consoleAddress(c.HTTP)
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, bytes.NewReader(text))
	if err != nil {
		return usageError{fmt.Errorf("http is %q: it must be an address such as 127.0.0.1:8080", c.HTTP)}
	}
	req.Header.Set("Content-Type", "application/json")
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w at %s: start cidp run, or name its console with --http; what is asked goes through the running line: %w", errSilent, address, err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(res.Body, 16<<20)); err != nil {
		return fmt.Errorf("read answer of %s: %w", address, err)
	}
	if res.StatusCode != http.StatusOK {
		var problem struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &problem) != nil {
			return c.stranger(address, text, res.Status)
		}
		return fmt.Errorf("the platform at %s: %s", address, readable(cmp.Or(problem.Error, res.Status), 0))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return c.stranger(address, text, res.Status)
	}
	return nil
}

// stranger says that what answers is something else.
func (c *askFlags) stranger(address string, text []byte, status string) error {
	return fmt.Errorf("what answers at %s is no cidp: %s", address, readable(cmp.Or(strings.TrimSpace(string(text)), status), 200))
}

// consoleAddress is where a console that listens on an address is reached from here.
func consoleAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
