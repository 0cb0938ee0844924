package telemetry

import (
	"log"
	"strings"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// maxStandardLine limits a message of the standard logger, in bytes.
const maxStandardLine = 500

// RedirectStandardLog sends messages of the standard logger, which packages such as net/http use, to relay's log. It affects the whole process.
func RedirectStandardLog(to zerolog.Logger) {
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(standardLog{to})
}

// standardLog is the writer of the standard logger.
type standardLog struct{ log zerolog.Logger }

// Write implements [io.Writer]. Each call has one message.
func (l standardLog) Write(message []byte) (int, error) {
	line := strings.Join(strings.Fields(string(message)), " ")
	if len(line) > maxStandardLine {
		line = strings.ToValidUTF8(line[:maxStandardLine], "") + "..."
	}
	level := zerolog.WarnLevel
	if unsolicited, _, found := strings.Cut(line, " starting with "); found && unsolicited == "Unsolicited response received on idle HTTP channel" {
		level, line = zerolog.DebugLevel, unsolicited // the rest is untrusted, and nothing is lost
	}
	l.log.WithLevel(level).Str("by", "standard logger").Msg(text.Line(line))
	return len(message), nil
}
