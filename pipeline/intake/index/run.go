package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A run is an immutable file of sorted records. It consists of blocks, a footer, and a trailer with the offset of the
// footer.
//
// A block contains blockRecords records and their checksum, padded to blockSize. The footer contains what is kept in memory:
// the first record of each block, a Bloom filter over the keys of [Index.Find], the numbers of the log that the run
// covers, and a summary of each account.
const (
	blockSize    = 4096
	blockRecords = (blockSize - 4) / recordSize
	runMagic     = "relayix7"
	trailerSize  = 8 + 4 + 4 + 8
	maxFooter    = 256 << 20
)

var errRunDamaged = errors.New("damaged")

type run struct {
	path    string
	file    *os.File
	count   int
	info    runInfo
	fences  []fence
	bloom   bloom
	users   atomic.Int32 // closed when there are none left; the index is one
	dropped atomic.Bool  // then the file is removed too
}

// runInfo describes the content of a run.
type runInfo struct {
	tail           uint64 // the table file that the run was made from; it and all earlier ones are obsolete
	events         int
	others         int // records that are not treats
	minNumber      uint64
	maxNumber      uint64
	minSecond      uint32
	maxSecond      uint32
	newestJournals uint32
	cover          []journal.Range
	accounts       []account // nil once merged into those of the index
}

// A fence is the key of the first record of a block.
type fence struct {
	account, content uint64
	second           uint32
}

// writeRun sorts records and writes them to a file. The file gets its name when it is complete.
func writeRun(path string, records []record, info *runInfo) (err error) {
	slices.SortFunc(records, func(a, b record) int { return a.compare(&b) })
	f, err := os.CreateTemp(filepath.Dir(path), "run-*.tmp")
	if err != nil {
		return fmt.Errorf("create a file of the journal's index: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the index of the journal: %w", errors.Join(err, f.Close(), os.Remove(f.Name())))
		}
	}()
	block := make([]byte, 0, blockSize)
	var fences []fence
	for from := 0; from < len(records); from += blockRecords {
		part := records[from:min(from+blockRecords, len(records))]
		fences = append(fences, fence{part[0].account, part[0].content, part[0].second})
		block = block[:0]
		for i := range part {
			block = appendRecord(block, &part[i])
		}
		block = append(block, make([]byte, blockSize-4-len(block))...)
		block = binary.LittleEndian.AppendUint32(block, checksum(block))
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	filter := newBloom(len(records))
	info.minNumber, info.minSecond = ^uint64(0), ^uint32(0)
	for i := range records {
		r := &records[i]
		filter.add(keyHash(r.account, r.second, r.content))
		info.minNumber, info.maxNumber = min(info.minNumber, r.number), max(info.maxNumber, r.number)
		info.minSecond, info.maxSecond = min(info.minSecond, r.second), max(info.maxSecond, r.second)
		info.newestJournals = max(info.newestJournals, r.journaled)
		if r.counts() {
			info.events++
		}
		if r.kind() != kindTreat {
			info.others++
		}
	}
	footer := appendFooter(nil, len(records), info, fences, filter)
	trailer := binary.LittleEndian.AppendUint64(nil, uint64(len(fences)*blockSize))
	trailer = binary.LittleEndian.AppendUint32(trailer, uint32(len(footer))) //nolint:gosec // bounded
	trailer = binary.LittleEndian.AppendUint32(trailer, checksum(footer))
	if _, err := f.Write(append(append(footer, trailer...), runMagic...)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func appendFooter(b []byte, count int, info *runInfo, fences []fence, filter bloom) []byte {
	for _, n := range [...]uint64{
		info.tail, uint64(count), uint64(info.events), uint64(info.others), info.minNumber, info.maxNumber, uint64(info.minSecond), uint64(info.maxSecond), uint64(info.newestJournals), //nolint:gosec // positive
	} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(info.cover))) //nolint:gosec // bounded
	for _, s := range info.cover {
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, s.First), s.Last)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(info.accounts))) //nolint:gosec // bounded
	for i := range info.accounts {
		a := &info.accounts[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a.name))) //nolint:gosec // bounded
		b = appendRecord(append(b, a.name...), &a.newest)
		b = appendRecord(binary.LittleEndian.AppendUint64(b, a.backfilled), &a.baseline)
		b = binary.LittleEndian.AppendUint64(b, a.batched)
	}
	for _, f := range fences {
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, f.account), f.content)
		b = binary.LittleEndian.AppendUint32(b, f.second)
	}
	return filter.append(b)
}

// openRun opens a run. The error is errRunDamaged if the file is damaged.
func openRun(path string) (r *run, err error) {
	f, err := os.Open(path) //nolint:gosec // a file of the index's folder
	if err != nil {
		return nil, fmt.Errorf("read the index of the journal: %w", err)
	}
	r = &run{path: path, file: f}
	r.users.Store(1)
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the index of the journal: %w", errors.Join(err, f.Close()))
		}
	}()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, trailerSize)
	if _, err := f.ReadAt(trailer, max(stat.Size()-trailerSize, 0)); err != nil || string(trailer[16:]) != runMagic {
		return nil, errRunDamaged
	}
	at, size := int64(binary.LittleEndian.Uint64(trailer)), int64(binary.LittleEndian.Uint32(trailer[8:])) //nolint:gosec // checked next
	if size > maxFooter || at < 0 || at+size+trailerSize != stat.Size() {
		return nil, errRunDamaged
	}
	footer := make([]byte, size)
	if _, err := f.ReadAt(footer, at); err != nil || checksum(footer) != binary.LittleEndian.Uint32(trailer[12:]) {
		return nil, errRunDamaged
	}
	if !r.parseFooter(footer) || at != int64(len(r.fences))*blockSize {
		return nil, errRunDamaged
	}
	return r, nil
}

func (r *run) parseFooter(footer []byte) bool {
	d := decoder{b: footer}
	i := &r.info
	i.tail, r.count, i.events, i.others = d.u64(), int(d.u64()), int(d.u64()), int(d.u64()) //nolint:gosec // as it was written
	i.minNumber, i.maxNumber = d.u64(), d.u64()
	i.minSecond, i.maxSecond, i.newestJournals = uint32(d.u64()), uint32(d.u64()), uint32(d.u64()) //nolint:gosec // as it was written
	i.cover = d.ranges()
	for n := d.u32(); n > 0 && !d.fail; n-- {
		i.accounts = append(i.accounts, account{
			name: string(d.take(d.u32())), newest: d.record(), backfilled: d.u64(), baseline: d.record(), batched: d.u64(),
		})
	}
	blocks := (r.count + blockRecords - 1) / blockRecords
	if d.fail || r.count < 0 || blocks*20 > len(d.b) {
		return false
	}
	r.fences = make([]fence, blocks)
	for at := range r.fences {
		r.fences[at] = fence{account: d.u64(), content: d.u64(), second: uint32(d.u32())} //nolint:gosec // written as 32 bits
	}
	r.bloom = slices.Clone(bloom(d.b)) // frees the rest of the footer
	return !d.fail && len(r.bloom) > 0
}

// block reads the records of a block.
func (r *run) block(n int, into []record) ([]record, error) {
	var room [blockSize]byte
	if _, err := r.file.ReadAt(room[:], int64(n)*blockSize); err != nil {
		if errors.Is(err, io.EOF) {
			err = errRunDamaged
		}
		return nil, fmt.Errorf("read the index of the journal: %w", err)
	}
	if checksum(room[:blockSize-4]) != binary.LittleEndian.Uint32(room[blockSize-4:]) {
		return nil, fmt.Errorf("read the index of the journal: %w", errRunDamaged)
	}
	held := min(blockRecords, r.count-n*blockRecords)
	for i := range held {
		into = append(into, parseRecord(room[i*recordSize:]))
	}
	return into, nil
}

// seek returns the first block that can have records at or after from.
func (r *run) seek(from *record) int {
	at := sort.Search(len(r.fences), func(i int) bool {
		f := record{account: r.fences[i].account, second: r.fences[i].second, content: r.fences[i].content}
		return f.compare(&record{account: from.account, second: from.second, content: from.content}) >= 0
	})
	return max(at-1, 0)
}

// find calls visit with the records of a key, oldest first.
func (r *run) find(account uint64, second uint32, content uint64, visit func(*record)) error {
	from := record{account: account, second: second, content: content}
	var room [blockRecords]record
	for n := r.seek(&from); n < len(r.fences); n++ {
		records, err := r.block(n, room[:0])
		if err != nil {
			return err
		}
		for i := range records {
			one := &records[i]
			if one.account == account && one.second == second && one.content == content {
				visit(one)
			} else if one.compare(&from) > 0 {
				return nil
			}
		}
	}
	return nil
}

func (r *run) acquire() { r.users.Add(1) }

// release gives up one use of a run.
func (r *run) release() {
	if r.users.Add(-1) > 0 {
		return
	}
	_ = r.file.Close() // opened for reading only
	if r.dropped.Load() {
		_ = os.Remove(r.path) // the next start removes what is left
	}
}

// drop removes a run from the index and deletes its file.
func (r *run) drop() {
	r.dropped.Store(true)
	r.release()
}

// syncDir syncs a folder on systems that support it.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the index's folder
	if err != nil {
		return err
	}
	_ = d.Sync() // not supported everywhere; a missing file is rebuilt
	return d.Close()
}
