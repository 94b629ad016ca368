// Command tiles checks a tiles export of the record with code that the appliance's authors did
// not write: golang.org/x/mod/sumdb, which Go itself trusts for its checksum database.
//
//	tiles FOLDER FIRST-KEY [OLDER-CHECKPOINT ...]
//
// It opens the newest checkpoint with the keys of the export (the first must be FIRST-KEY), reads
// every tile through tlog.TileHashReader, proves each entry in the tree, and proves that the tree
// contains each older checkpoint. It follows no hand-over of keys: that is for the verifier.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: tiles FOLDER FIRST-KEY [OLDER-CHECKPOINT ...]")
		os.Exit(2)
	}
	proved, tree, err := run(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("proved %d of %d entries, and %d older checkpoints\n", proved, tree.N, len(os.Args)-3)
}

func run(folder, first string, older []string) (int64, tlog.Tree, error) {
	keys, err := readKeys(filepath.Join(folder, "keys"), first)
	if err != nil {
		return 0, tlog.Tree{}, err
	}
	tree, err := readCheckpoint(filepath.Join(folder, "checkpoint"), keys)
	if err != nil {
		return 0, tree, err
	}
	hashes := tlog.TileHashReader(tree, &tiles{folder})
	proved, err := proveEntries(folder, tree, hashes)
	if err != nil {
		return 0, tree, err
	}
	for _, path := range older {
		if err := proveOlder(path, keys, tree, hashes); err != nil {
			return 0, tree, err
		}
	}
	return proved, tree, nil
}

func readKeys(path, first string) (note.Verifiers, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != first {
		return nil, errors.New("the export begins with another key")
	}
	var verifiers []note.Verifier
	for _, line := range lines {
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", line, err)
		}
		verifiers = append(verifiers, verifier)
	}
	return note.VerifierList(verifiers...), nil
}

func readCheckpoint(path string, keys note.Verifiers) (tlog.Tree, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(data, keys)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != opened.Sigs[0].Name {
		return tlog.Tree{}, fmt.Errorf("%s: not a checkpoint of this log", path)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("%s: its root is no hash", path)
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

func proveEntries(folder string, tree tlog.Tree, hashes tlog.HashReader) (int64, error) {
	var proved int64
	for first := int64(0); first < tree.N; first += 1 << height {
		width := min(tree.N-first, 1<<height)
		tile := tlog.Tile{H: height, L: 0, N: first >> height, W: int(width)}
		name := strings.Replace(pathOf(tile), "tile/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, os.ErrNotExist) && proved == 0 {
			continue // let go at the beginning of the record
		}
		if err != nil {
			return 0, err
		}
		for seq := first; seq < first+width; seq++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return 0, fmt.Errorf("entry %d is cut off", seq)
			}
			length := int(binary.BigEndian.Uint16(data))
			if err := proveEntry(data[2:2+length], seq, tree, hashes); err != nil {
				return 0, fmt.Errorf("entry %d: %w", seq, err)
			}
			data = data[2+length:]
			proved++
		}
		if len(data) != 0 {
			return 0, fmt.Errorf("bytes follow entry %d", first+width-1)
		}
	}
	return proved, nil
}

func proveEntry(entry []byte, seq int64, tree tlog.Tree, hashes tlog.HashReader) error {
	proof, err := tlog.ProveRecord(tree.N, seq, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, seq, tlog.RecordHash(entry))
}

func proveOlder(path string, keys note.Verifiers, tree tlog.Tree, hashes tlog.HashReader) error {
	old, err := readCheckpoint(path, keys)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// tiles reads tiles of a folder; tlog checks each against the tree before it is used.
type tiles struct{ folder string }

func (t *tiles) Height() int { return height }

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		data, err := os.ReadFile(filepath.Join(t.folder, pathOf(tile)))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// pathOf leaves out the height, which C2SP tlog-tiles fixes at 8 and Go's own layout states.
func pathOf(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}
