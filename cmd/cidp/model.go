package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
)

// modelCmd is the commands on model files and on their registry.
type modelCmd struct {
	Import  modelImportCmd  `cmd:"" help:"Make a model of a forest trained elsewhere: ONNX, or scikit-learn's arrays as JSON."`
	Export  modelExportCmd  `cmd:"" help:"Write a model as ONNX, or as JSON for an audit."`
	Show    modelShowCmd    `cmd:"" help:"What a model is: inputs, training, figures; of one in the registry what it does and why."`
	Predict modelPredictCmd `cmd:"" help:"The probability of each row of a table."`
	Explain modelExplainCmd `cmd:"" help:"What moved the probability of rows of a table: by path contributions and by exact Shapley values."`

	Add      modelAddCmd      `cmd:"" help:"Put a model into the registry: it runs in shadow."`
	List     modelListCmd     `cmd:"" help:"The registry: what is live, what runs in shadow and why."`
	Activate modelActivateCmd `cmd:"" help:"Let a model go live, if its trial allows it."`
	Shadow   modelShadowCmd   `cmd:"" help:"Let a model run in shadow."`
	Retire   modelRetireCmd   `cmd:"" help:"Let a model score nothing any more."`
}

type modelImportCmd struct {
	File  string   `arg:"" help:"ONNX or JSON, packed by gzip or not; told apart by content."`
	Out   string   `help:"File to write the model to." placeholder:"MODEL" required:""`
	Name  string   `help:"The model's name, for people; the file's by default."`
	Names []string `help:"Names of the inputs, in order, when the file has none." placeholder:"COL,COL"`
}

func (modelImportCmd) Help() string {
	return `Example:
  cidp model import forest.onnx --out forest.cidpmodel
Reads an ONNX TreeEnsembleClassifier (ai.onnx.ml 1 to 4) or scikit-learn's arrays as JSON. Probabilities are the other program's to 1e-6.`
}

func (c *modelImportCmd) Run(_ context.Context, t *terminal) error {
	f, err := c.read()
	if err != nil {
		return fmt.Errorf("import %s: %w", c.File, err)
	}
	size, err := writeModel(c.Out, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "model %s, %d trees, %d nodes, %d inputs, %d bytes: %s\n", f.ID(), f.Trees(), f.Nodes(), len(f.Schema()), size, c.Out)
	for _, said := range notKnown(f) {
		fmt.Fprintf(t.err, "not in the file: %s\n", said)
	}
	return nil
}

func (c *modelImportCmd) read() (*model.Forest, error) {
	in, done, err := openPlain(c.File)
	if err != nil {
		return nil, err
	}
	defer done()
	sum := sha256.New()
	seen := bufio.NewReader(io.TeeReader(in, sum))
	head, _ := seen.Peek(8) // a short file is refused by its reader
	var f *model.Forest
	switch {
	case string(head) == "CIDPFRST":
		return nil, errors.New("it is a model of this program already: use it as it is")
	case len(bytes.TrimLeft(head, " \t\r\n")) > 0 && bytes.TrimLeft(head, " \t\r\n")[0] == '{':
		f, err = model.ReadArrays(seen)
	default:
		f, err = model.ReadONNX(seen)
	}
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(seen, maxTail)); err != nil {
		return nil, err
	}
	if len(c.Names) > 0 {
		if f, err = f.Rename(c.Names); err != nil {
			return nil, err
		}
	}
	m := f.Manifest()
	if m.Name != "" && c.Name == "" { // our own export
		return f, nil
	}
	if m.Name = c.Name; m.Name == "" {
		m.Name = filepath.Base(c.File)
	}
	m.Source += ", file of SHA-256 " + hex.EncodeToString(sum.Sum(nil))
	return f.WithManifest(m)
}

// maxTail bounds what may follow a JSON object: white space.
const maxTail = 1 << 20

type modelExportCmd struct {
	Model  string `arg:"" help:"Model file."`
	Out    string `help:"File to write; .onnx, .json or .json.gz says the form." placeholder:"FILE" required:""`
	Format string `help:"onnx or json, when the file's name does not say." placeholder:"FORM"`
}

func (modelExportCmd) Help() string {
	return `Example:
  cidp model export forest.cidpmodel --out forest.onnx
ONNX runs elsewhere and comes back as the same model; JSON holds every node in scikit-learn's arrays.`
}

func (c *modelExportCmd) Run(_ context.Context, t *terminal) error {
	plain := strings.TrimSuffix(c.Out, ".gz")
	form := c.Format
	if form == "" {
		form = strings.TrimPrefix(filepath.Ext(plain), ".")
	}
	if form != "onnx" && form != "json" {
		return usageError{fmt.Errorf("a model cannot be written as %q: give --format onnx or json, or a file that ends so", form)}
	}
	f, err := models.Open(c.Model)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	var to io.Writer = &file
	var pack *gzip.Writer
	if plain != c.Out {
		pack = gzip.NewWriter(&file)
		to = pack
	}
	if form == "onnx" {
		err = f.WriteONNX(to)
	} else {
		err = f.WriteArrays(to)
	}
	if err == nil && pack != nil {
		err = pack.Close()
	}
	if err == nil {
		err = os.WriteFile(c.Out, file.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	fmt.Fprintf(t.out, "model %s as %s, %d bytes: %s\n", f.ID(), form, file.Len(), c.Out)
	if f.Calibrated() {
		fmt.Fprintln(t.err, "the model is calibrated: other programs will give its score before calibration")
	}
	return nil
}

type modelPredictCmd struct {
	Model string `help:"Model file." placeholder:"MODEL" required:""`
	Rows  string `help:"CSV, packed by gzip or not; its columns are found by the model's input names, or by position when the model has none." placeholder:"FILE.csv" required:""`
	Label string `help:"Column of labels (0 or 1): measures the probabilities against it." placeholder:"COL"`
	JSON  bool   `name:"json" help:"Print one JSON document."`
}

func (modelPredictCmd) Help() string {
	return `Example:
  cidp model predict --model forest.cidpmodel --rows rows.csv --json
An empty field, NA or NaN is a missing value.`
}

// predicted is what --json prints.
type predicted struct {
	Model      string            `json:"model"`
	P          []float64         `json:"p"`
	Evaluation *model.Evaluation `json:"evaluation,omitempty"`
}

func (c *modelPredictCmd) Run(_ context.Context, t *terminal) error {
	f, err := models.Open(c.Model)
	if err != nil {
		return err
	}
	rows, labels, err := c.read(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Rows, err)
	}
	out := predicted{Model: f.ID(), P: f.PredictBatch(make([]float64, 0, len(rows)), rows)}
	if c.Label != "" {
		e, err := model.Evaluate(out.P, labels)
		if err != nil {
			return err
		}
		out.Evaluation = &e
	}
	if c.JSON {
		return printJSON(t.out, out)
	}
	w := bufio.NewWriter(t.out)
	for _, p := range out.P {
		fmt.Fprintln(w, strconv.FormatFloat(p, 'g', -1, 64))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write probabilities: %w", err)
	}
	if e := out.Evaluation; e != nil {
		fmt.Fprintf(t.err, "%d rows, %d positive: ROC-AUC %.4f, PR-AUC %.4f, Brier %.5f\n", e.Rows, e.Positives, e.ROCAUC, e.PRAUC, e.Brier)
	}
	return nil
}

func writeModel(path string, f *model.Forest) (size int, err error) {
	var file bytes.Buffer
	if err := f.Encode(&file); err != nil {
		return 0, fmt.Errorf("write model: %w", err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		return 0, fmt.Errorf("write model: %w", err)
	}
	return file.Len(), nil
}

// openPlain opens a file, unpacked when it is packed by gzip. done closes it.
func openPlain(path string) (in io.Reader, done func(), err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.New("the file does not exist")
	}
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = file.Close() } // it was only read
	buf := bufio.NewReaderSize(file, 1<<20)
	if head, _ := buf.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return buf, done, nil
	}
	in, err = gzip.NewReader(buf)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("unpack: %w", err)
	}
	return in, done, nil
}

func printJSON(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
