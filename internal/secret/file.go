package secret

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
)

// FileLimit bounds the size of a file of secrets in bytes.
const FileLimit = 64 << 10

var errNotText = errors.New("is not text, or cut off: save it as UTF-8")

// Text normalizes the bytes of a file or standard input that holds secrets. It removes a byte order mark and trailing
// line ends, and converts UTF-16, which editors and shells on Windows produce. It keeps spaces, which may belong to a
// password. The error quotes nothing of the content.
func Text(content []byte) (String, error) {
	text := string(content)
	switch order, rest := utf16Order(content); {
	case bytes.HasPrefix(content, []byte("\xef\xbb\xbf")):
		text = text[len("\xef\xbb\xbf"):]
	case order != nil && len(rest)%2 != 0:
		return String{}, errNotText
	case order != nil:
		units := make([]uint16, len(rest)/2)
		for i := range units {
			units[i] = order.Uint16(rest[2*i:])
		}
		text = string(utf16.Decode(units))
	}
	return New(strings.TrimRight(text, "\r\n")), nil
}

// utf16Order returns the byte order of UTF-16 text and the content after the mark, or nil for other text. Without a
// mark, text is UTF-16 if exactly every other byte is zero, as with ASCII.
func utf16Order(content []byte) (binary.ByteOrder, []byte) {
	switch {
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}):
		return binary.LittleEndian, content[2:]
	case bytes.HasPrefix(content, []byte{0xfe, 0xff}):
		return binary.BigEndian, content[2:]
	case len(content) == 0 || len(content)%2 != 0:
		return nil, nil
	}
	zeros := [2]int{}
	for i, b := range content {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch zeros {
	case [2]int{0, len(content) / 2}:
		return binary.LittleEndian, content
	case [2]int{len(content) / 2, 0}:
		return binary.BigEndian, content
	}
	return nil, nil
}

// ReadFile reads and normalizes a file of secrets like [Text]. It rejects an empty file and one larger than
// [FileLimit]. The error names the file and quotes nothing of its content.
func ReadFile(path string) (String, error) {
	f, err := os.Open(path) //nolint:gosec // The path is the operator's own.
	if err != nil {
		return String{}, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, FileLimit+1))
	if err != nil {
		return String{}, err
	}
	if len(content) > FileLimit {
		return String{}, fmt.Errorf("%s is larger than %d KiB", path, FileLimit>>10)
	}
	text, err := Text(content)
	switch {
	case err != nil:
		return String{}, fmt.Errorf("%s %w", path, err)
	case text.Empty():
		return String{}, fmt.Errorf("%s is empty", path)
	}
	return text, nil
}

// ReadLine is like [ReadFile] for a single secret: it also rejects a second line and control characters.
func ReadLine(path string) (String, error) {
	text, err := ReadFile(path)
	if err != nil {
		return String{}, err
	}
	if strings.ContainsFunc(text.Reveal(), unicode.IsControl) {
		return String{}, fmt.Errorf("%s holds more than one line of text", path)
	}
	return text, nil
}
