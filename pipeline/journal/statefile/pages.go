package statefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts its file. Only two small pages have a checksum; it reads the others through a memory map, and a damaged
// one crashes the process (a fault, infinite recursion) or silently hides keys. So the pages are checked here before
// bbolt reads them. The format, unchanged since 2014: pages with a header (id, flags, count, overflow) and elements,
// each with the position of its key relative to itself; the contents of the elements follow without gaps.
const (
	pageSize        = 4 << 10 // fixed, so that the file can be moved between machines
	pageHeader      = 16
	pageElement     = 16
	flagBranch      = 1
	flagLeaf        = 2
	flagMeta        = 4
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	boltNoFreelist  = ^uint64(0)
	boltMetaSize    = 64
	bucketHeader    = 16
	elementIsBucket = 1
	maxPageDepth    = 64
)

// pageScan walks the pages of a bbolt file.
type pageScan struct {
	file  io.ReaderAt
	pages uint64              // number of pages according to the file
	seen  map[uint64]struct{} // pages of the tree
	found func(key, record []byte)
	bad   func(error)

	sequence uint64 // of the bucket: the revision of the state; 0 in files of versions that did not store it
}

// run calls found with each key and record of the state, in order unless something is damaged, and bad for each damage.
// Arguments are valid during the call only.
func (s *pageScan) run() {
	root, pages, err := s.newestMeta()
	if err != nil {
		s.bad(err)
	}
	if pages == 0 {
		return
	}
	s.pages, s.seen = pages, map[uint64]struct{}{}
	page, err := s.read(root)
	if err != nil {
		s.bad(err)
		return
	}
	buckets := 0
	err = s.elements(page, flagLeaf, func(flags uint32, _ uint64, key, value []byte) {
		buckets++
		if flags != elementIsBucket || string(key) != bucketName || buckets > 1 {
			s.bad(fmt.Errorf("page %d: %q is not the bucket of the state", root, key))
		}
		s.bucket(value)
	})
	if err == nil && buckets == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		s.bad(fmt.Errorf("page %d: %w", root, err))
	}
}

// newestMeta returns the root and the number of pages from the newer of the two meta pages. A commit replaces one of
// them and never leaves an invalid one.
func (s *pageScan) newestMeta() (root, pages uint64, err error) {
	var newest, freelist uint64
	for id := range uint64(2) {
		page := make([]byte, pageHeader+boltMetaSize)
		if _, readErr := s.file.ReadAt(page, int64(id*pageSize)); readErr != nil {
			err = fmt.Errorf("page %d: %w", id, readErr)
			continue
		}
		meta := page[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:boltMetaSize-8])
		order := binary.NativeEndian
		if order.Uint64(page) != id || order.Uint16(page[8:]) != flagMeta || order.Uint32(meta) != boltMagic || order.Uint32(meta[4:]) != boltVersion ||
			order.Uint32(meta[8:]) != pageSize || order.Uint64(meta[56:]) != sum.Sum64() {
			err = fmt.Errorf("page %d: the meta page is not valid", id)
			continue
		}
		if tx := order.Uint64(meta[48:]); pages == 0 || tx > newest {
			newest, root, pages, freelist = tx, order.Uint64(meta[16:]), order.Uint64(meta[40:]), order.Uint64(meta[32:])
		}
	}
	if pages > 0 && freelist != boltNoFreelist && err == nil {
		err = errors.New("it has a freelist, which relay does not write")
	}
	return root, pages, err
}

// read returns a page with its overflow pages.
func (s *pageScan) read(id uint64) ([]byte, error) {
	header := make([]byte, pageHeader)
	if id < 2 || id >= s.pages {
		return nil, fmt.Errorf("page %d: there is none", id)
	}
	if _, err := s.file.ReadAt(header, int64(id*pageSize)); err != nil { //nolint:gosec // ReadAt refuses what is out of range
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	more := uint64(binary.NativeEndian.Uint32(header[12:]))
	if binary.NativeEndian.Uint64(header) != id || id+more >= s.pages || more*pageSize > 4*maxValue {
		return nil, fmt.Errorf("page %d: its header is not valid", id)
	}
	for i := id; i <= id+more; i++ {
		if _, ok := s.seen[i]; ok {
			return nil, fmt.Errorf("page %d: it is used twice", i)
		}
		s.seen[i] = struct{}{}
	}
	page := make([]byte, (1+more)*pageSize)
	if _, err := s.file.ReadAt(page, int64(id*pageSize)); err != nil { //nolint:gosec // as above
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

// elements calls each with the elements of a page, as long as they are valid. A branch has a child instead of a value.
func (s *pageScan) elements(page []byte, want uint16, each func(flags uint32, child uint64, key, value []byte)) error {
	order := binary.NativeEndian
	if order.Uint16(page[8:]) != want {
		return errors.New("it is of another kind")
	}
	count := uint64(order.Uint16(page[10:]))
	next := pageHeader + count*pageElement // where the content of the next element begins
	if next > uint64(len(page)) {
		return errors.New("it holds more than fits")
	}
	for i := range count {
		at := pageHeader + i*pageElement
		element := page[at : at+pageElement]
		var flags, keySize, valueSize uint32
		var pos, child uint64
		if want == flagBranch {
			pos, keySize, child = uint64(order.Uint32(element)), order.Uint32(element[4:]), order.Uint64(element[8:])
		} else {
			flags, pos, keySize, valueSize = order.Uint32(element), uint64(order.Uint32(element[4:])), order.Uint32(element[8:]), order.Uint32(element[12:])
		}
		end := next + uint64(keySize) + uint64(valueSize)
		if at+pos != next || keySize == 0 || end > uint64(len(page)) {
			return fmt.Errorf("element %d is not valid", i)
		}
		each(flags, child, page[next:next+uint64(keySize)], page[next+uint64(keySize):end])
		next = end
	}
	return nil
}

// bucket walks the bucket that a value of the root describes.
func (s *pageScan) bucket(value []byte) {
	if len(value) < bucketHeader {
		s.bad(errors.New("the bucket of the state is not valid"))
		return
	}
	s.sequence = binary.NativeEndian.Uint64(value[8:])
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		s.tree(root, nil, nil, 0)
		return
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || !bytes.Equal(inline[:8], make([]byte, 8)) || !bytes.Equal(inline[12:16], make([]byte, 4)) {
		s.bad(errors.New("the bucket of the state is not valid"))
		return
	}
	s.leaf(inline, nil, nil)
}

// tree walks a page and those below it. Its keys are from low to below high; nil means unbounded.
func (s *pageScan) tree(id uint64, low, high []byte, depth int) {
	page, err := s.read(id)
	if err == nil && depth > maxPageDepth {
		err = fmt.Errorf("page %d: it is too far below the root", id)
	}
	if err != nil {
		s.bad(err)
		return
	}
	if binary.NativeEndian.Uint16(page[8:]) != flagBranch {
		s.leaf(page, low, high)
		return
	}
	var children []uint64
	var keys [][]byte
	err = s.elements(page, flagBranch, func(_ uint32, child uint64, key, _ []byte) {
		children, keys = append(children, child), append(keys, key)
	})
	if err == nil && len(children) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		s.bad(fmt.Errorf("page %d: %w", id, err))
	}
	for i, child := range children {
		if !between(keys[i], low, high) {
			s.bad(fmt.Errorf("page %d: its keys are not in order", id))
		}
		end := high
		if i+1 < len(keys) {
			end = keys[i+1]
		}
		s.tree(child, keys[i], end, depth+1)
		low = keys[i]
	}
}

func (s *pageScan) leaf(page, low, high []byte) {
	count := 0
	last := low
	err := s.elements(page, flagLeaf, func(flags uint32, _ uint64, key, value []byte) {
		if flags != 0 || !between(key, last, high) || count > 0 && bytes.Equal(key, last) {
			s.bad(fmt.Errorf("the keys are not in order at %q", key))
		}
		count++
		last = key
		s.found(key, value)
	})
	if err == nil && count == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		s.bad(fmt.Errorf("a page of keys that begins at %q: %w", low, err))
	}
}

func between(key, low, high []byte) bool {
	return bytes.Compare(low, key) <= 0 && (high == nil || bytes.Compare(key, high) < 0)
}
