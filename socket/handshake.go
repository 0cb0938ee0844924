package socket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handshake is the server's description of the session. (Engine.IO protocol, "Handshake".)
type handshake struct {
	sid          string
	pingInterval time.Duration
	pingTimeout  time.Duration
	upgrades     bool // to WebSocket, if the session polls
}

// Default intervals, from the protocol's example. No interval may be shorter than minInterval or longer than
// maxInterval, so that a server can neither make the client flood it nor wait forever.
const (
	defaultPingInterval = 25 * time.Second
	defaultPingTimeout  = 20 * time.Second
	minInterval         = 100 * time.Millisecond
	maxInterval         = time.Hour
	maxSID              = 512 // bytes
)

// readHandshake reads the first frame, which must be the handshake.
func (c *Client) readHandshake(ctx context.Context, ws *webSocket) (handshake, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Dial.HandshakeTimeout, &silenceError{c.cfg.Dial.HandshakeTimeout})
	defer cancel()
	in, err := ws.read(ctx, nil)
	if err != nil {
		if ctx.Err() != nil {
			return handshake{}, context.Cause(ctx)
		}
		return handshake{}, err
	}
	return handshakeOf(in)
}

// handshakeOf reads the first frame of a session, which must be the handshake.
func handshakeOf(in incoming) (handshake, error) {
	f := parseFrame(EIO3, in.binary, in.data)
	switch {
	case in.skipped():
		return handshake{}, fmt.Errorf("the first frame has %d bytes", in.size)
	case f.kind != frameOpen:
		return handshake{}, errors.New("the first frame is another")
	}
	return parseHandshake(f.data)
}

// parseHandshake decodes the payload of an open packet tolerantly: a number may be a string, or have a fraction or an
// exponent; a session id may be a number; an interval that is missing, null or not positive has its default.
func parseHandshake(data []byte) (handshake, error) {
	var raw struct {
		SID          json.RawMessage `json:"sid"`
		PingInterval json.RawMessage `json:"pingInterval"`
		PingTimeout  json.RawMessage `json:"pingTimeout"`
		Upgrades     json.RawMessage `json:"upgrades"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return handshake{}, errors.New("the handshake is not a JSON object")
	}
	sid, ok := scalar(raw.SID)
	switch {
	case !ok:
		return handshake{}, errors.New("sid of the handshake is neither a text nor a number")
	case sid == "":
		return handshake{}, errors.New("sid is missing in the handshake")
	case len(sid) > maxSID:
		return handshake{}, fmt.Errorf("sid of the handshake is longer than %d bytes", maxSID)
	}
	interval, err := milliseconds("pingInterval", raw.PingInterval, defaultPingInterval)
	if err != nil {
		return handshake{}, err
	}
	timeout, err := milliseconds("pingTimeout", raw.PingTimeout, defaultPingTimeout)
	if err != nil {
		return handshake{}, err
	}
	var upgrades []string
	_ = json.Unmarshal(raw.Upgrades, &upgrades) // unreadable: no upgrades
	return handshake{sid, interval, timeout, slices.Contains(upgrades, string(WebSocket))}, nil
}

// scalar returns a JSON string or number as text. It reports false for other values. A missing or null value is an
// empty text.
func scalar(value json.RawMessage) (text string, ok bool) {
	switch first := string(value[:min(len(value), 1)]); {
	case first == "" || first == "n":
		return "", true
	case first == `"`:
		return text, json.Unmarshal(value, &text) == nil
	case first == "-" || first >= "0" && first <= "9":
		return string(value), true
	}
	return "", false
}

// milliseconds reads an interval of the handshake.
func milliseconds(field string, value json.RawMessage, fallback time.Duration) (time.Duration, error) {
	text, ok := scalar(value)
	number, err := strconv.ParseFloat(cmp.Or(strings.TrimSpace(text), "0"), 64)
	if errors.Is(err, strconv.ErrRange) {
		err = nil // an infinity, or next to zero
	}
	switch {
	case !ok || err != nil || math.IsNaN(number):
		return 0, fmt.Errorf("%s of the handshake is not a number of milliseconds", field)
	case number <= 0:
		return fallback, nil
	}
	most := float64(maxInterval.Milliseconds())
	return max(time.Duration(min(number, most)*float64(time.Millisecond)), minInterval), nil
}
