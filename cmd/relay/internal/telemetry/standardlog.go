package telemetry

import (
	"log"
	"strings"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// maxStandardLine is how many bytes are shown of what a package says by the standard logger.
const maxStandardLine = 500

// RedirectStandardLog has what packages say by the standard logger, as net/http does, come as lines of relay's log.
func RedirectStandardLog(to zerolog.Logger) {
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(standardLog{to})
}

// standardLog is where the standard logger writes.
type standardLog struct{ log zerolog.Logger }

// Write implements [io.Writer]. It is given one message.
func (l standardLog) Write(message []byte) (int, error) {
	line := strings.Join(strings.Fields(string(message)), " ")
	if len(line) > maxStandardLine {
		line = strings.ToValidUTF8(line[:maxStandardLine], "") + "..."
	}
	level := zerolog.WarnLevel
	if unsolicited, _, found := strings.Cut(line, " starting with "); found && unsolicited == "Unsolicited response received on idle HTTP channel" {
		level, line = zerolog.DebugLevel, unsolicited // what it starts with is the other side's; nothing is lost by it
	}
	l.log.WithLevel(level).Str("by", "standard logger").Msg(text.Line(line))
	return len(message), nil
}
