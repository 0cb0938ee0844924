package journalfiles

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// appendMessage appends a record as the server writes it.
func appendMessage(t testing.TB, f *format, buf []byte, seq uint64, subject, headers, payload string) []byte {
	t.Helper()
	le := binary.LittleEndian
	size := leastRecord + len(subject) + len(payload)
	head := uint32(0)
	if headers != "" {
		size += 4 + len(headers)
		head = headersBit
	}
	start := len(buf)
	buf = le.AppendUint32(buf, uint32(size)|head)
	buf = le.AppendUint64(buf, seq)
	buf = le.AppendUint64(buf, earliest+seq)
	buf = le.AppendUint16(buf, uint16(len(subject)))
	buf = append(buf, subject...)
	f.hash.Reset()
	_, _ = f.hash.Write(buf[start+4 : start+20])
	_, _ = f.hash.Write([]byte(subject))
	if headers != "" {
		buf = le.AppendUint32(buf, uint32(len(headers)))
		buf = append(buf, headers...)
		_, _ = f.hash.Write([]byte(headers))
	}
	buf = append(buf, payload...)
	_, _ = f.hash.Write([]byte(payload))
	return f.hash.Sum(buf)
}

func testFormat(t testing.TB) *format {
	t.Helper()
	f, err := newFormat("S", 1, []string{"s.*", "t.>"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func testBlock(t testing.TB, f *format) []byte {
	t.Helper()
	headers := headersBegin + "\r\nNats-Msg-Id: x" + headersEnd
	buf := appendMessage(t, f, nil, 5, "s.a", headers, `{"n":1}`)
	buf = appendMessage(t, f, buf, 6, "t.b.c", "", `{"n":2}`)
	buf = appendMessage(t, f, buf, 2|deletedBit, "", "", "")
	buf = f.appendErased(buf, 9, 0)
	return appendMessage(t, f, buf, 10, "s.a", headers, "")
}

// Whatever the bytes are, the parser ends, and what it keeps is a block without faults.
func FuzzBlock(f *testing.F) {
	form := testFormat(f)
	whole := testBlock(f, form)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(append(bytes.Clone(whole[:40]), whole[50:]...))
	f.Add(bytes.Repeat([]byte{30, 0, 0, 0}, 500))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, block []byte) {
		form := testFormat(t)
		before := bytes.Clone(block)
		s := form.scanBlock(block)
		if !bytes.Equal(block, before) {
			t.Error("the block itself was changed")
		}
		if s.whole == nil {
			if len(s.holes)+len(s.mended) > 0 {
				t.Error("something is wrong, and nothing was rewritten")
			}
			return
		}
		again := form.scanBlock(s.whole)
		if again.whole != nil || again.messages != s.messages || again.last != s.last || again.first != s.first {
			t.Errorf("what was kept reads as %+v, was %+v", again, s)
		}
	})
}

// FuzzExpand: whatever the bytes are, unpacking them ends, and what is no compressed block stays as it is.
func FuzzExpand(f *testing.F) {
	block := testBlock(f, testFormat(f))
	var packed bytes.Buffer
	packed.WriteString(compressedBegin)
	packed.Write(binary.AppendUvarint(nil, uint64(len(block))))
	w := s2.NewWriter(&packed)
	if _, err := w.Write(block[:len(block)-sumLen]); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	packed.Write(block[len(block)-sumLen:])
	if records, remake := expand(packed.Bytes()); remake || !bytes.Equal(records, block) {
		f.Fatalf("unpacked as %d bytes of %d; to be rewritten: %t", len(records), len(block), remake)
	}
	f.Add(packed.Bytes())
	f.Add(packed.Bytes()[:30])
	f.Add(block)
	f.Add([]byte(compressedBegin))
	f.Fuzz(func(t *testing.T, content []byte) {
		records, remake := expand(content)
		if !bytes.Contains(content, []byte(s2Begin)) && !bytes.HasPrefix(content, []byte(compressedBegin)) && (remake || !bytes.Equal(records, content)) {
			t.Error("it is not compressed, and was changed")
		}
		testFormat(t).scanBlock(records)
	})
}

// FuzzCursor: whatever the bytes are, reading a cursor ends, and what it gives makes sense.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{22, 2, 3, 8, 3, 8, 0, 0})
	f.Add([]byte{22, 2, 3, 8, 5, 10, 2, 1, 1, 1, 1, 2, 2, 1, 0})
	f.Fuzz(func(t *testing.T, content []byte) {
		at, err := readCursor(content, true)
		if err == nil && at.acked > at.delivered {
			t.Errorf("%+v", at)
		}
	})
}

// Any one byte that changes is noticed, or changes nothing; it costs its own record at most.
func TestEveryByteOfABlock(t *testing.T) {
	f := testFormat(t)
	whole := testBlock(t, f)
	want := f.scanBlock(whole)
	if want.whole != nil || want.messages != 3 || want.first != 5 || want.last != 10 {
		t.Fatalf("%+v", want)
	}
	for at := range whole {
		for bit := range 8 {
			block := bytes.Clone(whole)
			block[at] ^= 1 << bit
			s := f.scanBlock(block)
			switch {
			case s.whole == nil:
				t.Errorf("bit %d of byte %d: not noticed", bit, at)
			case len(s.mended) > 0 && !bytes.Equal(s.whole, whole):
				t.Errorf("bit %d of byte %d: mended to something else", bit, at)
			case len(s.mended) == 0 && (len(s.holes) != 1 || s.messages < want.messages-1):
				t.Errorf("bit %d of byte %d: %+v", bit, at, s)
			}
		}
	}
}

// Content that looks like records everywhere does not keep the search busy for ever.
func TestSearchEnds(t *testing.T) {
	f := testFormat(t)
	block := bytes.Repeat([]byte{0, 0, 8, 0}, 1<<18) // each fourth byte begins a record of 512 KiB
	f.scanBlock(block)
	if limit := (searchBudget + 2) * len(block); f.spent > limit {
		t.Errorf("%d bytes were hashed, want at most %d", f.spent, limit)
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, subject string
		want             bool
	}{
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.", false},
		{"a.*", "a.b.c", false},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{"a.>", "a.", false},
		{"*", "a", true},
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.b", "a.b.c", false},
	} {
		if got := matches(tt.pattern, tt.subject); got != tt.want {
			t.Errorf("%s takes %s: %t", tt.pattern, tt.subject, got)
		}
	}
}

// BenchmarkCheck is what a start pays for a journal of 200,000 events.
func BenchmarkCheck(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "journal")
	folder := filepath.Join(dir, storeFolder, "JOURNAL", streamsFolder, "S", messagesFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		b.Fatal(err)
	}
	meta := []byte(`{"name":"S","subjects":["s.*"]}`)
	hash, err := newHash("S")
	if err != nil {
		b.Fatal(err)
	}
	_, _ = hash.Write(meta)
	write := func(name string, content []byte) {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write(filepath.Join(folder, "..", metaFile), meta)
	write(filepath.Join(folder, "..", metaSumFile), fmt.Appendf(nil, "%x", hash.Sum(nil)))
	headers := headersBegin + "\r\nNats-Msg-Id: trt_06FPSEN8G3A6PS8Z0FKZSFJWE0\r\nRelay-Origin: live" + headersEnd
	payload := `{"text":"` + strings.Repeat("x", 450) + `"}`
	total, seq := int64(0), uint64(0)
	for index := uint32(1); seq < 200_000; index++ {
		f, err := newFormat("S", index, nil)
		if err != nil {
			b.Fatal(err)
		}
		var block []byte
		for ; seq < 200_000 && len(block) < 8<<20-1000; seq++ {
			block = appendMessage(b, f, block, seq+1, "s.mystream", headers, payload)
		}
		write(filepath.Join(folder, fmt.Sprint(index, blockSuffix)), block)
		total += int64(len(block))
	}
	b.SetBytes(total)
	for b.Loop() {
		if findings, err := Check(b.Context(), Options{Dir: dir, Evidence: dir + "-damaged"}); err != nil || len(findings) > 0 {
			b.Fatalf("%+v, %v", findings, err)
		}
	}
}

// A cursor that a flipped bit has moved is mostly noticed by itself: all but what does not move it.
func TestCursorFlips(t *testing.T) {
	for _, idle := range [][]byte{{22, 2, 3, 8, 3, 8, 0, 0}, {22, 2, 200, 1, 140, 2, 200, 1, 140, 2, 0, 0}} {
		was, err := readCursor(idle, true)
		if err != nil {
			t.Fatal(err)
		}
		for at := range idle {
			for bit := range 8 {
				content := bytes.Clone(idle)
				content[at] ^= 1 << bit
				if now, err := readCursor(content, true); err == nil && now != was {
					t.Errorf("bit %d of byte %d makes %+v of %+v", bit, at, now, was)
				}
			}
		}
	}
	for range 10_000 { // of any content: no panic
		content := make([]byte, rand.IntN(40))
		for i := range content {
			content[i] = byte(rand.IntN(256))
		}
		_, _ = readCursor(content, true)
	}
}
