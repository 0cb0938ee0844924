package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/treat"
)

// A Treat is a dated treat of a reply: its fingerprint and position.
type Treat struct {
	fingerprint.Fingerprint
	Same fingerprint.Identity // in the zone of [Bounds]

	offset int64
	length int32
	part   int32 // index of the treat in the item
}

// Body reads the treat again from its reply.
func (t *Treat) Body(from io.ReaderAt) (treat.Treat, error) {
	text := make([]byte, t.length)
	if _, err := from.ReadAt(text, t.offset); err != nil && !errors.Is(err, io.EOF) {
		return treat.Treat{}, fmt.Errorf("read a treat of the history again: %w", err)
	}
	treats, _ := treat.DecodeItem(bytes.TrimLeft(text, ", \t\r\n")) // other items were counted before
	if int(t.part) >= len(treats) {
		return treat.Treat{}, errors.New("read a treat of the history again: it is gone")
	}
	return treats[t.part], nil
}

const (
	// MaxChannels bounds the channels listed for a reply.
	MaxChannels = 64
	// maxChannel bounds the name of a channel in bytes.
	maxChannel = 128
)

// channelOf returns the name of a channel: the receiver of its treats in lower case. Empty: unknown.
func channelOf(receiver *string) string {
	if receiver == nil {
		return ""
	}
	name := strings.ToLower(strings.Join(strings.Fields(*receiver), " "))
	for len(name) > maxChannel {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}
