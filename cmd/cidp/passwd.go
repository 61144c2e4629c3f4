package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"
)

type passwdCmd struct {
	User string `arg:"" help:"User name."`
}

func (passwdCmd) Help() string {
	return `Example:
  cidp passwd depot1
Reads a password from the terminal, or from standard input, and prints the line for the [users] table of the config file.`
}

func (c *passwdCmd) Run(t *terminal) error {
	password, err := readPassword(t)
	if err != nil {
		return fmt.Errorf("read password: %w", err)
	}
	if len(password) < 8 || len(password) > 72 {
		return usageError{fmt.Errorf("the password has %d bytes; it needs 8 to 72", len(password))}
	}
	hash, err := bcrypt.GenerateFromPassword(password, bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("hash password: %w", err)
	}
	fmt.Fprintf(t.out, "%q = %q\n", c.User, hash)
	return nil
}

func readPassword(t *terminal) ([]byte, error) {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(t.err, "Password: ")
		defer fmt.Fprintln(t.err)
		return term.ReadPassword(fd)
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if line == "" && err != nil {
		return nil, err
	}
	return []byte(strings.TrimRight(line, "\r\n")), nil
}
