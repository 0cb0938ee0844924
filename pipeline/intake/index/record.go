package index

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/treatrelay/relay/internal/jsonscan"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A record is the index of an entry, or of a single treat of a Known entry.
type record struct {
	account   uint64 // hash of the name
	content   uint64 // of a treat; of a backfill batch: the first number
	core      uint64 // of a treat: sender and title; of a baseline: its number; of a backfill batch: the last number
	message   uint32 // of a treat: the message part of its core
	number    uint64
	repeat    uint64 // of an event: see [journal.Entry]; of known treats: their count; of a baseline: its number of records
	second    uint32 // of a treat: [fingerprint.Date.Digits]; otherwise when it was journaled
	journaled uint32 // Unix time
	baseline  uint16 // tag of the baseline of the treat
	flags     uint8
}

// The kinds of records, stored in the lowest bits of flags.
const (
	kindTreat    = 0
	kindKnown    = 1 // treats that the history held at the baseline
	kindBaseline = 2 // marks a baseline as complete
	kindBatch    = 3
	kindMask     = 3

	flagFloating = 1 << 2
	flagBackfill = 1 << 3
)

func (r *record) kind() uint8 { return r.flags & kindMask }

// counts reports whether the record is a received treat.
func (r *record) counts() bool { return r.kind() == kindTreat && r.repeat > 0 }

// compare orders records by account, date, content and number.
func (r *record) compare(o *record) int {
	switch {
	case r.account != o.account:
		return order(r.account, o.account)
	case r.second != o.second:
		return order(uint64(r.second), uint64(o.second))
	case r.content != o.content:
		return order(r.content, o.content)
	default:
		return order(r.number, o.number)
	}
}

func order(a, b uint64) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

// recordSize is the size of a record on disk.
const recordSize = 5*8 + 3*4 + 2 + 1

func appendRecord(b []byte, r *record) []byte {
	for _, n := range [...]uint64{r.account, r.content, r.core, r.number, r.repeat} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, r.second)
	b = binary.LittleEndian.AppendUint32(b, r.journaled)
	b = binary.LittleEndian.AppendUint32(b, r.message)
	b = binary.LittleEndian.AppendUint16(b, r.baseline)
	return append(b, r.flags)
}

func parseRecord(b []byte) record {
	_ = b[recordSize-1]
	return record{
		account: binary.LittleEndian.Uint64(b), content: binary.LittleEndian.Uint64(b[8:]), core: binary.LittleEndian.Uint64(b[16:]),
		number: binary.LittleEndian.Uint64(b[24:]), repeat: binary.LittleEndian.Uint64(b[32:]),
		second: binary.LittleEndian.Uint32(b[40:]), journaled: binary.LittleEndian.Uint32(b[44:]),
		message: binary.LittleEndian.Uint32(b[48:]), baseline: binary.LittleEndian.Uint16(b[52:]), flags: b[54],
	}
}

// accountHash is FNV-1a. It need not resist attacks, since the operator chooses the names.
func accountHash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// keyHash hashes the key of [Index.Find].
func keyHash(account uint64, second uint32, content uint64) uint64 {
	h := (content ^ account ^ uint64(second)*0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

// unix32 converts a Unix time to the form of a record, which reaches to the year 2106.
func unix32(seconds int64) uint32 { return uint32(min(max(seconds, 0), math.MaxUint32)) }

// recordsOf appends the records of an entry. known is the fingerprint of its treat; if it is nil, the entry's data is
// parsed.
func recordsOf(into []record, e *journal.Record, known *fingerprint.Fingerprint) []record {
	r := record{account: accountHash(e.Account), number: e.Number, journaled: unix32(e.Time.Unix())}
	switch e.Kind {
	case journal.Treat, journal.Import:
		f := known
		if f == nil {
			read, ok := ofLine(e.Data)
			if !ok {
				return into
			}
			f = &read
		}
		r.content, r.second, r.repeat = f.Content, unix32(f.When.Digits), e.Repeat
		r.setCore(f.Core)
		if f.When.Floating {
			r.flags |= flagFloating
		}
		if e.Kind == journal.Treat && e.Origin == pipeline.OriginBackfill {
			r.flags |= flagBackfill
		}
		if e.Baseline != "" {
			r.baseline = BaselineTag(e.Baseline)
		}
		return append(into, r)
	case journal.Backfill:
		var m journal.BackfillBatch
		if json.Unmarshal(e.Data, &m) != nil {
			return into
		}
		r.content, r.core, r.second, r.flags = m.First, m.Last, r.journaled, kindBatch
		return append(into, r)
	case journal.Known:
		return knownRecords(into, r, e)
	default:
		return into
	}
}

// ofLine returns the fingerprint of an event's line as [pipeline.Event] writes it: the data comes last, and its keys
// are not escaped.
func ofLine(line []byte) (fingerprint.Fingerprint, bool) {
	const before = `,"data":` // cannot be in a string, where quotes are escaped
	at := bytes.Index(line, []byte(before))
	if at < 0 || line[len(line)-1] != '}' {
		return fingerprint.Fingerprint{}, false
	}
	names := [...]string{"sender", "sender_type", "receiver", "receiver_type", "title", "message", "date_created"}
	var texts [len(names)]string
	var fields [len(names)]*string
	if !jsonscan.Members(line[at+len(before):len(line)-1], func(key, value []byte) {
		for i := range names {
			if string(key[1:len(key)-1]) == names[i] && value[0] == '"' {
				texts[i] = jsonscan.Unquote(value)
				fields[i] = &texts[i]
			}
		}
	}) {
		return fingerprint.Fingerprint{}, false
	}
	return fingerprint.Of(&pipeline.Data{
		Sender: fields[0], SenderType: fields[1], Receiver: fields[2], ReceiverType: fields[3], Title: fields[4], Message: fields[5], DateCreated: fields[6],
	}), true
}

// NewBaselineID makes the id of a baseline from a random number.
func NewBaselineID(number uint64) string { return strconv.FormatUint(number, 16) }

// baselineNumber is the inverse of NewBaselineID.
func baselineNumber(id string) uint64 {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return accountHash(id)
	}
	return n
}

// BaselineTag returns the tag of a baseline in [Hit.Baseline]. It is never 0.
func BaselineTag(id string) uint16 {
	return max(uint16(baselineNumber(id)), 1) //nolint:gosec // 16 bits are enough
}

// KnownTreat is a fingerprint and how many treats with it an account's history held at the baseline.
type KnownTreat struct {
	fingerprint.Fingerprint
	Count uint32
}

// The data of a Known entry starts with one of these. A baseline takes effect with its knownBaseline entry.
const (
	knownTreats   = 'K'
	knownNoCores  = 'T' // of older versions
	knownBaseline = 'B'

	coreSize    = 3 * 4
	knownSize   = 8 + coreSize + 8 + 1 + 4
	noCoresSize = knownSize - coreSize
)

// KnownEntry returns the n-th entry with treats of a baseline. Its id includes a checksum of the data: if a first run
// is interrupted and repeated, the n-th entry can be a different one.
func KnownEntry(account, provider, baseline string, n int, treats []KnownTreat) journal.Entry {
	data := append(make([]byte, 0, 1+len(treats)*knownSize), knownTreats)
	for _, t := range treats {
		data = binary.LittleEndian.AppendUint64(data, t.Content)
		for _, part := range [...]uint32{t.Core.Sender, t.Core.Title, t.Core.Message} {
			data = binary.LittleEndian.AppendUint32(data, part)
		}
		data = binary.LittleEndian.AppendUint64(data, uint64(t.When.Digits)) //nolint:gosec // dates are from 2000 on
		floating := byte(0)
		if t.When.Floating {
			floating = 1
		}
		data = binary.LittleEndian.AppendUint32(append(data, floating), t.Count)
	}
	return journal.Entry{
		Kind: journal.Known, ID: fmt.Sprintf("known_%s_%s_%d_%08x", account, baseline, n, checksum(data)), Account: account, Provider: provider,
		Baseline: baseline, Data: data,
	}
}

// BaselineEntry returns the entry that completes a baseline with that many distinct treats.
func BaselineEntry(account, provider, baseline string, treats int) journal.Entry {
	return journal.Entry{
		Kind: journal.Known, ID: "known_" + account + "_" + baseline, Account: account, Provider: provider, Baseline: baseline,
		Data: binary.LittleEndian.AppendUint64([]byte{knownBaseline}, uint64(max(treats, 0))),
	}
}

func knownRecords(into []record, r record, e *journal.Record) []record {
	data := e.Data
	switch {
	case len(data) == 9 && data[0] == knownBaseline:
		r.core = baselineNumber(e.Baseline)
		r.repeat, r.second, r.flags = binary.LittleEndian.Uint64(data[1:]), r.journaled, kindBaseline
		return append(into, r)
	case len(data) == 0 || data[0] != knownTreats && data[0] != knownNoCores:
		return into
	}
	r.baseline, r.flags = BaselineTag(e.Baseline), kindKnown
	cores := data[0] == knownTreats
	size := noCoresSize
	if cores {
		size = knownSize
	}
	for data = data[1:]; len(data) >= size; data = data[size:] {
		one, rest := r, data[:size]
		one.content, rest = binary.LittleEndian.Uint64(rest), rest[8:]
		if cores {
			one.setCore(fingerprint.Core{
				Sender: binary.LittleEndian.Uint32(rest), Title: binary.LittleEndian.Uint32(rest[4:]), Message: binary.LittleEndian.Uint32(rest[8:]),
			})
			rest = rest[coreSize:]
		}
		one.second = unix32(int64(binary.LittleEndian.Uint64(rest))) //nolint:gosec // as it was written
		if rest[8] == 1 {
			one.flags |= flagFloating
		}
		one.repeat = uint64(binary.LittleEndian.Uint32(rest[9:]))
		into = append(into, one)
	}
	return into
}

func (r *record) setCore(c fingerprint.Core) {
	r.core, r.message = uint64(c.Sender)<<32|uint64(c.Title), c.Message
}

func (r *record) treatCore() fingerprint.Core {
	return fingerprint.Core{Sender: uint32(r.core >> 32), Title: uint32(r.core), Message: r.message} //nolint:gosec // each its half
}

// hit converts a record to its exported form.
func (r *record) hit(lost bool) Hit {
	h := Hit{
		Fingerprint: fingerprint.Fingerprint{Content: r.content, Core: r.treatCore(), When: fingerprint.Date{Digits: int64(r.second), Floating: r.flags&flagFloating != 0}},
		Number:      r.number, Repeat: r.repeat, Journaled: time.Unix(int64(r.journaled), 0).UTC(),
		Backfill: r.flags&flagBackfill != 0, Baseline: r.baseline, Lost: lost,
	}
	if r.kind() == kindKnown {
		h.Known, h.Repeat, h.Count = true, 0, r.repeat
	}
	return h
}
