package store

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// appID marks a file as ours in its header (PRAGMA application_id): "CIDP".
const appID = 0x43494450

// prepareFolder makes the database's folder and says clearly when it cannot be used.
func prepareFolder(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make database folder: %w", err)
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return fmt.Errorf("open database %s: %w: it is a folder", path, ErrNotDatabase)
	}
	return nil
}

// checkFile reads the first bytes of the file at path. It answers whether there is nothing yet.
func checkFile(path string) (created bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open database: %w", err)
	}
	defer f.Close()
	head := make([]byte, 16)
	switch n, err := io.ReadFull(f, head); {
	case n == 0 && errors.Is(err, io.EOF):
		return true, nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return false, fmt.Errorf("read database %s: %w", path, err)
	case string(head) != "SQLite format 3\x00" && !hasLog(path): // a first page that was torn while it was written is whole there
		return false, fmt.Errorf("open database %s: %w", path, ErrNotDatabase)
	}
	return false, nil
}

// hasLog says whether something lies beside the database that SQLite mends it from: the write-ahead log, or the journal of its making.
func hasLog(path string) bool {
	for _, suffix := range []string{"-wal", "-journal"} {
		if fi, err := os.Stat(path + suffix); err == nil && fi.Size() > 0 {
			return true
		}
	}
	return false
}

// place is where a database lies: its path, and the VFS that reads it where that is not the operating system's.
type place struct{ path, vfs string }

// name gives what SQLite opens, with what a URI may add.
func (p place) name(query url.Values) string {
	if p.vfs == "" && len(query) == 0 {
		return p.path
	}
	if p.vfs != "" {
		query.Set("vfs", p.vfs)
	}
	return (&url.URL{Scheme: "file", Path: p.path, RawQuery: query.Encode()}).String()
}

func openConn(p place, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	return openNamed(p, p.name(url.Values{}), flags)
}

func openNamed(p place, name string, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	c, err := sqlite3.OpenFlags(name, flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", p.path, err)
	}
	return c, nil
}

// checkOurs reads application_id and user_version and refuses a foreign or a newer database. fresh allows one without any table.
func checkOurs(c *sqlite3.Conn, path string, fresh bool) error {
	id, err := queryInt(c, `PRAGMA application_id`)
	if err != nil {
		return explain(path, err)
	}
	tables, err := queryInt(c, `SELECT count(*) FROM sqlite_schema`)
	if err != nil {
		return explain(path, err)
	}
	if id == 0 && tables == 0 && fresh {
		return nil
	}
	if id != appID {
		return fmt.Errorf("open database %s: %w", path, ErrNotOurs)
	}
	version, err := queryInt(c, `PRAGMA user_version`)
	if err != nil {
		return explain(path, err)
	}
	if version > schemaVersion() {
		return fmt.Errorf("open database %s: %w: its schema is %d, this program knows %d", path, ErrNewer, version, schemaVersion())
	}
	if version < schemaVersion() && !fresh {
		return fmt.Errorf("open database %s: %w", path, ErrOlder)
	}
	return nil
}

// explain says in a sentence why a file cannot be read.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, sqlite3.NOTADB):
		return fmt.Errorf("open database %s: %w", path, ErrNotDatabase)
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("open database: %w", err)
	case errors.Is(err, sqlite3.CORRUPT):
		return fmt.Errorf("open database %s: %w (%w)", path, ErrDamaged, err)
	}
	return fmt.Errorf("open database %s: %w", path, err)
}

// pragma is a setting and what reading it back must give.
type pragma struct{ name, set, want string }

// setPragmas sets what the guarantee rests on and reads each back: the driver's own default in WAL mode is synchronous=NORMAL, which
// would lose acknowledged readings in a power cut.
func setPragmas(c *sqlite3.Conn, busy time.Duration) error {
	ms := fmt.Sprint(busy.Milliseconds())
	for _, p := range []pragma{
		{"busy_timeout", ms, ms},
		{"journal_mode", "WAL", "wal"},
		{"synchronous", "FULL", "2"},
		{"temp_store", "MEMORY", "2"},
		{"foreign_keys", "ON", "1"},
		{"wal_autocheckpoint", fmt.Sprint(autocheckpoint), fmt.Sprint(autocheckpoint)},
		{"journal_size_limit", fmt.Sprint(walLimit), fmt.Sprint(walLimit)},
		{"cache_size", "-16384", "-16384"},
	} {
		if err := c.Exec("PRAGMA " + p.name + " = " + p.set); err != nil {
			return fmt.Errorf("set %s: %w", p.name, err)
		}
		got, err := queryText(c, "PRAGMA "+p.name)
		if err != nil {
			return fmt.Errorf("read back %s: %w", p.name, err)
		}
		if got != p.want {
			return fmt.Errorf("%w: %s is %q, wanted %q", ErrPragma, p.name, got, p.want)
		}
	}
	return nil
}

// openReader opens an existing warehouse for reading, live or stopped. In a folder that cannot be written a database without a
// write-ahead log is read as it lies.
func openReader(p place) (*sqlite3.Conn, error) {
	path := p.path
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("open database %s: %w", path, ErrMissing)
	case err != nil:
		return nil, fmt.Errorf("open database: %w", err)
	case fi.IsDir():
		return nil, fmt.Errorf("open database %s: %w: it is a folder", path, ErrNotDatabase)
	}
	if empty, err := checkFile(path); err != nil {
		return nil, err
	} else if empty {
		return nil, fmt.Errorf("open database %s: %w: it is empty", path, ErrNotDatabase)
	}
	c, err := readerConn(p, p.name(url.Values{}))
	if err == nil {
		return c, nil
	}
	wal, walErr := os.Stat(path + "-wal")
	if (errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.READONLY)) && (walErr != nil || wal.Size() == 0) {
		return readerConn(p, p.name(url.Values{"immutable": {"1"}})) // a file that nobody writes is read without locks
	}
	return nil, err
}

// readerConn opens a database by the name that its place gives it.
func readerConn(p place, name string) (*sqlite3.Conn, error) {
	c, err := openNamed(p, name, sqlite3.OPEN_READONLY)
	if err != nil {
		return nil, err
	}
	if err := c.Exec(`PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA cache_size = -16384`); err != nil {
		_ = c.Close()
		return nil, explain(p.path, err)
	}
	if err := checkOurs(c, p.path, false); err != nil {
		_ = closeConn(c) // the first error is the one to tell
		return nil, err
	}
	return c, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync folder: %w", unsynced(err)), d.Close())
	}
	return d.Close()
}
