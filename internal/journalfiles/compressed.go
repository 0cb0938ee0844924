package journalfiles

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/s2"
)

// A block of a stream with compression begins with this and the length of its content, once it is full. Then follow the content
// but for its last checksum, as an S2 stream, and that checksum (server/filestore.go, StoreCompression.Compress).
const compressedBegin = "cmp\x01"

// s2Begin begins every S2 stream. Chunks follow: a type, their length in three bytes, and so much.
const s2Begin = "\xff\x06\x00\x00S2sTwO"

// notRecord stands for content that is lost. Nothing that begins with it is a record.
const notRecord = "\xff\xff\xff\xff"

// expand returns the records of a block, as they are or decompressed. Of one that is damaged it returns what can be had, with
// notRecord for what cannot. remake is true if the block must be rewritten for the server to read it.
func expand(content []byte) (records []byte, remake bool) {
	begin := bytes.Index(content[:min(len(content), 32)], []byte(s2Begin))
	head := len(compressedBegin)
	if bytes.HasPrefix(content, []byte(compressedBegin)) {
		if _, n := binary.Uvarint(content[head:]); n > 0 {
			head += n
		}
	} else if begin < 0 {
		return content, false
	}
	switch {
	case begin < 0 && len(content) < head+len(s2Begin)+sumLen:
		return content, false // a record of a length that spells the same
	case begin < 0:
		begin = head
		remake = true
	default:
		remake = begin != head || !bytes.HasPrefix(content, []byte(compressedBegin))
	}
	end := max(len(content)-sumLen, begin+len(s2Begin))
	for rest := content[min(begin+len(s2Begin), end):end]; len(rest) > 0; {
		size := 4
		if len(rest) >= size {
			size += int(rest[1]) | int(rest[2])<<8 | int(rest[3])<<16
		}
		chunk := rest[:min(size, len(rest))]
		rest = rest[len(chunk):]
		// A chunk is a stream of its own behind the begin of one, with its own checksum.
		part, err := io.ReadAll(s2.NewReader(io.MultiReader(bytes.NewReader([]byte(s2Begin)), bytes.NewReader(chunk))))
		records = append(records, part...)
		if err != nil || size < 4 || len(chunk) < size {
			records, remake = append(records, notRecord...), true
		}
	}
	return append(records, content[end:]...), remake
}
