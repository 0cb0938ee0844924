package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// stateRecord is the stored value of a key. Its encoding, in state.db and state.copy: CRC32C of the rest (4 bytes),
// kind (1), revision (8), length of the key (2), key, value. It repeats the key, so that a value is never taken for
// that of another key.
type stateRecord struct {
	kind     recordKind
	revision uint64
	key      string
	value    []byte
}

type recordKind uint8

const (
	// kindValue is a value.
	kindValue recordKind = 1
	// kindLost marks a value that was damaged and could not be restored.
	kindLost recordKind = 2
	// kindName marks, in state.copy, a value that exists and is not copied.
	kindName recordKind = 3
	// kindSum is a [stateTotal].
	kindSum recordKind = 4
)

const (
	recordHeader = 4 + 1 + 8 + 2
	// maxKey is far below bbolt's limit.
	maxKey = 1 << 10
	// maxValue bounds a value to what a bbolt page, and the memory of a small machine, hold easily.
	maxValue = 16 << 20
)

var errRecordDamaged = errors.New("its checksum does not match")

func (r *stateRecord) encode() []byte {
	b := make([]byte, 4, recordHeader+len(r.key)+len(r.value))
	b = append(b, byte(r.kind))
	b = binary.LittleEndian.AppendUint64(b, r.revision)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.key))) //nolint:gosec // at most maxKey
	b = append(b, r.key...)
	b = append(b, r.value...)
	binary.LittleEndian.PutUint32(b, disk.Checksum(b[4:]))
	return b
}

// parseRecord is the inverse of encode. The value shares memory with b.
func parseRecord(b []byte) (stateRecord, error) {
	if len(b) < recordHeader || binary.LittleEndian.Uint32(b) != disk.Checksum(b[4:]) {
		return stateRecord{}, errRecordDamaged
	}
	r := stateRecord{kind: recordKind(b[4]), revision: binary.LittleEndian.Uint64(b[5:])}
	size := int(binary.LittleEndian.Uint16(b[13:]))
	if size > len(b)-recordHeader {
		return stateRecord{}, errRecordDamaged
	}
	r.key, r.value = string(b[recordHeader:recordHeader+size]), b[recordHeader+size:]
	return r, nil
}

// recordNames reports whether a damaged record has this key.
func recordNames(b []byte, key string) bool {
	return len(b) >= recordHeader+len(key) && int(binary.LittleEndian.Uint16(b[13:])) == len(key) && string(b[recordHeader:recordHeader+len(key)]) == key
}

// totalKey is the key of the [stateTotal]. Keys of the state cannot have this character.
const totalKey = "!"

// stateTotal is stored beside the records and updated with them. It reveals the loss of whole records.
type stateTotal struct {
	revision uint64 // the last one assigned
	count    uint64
	sum      uint32 // XOR of the records' checksums
}

// replace counts a record in place of the previous one; either may be nil.
func (t *stateTotal) replace(before, after []byte) {
	if before != nil {
		t.count--
		t.sum ^= binary.LittleEndian.Uint32(before)
	}
	if after != nil {
		t.count++
		t.sum ^= binary.LittleEndian.Uint32(after)
	}
}

func (t *stateTotal) encode() []byte {
	value := binary.LittleEndian.AppendUint64(nil, t.count)
	value = binary.LittleEndian.AppendUint32(value, t.sum)
	return (&stateRecord{kind: kindSum, revision: t.revision, key: totalKey, value: value}).encode()
}

func parseTotal(b []byte) (stateTotal, error) {
	r, err := parseRecord(b)
	if err != nil || r.kind != kindSum || r.key != totalKey || len(r.value) != 12 {
		return stateTotal{}, errRecordDamaged
	}
	return stateTotal{revision: r.revision, count: binary.LittleEndian.Uint64(r.value), sum: binary.LittleEndian.Uint32(r.value[8:])}, nil
}

func checkKey(key string) error {
	if !validKey(key) {
		return fmt.Errorf("%q is no key: it takes A-Z, a-z, 0-9, '_', '-' and '.', at most %d of them", key, maxKey)
	}
	return nil
}

func validKey(key string) bool {
	if key == "" || len(key) > maxKey {
		return false
	}
	for _, c := range []byte(key) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// The owners of keys with these prefixes can rebuild them. They are not in the second copy.
const (
	derivedKey   = "derived"
	deadPrefix   = "dead."
	retryPrefix  = "retry."
	cursorPrefix = "cursor."
)

// copying returns what the second copy holds of a key.
func copying(key string) recordKind {
	switch {
	case strings.HasPrefix(key, derivedKey), strings.HasPrefix(key, deadPrefix), strings.HasPrefix(key, retryPrefix):
		return 0
	case strings.HasPrefix(key, cursorPrefix):
		return kindName // it has a fresher second copy of its own; only its existence must be remembered
	default:
		return kindValue
	}
}

var _ journal.State = (*State)(nil)
