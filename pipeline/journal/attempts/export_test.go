package attempts

import "github.com/treatrelay/relay/pipeline"

// The internals that the external tests need.
const (
	MaxText     = maxText
	BufferBytes = bufferBytes
	ChunkBytes  = chunkBytes
)

// Decode is decode, without the table.
func Decode(data []byte) (lines []byte, err error) {
	_, lines, err = decode(data)
	return lines, err
}

// AppendLine is appendLine.
func AppendLine(b []byte, a *pipeline.Attempt) []byte { return appendLine(b, a) }

// Encode is encode.
func Encode(newest map[string]uint64, lines []byte) []byte { return encode(nil, newest, lines) }
