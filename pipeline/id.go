package pipeline

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Key identifies the content of a treat: the account and the seven canonical fields. Exact repeats share a key; their
// ordinals tell them apart.
type Key [sha256.Size]byte

// NewKey returns the key of a treat's normalized content.
//
// Absent, null and empty fields count as the same, since the provider's socket and its history may differ in that.
func NewKey(d *Data) Key {
	return HashFields(&d.Account, d.Sender, d.SenderType, d.Receiver, d.ReceiverType, d.Title, d.Message, d.DateCreated)
}

// HashFields is a hash over a list of texts, of which nil is the empty one.
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

// HashTexts is a hash over a list of texts.
func HashTexts(texts ...string) [sha256.Size]byte {
	size := 0
	for _, text := range texts {
		size += 8 + len(text)
	}
	var room [512]byte // most lists fit: no memory is taken for them
	if size > len(room) {
		return hashLong(texts)
	}
	b := room[:0]
	for _, text := range texts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text))) // so that no two lists of texts run together alike
		b = append(b, text...)
	}
	return sha256.Sum256(b)
}

// hashLong is HashTexts without a copy of all the texts, which may be of a MiB.
func hashLong(texts []string) (sum [sha256.Size]byte) {
	h, room := sha256.New(), make([]byte, 0, 4096)
	for _, text := range texts {
		room = binary.BigEndian.AppendUint64(room[:0], uint64(len(text)))
		for {
			n := min(len(text), cap(room)-len(room))
			room, text = append(room, text[:n]...), text[n:]
			_, _ = h.Write(room) // has no error
			if room = room[:0]; text == "" {
				break
			}
		}
	}
	h.Sum(sum[:0])
	return sum
}

// TreatIDPrefix begins the ids of treats.
const TreatIDPrefix = "trt_"

// NewID returns the id of an event: "trt_" and 26 characters that sort by at, to the millisecond. It is a function of
// the key, the ordinal and at alone, so every instance gives the same treat the same id.
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

// idAlphabet is Crockford's, which sorts as the bytes do.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// encodeID is TreatIDPrefix and base32 (RFC 4648, section 6) in that alphabet and without padding.
func encodeID(id [16]byte) string {
	var text [len(TreatIDPrefix) + 26]byte
	code := text[copy(text[:], TreatIDPrefix):]
	for i := range code {
		at := i * 5 // the bits of this character begin there
		bits := uint16(id[at/8]) << 8
		if at/8+1 < len(id) {
			bits |= uint16(id[at/8+1])
		}
		code[i] = idAlphabet[bits>>(11-at%8)&31]
	}
	return string(text[:])
}

// TimeOfID is the time in an id of the form that [NewID] makes, whatever stands before its underscore.
func TimeOfID(id string) (at time.Time, ok bool) {
	_, code, _ := strings.Cut(id, "_")
	bits, err := base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding).DecodeString(code)
	if err != nil || len(bits) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(bits) >> 16)), true
}
