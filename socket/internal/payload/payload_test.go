package payload_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/treatrelay/relay/socket/internal/payload"
)

var limits = payload.Limits{Read: 1000, Head: 100, Skip: 4000}

// decode returns the packets of a payload, each as "text:..." or "bytes:...", with the size of those that were skipped.
func decode(in io.Reader, revision int) (packets []string, err error) {
	d := payload.NewDecoder(in, revision, limits)
	for {
		p, err := d.Next(nil)
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		text := fmt.Sprintf("text:%s", p.Data)
		if p.Binary {
			text = fmt.Sprintf("bytes:%x", p.Data)
		}
		if p.Size != len(p.Data) {
			text = fmt.Sprintf("skipped:%s:%d:%d", p.Data[:4], len(p.Data), p.Size)
		}
		packets = append(packets, text)
	}
}

func counted(text string) string {
	return fmt.Sprintf("%d:%s", len(utf16.Encode([]rune(text))), text)
}

func TestDecoder(t *testing.T) {
	large, huge := "4"+strings.Repeat("é🍕", 250), "4"+strings.Repeat("x", 4000)
	blob := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 990))
	for name, test := range map[string]struct {
		revision int
		in, want string
		err      string
	}{
		"3":                {3, `96:0` + strings.Repeat("x", 95) + `2:40`, "text:0" + strings.Repeat("x", 95) + " text:40", ""},
		"3 characters":     {3, counted(`42["é 你好 🍕"]`) + counted("4é") + counted("4🍕") + "1:2", `text:42["é 你好 🍕"] text:4é text:4🍕 text:2`, ""},
		"3 bytes as text":  {3, "10:b4AAECBA==", "bytes:0400010204", ""},
		"3 binary form":    {3, "\x00\x06\xff42[é]\x01\x03\xff\x04\x01\xff\x00\x01\x00\xff" + "2345678901", "text:42[é] bytes:0401ff text:2345678901", ""},
		"3 skipped":        {3, counted(large) + "1:2", "skipped:4é\xf0:100:1501 text:2", ""},
		"3 too large":      {3, counted(huge), "", "larger than may be skipped"},
		"3 cut":            {3, "5:42[", "", "unexpected EOF"},
		"3 cut length":     {3, "5", "", "unexpected EOF"},
		"3 cut in binary":  {3, "\x00\x06\xff42", "", "unexpected EOF"},
		"3 half a pair":    {3, "2:4🍕", "", "length of a packet"},
		"3 no length":      {3, "5;42", "", "not an Engine.IO payload"},
		"3 long length":    {3, "99999999999:4", "", "not an Engine.IO payload"},
		"3 other":          {3, "<html>", "", "not an Engine.IO payload"},
		"3 nothing within": {3, "0:1:2", "text: text:2", ""},
		"3 bad kind":       {3, "2:<h", "", "not an Engine.IO payload"},
		"3 bad bytes":      {3, "\x01\x01\xff\x09", "", "not an Engine.IO payload"},
		"4":                {4, "0{}\x1e40\x1e42[\"é 🍕\"]", `text:0{} text:40 text:42["é 🍕"]`, ""},
		"4 bytes":          {4, "452-\x1ebAAECBA==\x1eb//79", "text:452- bytes:00010204 bytes:fffefd", ""},
		"4 large bytes":    {4, "b" + blob, "bytes:" + strings.Repeat("01", 990), ""},
		"4 skipped":        {4, large + "\x1e2", "skipped:4é\xf0:100:1501 text:2", ""},
		"4 too large":      {4, huge, "", "larger than may be skipped"},
		"4 no base64":      {4, "b!!!!", "", "not base64"},
		"4 other":          {4, "<html>", "", "not an Engine.IO payload"},
		"nothing":          {4, "", "", ""},
	} {
		for kind, in := range map[string]io.Reader{
			"at once": strings.NewReader(test.in), "byte by byte": iotest.OneByteReader(strings.NewReader(test.in)),
		} {
			packets, err := decode(in, test.revision)
			if got := strings.Join(packets, " "); err == nil && got != test.want {
				t.Errorf("%s, %s: %q, want %q", name, kind, got, test.want)
			}
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s, %s: error %v, want %q", name, kind, err, test.err)
			}
		}
	}
}

// TestDecoderDoesNotWait has a packet come before the answer ends.
func TestDecoderDoesNotWait(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	go func() { _, _ = io.WriteString(out, counted(`42["é"]`)) }()
	p, err := payload.NewDecoder(in, 3, limits).Next(nil)
	if err != nil || string(p.Data) != `42["é"]` {
		t.Errorf("%q, %v", p.Data, err)
	}
}

func TestRevision(t *testing.T) {
	for in, want := range map[string]int{`96:0{"sid"`: 3, "2:40": 3, "\x00\x01\xff2": 3, `0{"sid"`: 4, "<html>": 0, "": 0, "2": 0} {
		if got := payload.NewDecoder(strings.NewReader(in), 3, limits).Revision(); got != want {
			t.Errorf("%q is of revision %d, want %d", in, got, want)
		}
	}
}

func TestEncode(t *testing.T) {
	for _, packet := range []string{"2", `42["é 🍕"]`} {
		for _, revision := range []int{3, 4} {
			packets, err := decode(strings.NewReader(payload.Encode(revision, packet)), revision)
			if err != nil || len(packets) != 1 || packets[0] != "text:"+packet {
				t.Errorf("%s by revision %d: %q, %v", packet, revision, packets, err)
			}
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("2:40"), true)
	f.Add([]byte("\x00\x01\xff2\x01\x02\xff\x04a"), true)
	f.Add([]byte("40\x1ebAAEC"), false)
	f.Fuzz(func(t *testing.T, in []byte, old bool) {
		revision := 4
		if old {
			revision = 3
		}
		d := payload.NewDecoder(bytes.NewReader(in), revision, limits)
		for {
			p, err := d.Next(nil)
			if err != nil {
				return
			}
			if len(p.Data) > limits.Read+8 {
				t.Fatalf("a packet of %d bytes was kept", len(p.Data))
			}
		}
	})
}
