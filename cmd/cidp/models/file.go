// Package models is the registry of models without its table: the files, named by the hash of their content, the trials that let them go live, and what may be asked of them. It
// promises one sentence for whatever is wrong with a file, and that a file in the registry is whole or not there. It decides nothing about windows and keeps no state.
package models

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// MaxFile bounds a model file, bytes: a model in force stays in memory, about as large as its file. A forest of 100 trees of depth 12 has 3 MB.
const MaxFile = 32 << 20

// maxTrial bounds the file of a trial, bytes.
const maxTrial = 1 << 20

// folder is where the files lie within the data folder.
const folder = "models"

// Path is the file of a model within a data folder.
func Path(data, id string) string { return filepath.Join(data, folder, id+".cidpmodel") }

// TrialPath is the file of a trial that was held after a model was trained.
func TrialPath(data, id string) string { return filepath.Join(data, folder, id+".trial.json") }

// IsID says whether a text has the form of a model's id: 16 hex digits.
func IsID(text string) bool {
	return len(text) == 16 && strings.Trim(text, "0123456789abcdef") == ""
}

// Open reads a model file, whatever it is made for.
func Open(path string) (*model.Forest, error) { return open(path, math.MaxInt64) }

// Read reads a model file that the line could use: whole, of this program's form, not too large, and made for the features of now.
func Read(path string) (*model.Forest, error) {
	f, err := open(path, MaxFile)
	if err != nil {
		return nil, err
	}
	if err := f.Check(stream.FeatureList[:]); err != nil {
		return nil, fmt.Errorf("model file %s is made for other windows: %w", path, err)
	}
	return f, nil
}

func open(path string, most int64) (*model.Forest, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model file %s does not exist", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("open model: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("model file %s is a folder", path)
	case info.Size() > most:
		return nil, fmt.Errorf("model file %s is too large: %d bytes, at most %d are allowed", path, info.Size(), most)
	}
	f, err := model.Decode(bufio.NewReaderSize(io.LimitReader(file, most), 1<<20)) // what is longer by now is cut short, and refused
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", path, err)
	}
	return f, nil
}

// Load reads a model of the registry, and proves that it is the one it is named after.
func Load(data, id string) (*model.Forest, error) {
	f, err := Read(Path(data, id))
	if err != nil {
		return nil, err
	}
	if f.ID() != id {
		return nil, fmt.Errorf("model file %s holds model %s: it was put there under a wrong name", Path(data, id), f.ID())
	}
	return f, nil
}

// Put writes a model into the registry. A crash leaves the whole file, or none under its name.
func Put(data string, f *model.Forest) error {
	if err := f.Check(stream.FeatureList[:]); err != nil {
		return fmt.Errorf("the model is made for other windows: %w", err)
	}
	var file bytes.Buffer
	if err := f.Encode(&file); err != nil {
		return err
	}
	if file.Len() > MaxFile {
		return fmt.Errorf("model %s is too large: %d bytes, at most %d are allowed", f.ID(), file.Len(), MaxFile)
	}
	path := Path(data, f.ID())
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, file.Bytes()) {
		return nil
	}
	if err := write(path, file.Bytes()); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// write puts bytes on disk under a name, all or none.
func write(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // the first error is the one to tell
		}
	}()
	_, err = file.Write(text)
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // the file's name, and the folder's
		if err := syncFolder(d); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Verdict is what a model's trial says of its going live.
type Verdict struct {
	Live  bool
	Why   string       // one sentence
	Trial *model.Trial // nil: none was held
}

// Judge looks at the trial that counts: the one that was held last, which lies beside the model's file, else that of its manifest.
func Judge(data string, f *model.Forest) (Verdict, error) {
	later, err := laterTrial(data, f.ID())
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Trial: f.Manifest().Trial}
	judged := f
	if later != nil {
		m := f.Manifest()
		v.Trial = later
		own := *later
		own.ModelID = "" // as in a manifest
		m.Trial = &own
		if judged, err = f.WithManifest(m); err != nil {
			return Verdict{}, fmt.Errorf("judge model %s: %w", f.ID(), err)
		}
	}
	v.Live, v.Why = judged.MayGoLive()
	return v, nil
}

// laterTrial reads the trial beside a model's file, nil when there is none.
func laterTrial(data, id string) (*model.Trial, error) {
	path := TrialPath(data, id)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open trial: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTrial+1))
	if err != nil {
		return nil, fmt.Errorf("read trial %s: %w", path, err)
	}
	if len(text) > maxTrial {
		return nil, fmt.Errorf("trial %s is too large: at most %d bytes are allowed", path, maxTrial)
	}
	var t model.Trial
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("trial %s cannot be read: %w", path, err)
	}
	if t.ModelID != id {
		return nil, fmt.Errorf("trial %s is of model %q", path, t.ModelID)
	}
	return &t, nil
}
