package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/store"
)

// What demo and backtest store is theirs to replace: a file in the data folder, named after the command, says whose it is.
var replaceable = []string{"demo", "backtest"}

func folderMark(dir, command string) string { return filepath.Join(dir, command+".txt") }

// freshFolder makes room for what a command stores: what it left earlier is removed, anything else is left alone.
func freshFolder(dir, command string) error {
	if err := folderIsWritable(dir); err != nil {
		return err
	}
	mark := folderMark(dir, command)
	database := filepath.Join(dir, platform.DatabaseName)
	_, markErr := os.Stat(mark)
	if _, err := os.Stat(database); err == nil && errors.Is(markErr, fs.ErrNotExist) {
		return fmt.Errorf("%s holds a database that no %s made, or that cidp run has used since: choose another folder with --data", dir, command)
	}
	if markErr == nil {
		if err := store.Remove(database); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("This folder was made by cidp %s. The next cidp %[1]s replaces the database in it.\n", command)
	if err := os.WriteFile(mark, []byte(text), 0o644); err != nil {
		return fmt.Errorf("mark data folder: %w", err)
	}
	return nil
}

// adopt makes such a folder an ordinary one: what cidp run stores in it is nobody's to replace.
func adopt(dir string) error {
	for _, command := range replaceable {
		if err := os.Remove(folderMark(dir, command)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("adopt data folder: %w", err)
		}
	}
	return nil
}

// folderIsWritable makes the data folder and says in one sentence why it cannot be used.
func folderIsWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make data folder: %w; choose another with --data", err)
	}
	f, err := os.CreateTemp(dir, ".cidp-*")
	if err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w; choose another with --data", dir, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", dir, err)
	}
	return os.Remove(f.Name())
}
