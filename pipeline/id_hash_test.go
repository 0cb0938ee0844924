package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
)

// A hash over texts is the same whatever they are longer than: that of each text after its length, in eight bytes.
func TestHashFields(t *testing.T) {
	for _, sizes := range [][]int{{}, {0}, {0, 0}, {3, 500}, {504}, {505}, {600, 1}, {511, 0, 2000}, {1 << 20, 7}} {
		var parts []*string
		var whole []byte
		for i, size := range sizes {
			text := strings.Repeat(string(rune('a'+i)), size)
			parts = append(parts, &text)
			whole = append(binary.BigEndian.AppendUint64(whole, uint64(size)), text...)
		}
		if got := HashFields(parts...); got != sha256.Sum256(whole) {
			t.Errorf("sizes %v: another hash", sizes)
		}
	}
	empty := ""
	if HashFields(nil, &empty) != HashFields(&empty, nil) {
		t.Error("nil is not the empty text")
	}
}
