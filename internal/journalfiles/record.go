package journalfiles

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/minio/highwayhash"
)

// The format of a message block, as nats-server 2.15 writes it (server/filestore.go, writeMsgRecordLocked). A record is, all
// numbers little endian:
//
//	length(4) number(8) time(8) subject length(2) subject [headers length(4) headers] payload checksum(8)
//
// The highest bit of the length says that there are headers; the highest of the number that the message was erased, the one
// below it that the record only notes that the message of that number was deleted. The checksum covers all but the lengths.
const (
	headLen     = 22
	sumLen      = 8
	leastRecord = headLen + sumLen
	mostRecord  = 32 << 20

	headersBit uint32 = 1 << 31
	erasedBit  uint64 = 1 << 63
	deletedBit uint64 = 1 << 62

	headersBegin = "NATS/1.0"
	headersEnd   = "\r\n\r\n"
)

// A record is one of a block whose checksum is right.
type record struct {
	raw     []byte // with its lengths mended, if they were damaged
	seq     uint64
	time    int64 // Unix nanoseconds
	note    bool  // it notes that seq was deleted
	erased  bool
	mended  bool
	subject []byte
}

// A format knows the checksums of one block. It is for one goroutine.
type format struct {
	hash     *highwayhash.Digest64
	subjects []string // that the stream takes
	spent    int      // bytes that were hashed in the search for records
}

func newFormat(stream string, index uint32, subjects []string) (*format, error) {
	hash, err := newHash(fmt.Sprintf("%s-%d", stream, index))
	if err != nil {
		return nil, err
	}
	return &format{hash: hash, subjects: subjects}, nil
}

// newHash is the server's checksum, keyed by the name of what it is of.
func newHash(name string) (*highwayhash.Digest64, error) {
	key := sha256.Sum256([]byte(name))
	return highwayhash.NewDigest64(key[:])
}

// at reads the record that begins buf, and reports whether there is one.
func (f *format) at(buf []byte) (record, bool) {
	if len(buf) < leastRecord {
		return record{}, false
	}
	size := int(binary.LittleEndian.Uint32(buf) &^ headersBit)
	if size < leastRecord || size > mostRecord || size > len(buf) || !f.valid(buf[:size]) {
		return record{}, false
	}
	raw, mended := buf[:size], false
	if !f.sound(raw) {
		if better, ok := f.mend(raw); ok {
			raw, mended = better, true
		}
	}
	return f.read(raw, mended), true
}

// read takes a record apart whose checksum is right.
func (f *format) read(raw []byte, mended bool) record {
	le := binary.LittleEndian
	seq := le.Uint64(raw[4:])
	return record{
		raw: raw, mended: mended,
		seq: seq &^ (erasedBit | deletedBit), time: int64(le.Uint64(raw[12:])), //nolint:gosec // as the server writes it
		erased: seq&erasedBit != 0, note: seq&erasedBit == 0 && seq&deletedBit != 0,
		subject: raw[headLen : headLen+int(le.Uint16(raw[20:]))],
	}
}

// valid reports whether the checksum of a record is right.
func (f *format) valid(raw []byte) bool {
	le := binary.LittleEndian
	end := len(raw) - sumLen
	from := headLen + int(le.Uint16(raw[20:]))
	rest := from
	if le.Uint32(raw)&headersBit != 0 {
		rest += 4
	}
	if rest > end {
		return false
	}
	f.spent += len(raw)
	f.hash.Reset()
	_, _ = f.hash.Write(raw[4:20]) // these never fail
	_, _ = f.hash.Write(raw[headLen:from])
	_, _ = f.hash.Write(raw[rest:end])
	var sum [sumLen]byte
	return bytes.Equal(f.hash.Sum(sum[:0]), raw[end:])
}

// sound reports whether the lengths inside a record make sense, which its checksum does not cover.
func (f *format) sound(raw []byte) bool {
	le := binary.LittleEndian
	head, seq, subject := le.Uint32(raw), le.Uint64(raw[4:]), int(le.Uint16(raw[20:]))
	if seq&(erasedBit|deletedBit) != 0 {
		return subject == 0
	}
	body := raw[headLen+subject : len(raw)-sumLen]
	if !f.takes(raw[headLen : headLen+subject]) {
		return false
	}
	if head&headersBit == 0 {
		// Every payload of relay is a JSON object, and no subject has a brace: names before it are the subject, and nothing else.
		brace := bytes.IndexByte(body, '{')
		return bytes.IndexByte(raw[headLen:headLen+subject], '{') < 0 && (brace <= 0 || bytes.ContainsFunc(body[:brace], notInName))
	}
	length := int(le.Uint32(body))
	end := bytes.Index(body[4:], []byte(headersEnd))
	return end < 0 || length == end+len(headersEnd)
}

// notInName reports whether no name of an account or a sink has such a character, nor what joins names to subjects.
func notInName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("$-._", c)
}

// mend returns a record with the lengths that its content shows, if its checksum is right with these.
func (f *format) mend(raw []byte) ([]byte, bool) {
	if len(raw) < leastRecord || len(raw) > mostRecord {
		return nil, false
	}
	le := binary.LittleEndian
	out := bytes.Clone(raw)
	body := out[headLen : len(out)-sumLen]
	if i := bytes.Index(body, []byte(headersBegin)); i >= 4 && i-4 <= 0xffff {
		if end := bytes.Index(body[i:], []byte(headersEnd)); end >= 0 {
			le.PutUint32(out, uint32(len(out))|headersBit) //nolint:gosec // at most mostRecord
			le.PutUint16(out[20:], uint16(i-4))
			le.PutUint32(out[headLen+i-4:], uint32(end+len(headersEnd))) //nolint:gosec // within the record
			if f.takes(body[:i-4]) && f.valid(out) {
				return out, true
			}
		}
		out = bytes.Clone(raw)
		body = out[headLen : len(out)-sumLen]
	}
	subject := 0
	if le.Uint64(out[4:])&(erasedBit|deletedBit) == 0 {
		if subject = bytes.IndexByte(body, '{'); subject < 0 {
			subject = len(body)
		}
		if subject > 0xffff || !f.takes(body[:subject]) {
			return nil, false
		}
	}
	le.PutUint32(out, uint32(len(out))) //nolint:gosec // at most mostRecord
	le.PutUint16(out[20:], uint16(subject))
	return out, f.valid(out)
}

// takes reports whether the stream takes a subject.
func (f *format) takes(subject []byte) bool {
	if len(subject) == 0 {
		return false
	}
	for _, c := range subject {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	for _, pattern := range f.subjects {
		if matches(pattern, string(subject)) {
			return true
		}
	}
	return len(f.subjects) == 0
}

// matches compares a subject with a pattern, token by token: * is any one of them, > all that are left.
func matches(pattern, subject string) bool {
	for {
		want, patterns, more := strings.Cut(pattern, ".")
		have, subjects, left := strings.Cut(subject, ".")
		switch {
		case want == ">":
			return have != ""
		case have == "", want != "*" && want != have, more != left:
			return false
		case !more:
			return true
		}
		pattern, subject = patterns, subjects
	}
}

// appendErased appends a record that stands for an erased message: the numbers go on after it.
func (f *format) appendErased(buf []byte, seq uint64, at int64) []byte {
	le := binary.LittleEndian
	start := len(buf)
	buf = append(buf, make([]byte, headLen)...)
	le.PutUint32(buf[start:], leastRecord)
	le.PutUint64(buf[start+4:], seq|erasedBit)
	le.PutUint64(buf[start+12:], uint64(at)) //nolint:gosec // as the server writes it
	f.hash.Reset()
	_, _ = f.hash.Write(buf[start+4 : start+20])
	return f.hash.Sum(buf)
}
