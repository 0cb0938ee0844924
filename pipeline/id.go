package pipeline

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Key identifies the content of a treat: the account and the seven canonical fields. Exact repeats share a key and
// differ in their ordinal.
type Key [sha256.Size]byte

// NewKey returns the key of a treat's normalized content.
//
// Absent, null and empty fields are equal, since the provider's socket and history may differ in that.
func NewKey(d *Data) Key {
	return HashFields(&d.Account, d.Sender, d.SenderType, d.Receiver, d.ReceiverType, d.Title, d.Message, d.DateCreated)
}

// HashFields returns a hash of a list of texts. nil counts as the empty text.
func HashFields(parts ...*string) [sha256.Size]byte {
	var room [8]string
	texts := room[:0]
	for _, part := range parts {
		if part == nil {
			texts = append(texts, "")
			continue
		}
		texts = append(texts, *part)
	}
	return HashTexts(texts...)
}

// HashTexts returns a hash of a list of texts.
func HashTexts(texts ...string) [sha256.Size]byte {
	size := 0
	for _, text := range texts {
		size += 8 + len(text)
	}
	var buf [512]byte // avoids an allocation for most lists
	if size > len(buf) {
		return hashLong(texts)
	}
	b := buf[:0]
	for _, text := range texts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text))) // makes the encoding of a list unique
		b = append(b, text...)
	}
	return sha256.Sum256(b)
}

// hashLong is HashTexts without a copy of all texts, which may have a MiB.
func hashLong(texts []string) (sum [sha256.Size]byte) {
	h, buf := sha256.New(), make([]byte, 0, 4096)
	for _, text := range texts {
		buf = binary.BigEndian.AppendUint64(buf[:0], uint64(len(text)))
		for {
			n := min(len(text), cap(buf)-len(buf))
			buf, text = append(buf, text[:n]...), text[n:]
			_, _ = h.Write(buf) // it never fails
			if buf = buf[:0]; text == "" {
				break
			}
		}
	}
	h.Sum(sum[:0])
	return sum
}

// TreatIDPrefix is the prefix of the ids of treats.
const TreatIDPrefix = "trt_"

// NewID returns the id of an event: "trt_" and 26 characters that sort by at, to the millisecond. It depends only on
// key, ordinal and at, so every instance gives a treat the same id.
func NewID(at time.Time, key Key, ordinal uint64) string {
	var seed [len(key) + 8]byte
	copy(seed[:], key[:])
	binary.BigEndian.PutUint64(seed[len(key):], ordinal)
	sum := sha256.Sum256(seed[:])

	var id [16]byte // 48 bits of time, 80 bits of hash
	ms := max(at.UnixMilli(), 0)
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16)
	copy(id[6:], sum[:10])
	return encodeID(id)
}

// idAlphabet is Crockford's alphabet, which sorts like its bytes.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// encodeID returns TreatIDPrefix and the id in base32 (RFC 4648, section 6) with that alphabet and without padding.
func encodeID(id [16]byte) string {
	var text [len(TreatIDPrefix) + 26]byte
	code := text[copy(text[:], TreatIDPrefix):]
	for i := range code {
		at := i * 5 // where the bits of this character start
		bits := uint16(id[at/8]) << 8
		if at/8+1 < len(id) {
			bits |= uint16(id[at/8+1])
		}
		code[i] = idAlphabet[bits>>(11-at%8)&31]
	}
	return string(text[:])
}

// TimeOfID returns the time in an id made by [NewID] or in the same form with another prefix. It reports false for
// other texts.
func TimeOfID(id string) (at time.Time, ok bool) {
	_, code, _ := strings.Cut(id, "_")
	bits, err := base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding).DecodeString(code)
	if err != nil || len(bits) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(bits) >> 16)), true
}
