package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// After framesEvery frames, the bare Go program prints framesText and how many it has read per second.
const (
	framesEvery = 10_000
	framesText  = "frames a second: "
)

// bareGo is relay without a journal: a bare Go program that reads the socket, makes an event of each treat and publishes it
// to JetStream, with up to 256 acknowledgements outstanding. Without a NATS URL it only reads frames.
func bareGo(ctx context.Context, url, natsURL string) error {
	conn, _, err := websocket.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/socket.io/?EIO=3&transport=websocket", nil) //nolint:bodyclose // there is none
	if err != nil {
		return err
	}
	defer conn.CloseNow() //nolint:errcheck // the process ends
	conn.SetReadLimit(1 << 20)
	take := func([]byte) error { return nil }
	if natsURL != "" {
		if take, err = publisher(ctx, natsURL); err != nil {
			return err
		}
	}
	go func() {
		for ctx.Err() == nil {
			if conn.Write(ctx, websocket.MessageText, []byte("2")) != nil {
				return
			}
			time.Sleep(20 * time.Second)
		}
	}()
	frames, first := 0, time.Time{}
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		payload, ok := bytes.CutPrefix(frame, []byte(`42["realTimeTreat",`))
		if !ok {
			continue
		}
		if frames++; natsURL == "" && frames%framesEvery == 1 {
			if frames == 1 {
				first = time.Now()
			} else {
				fmt.Fprintf(os.Stderr, "%s%.0f\n", framesText, float64(frames-1)/time.Since(first).Seconds()) //nolint:forbidigo // this is main
			}
		}
		if err := take(payload[:len(payload)-1]); err != nil {
			return err
		}
	}
}

type bareGoTreat struct {
	Sender       string `json:"sender"`
	SenderType   string `json:"sender_type"`
	Receiver     string `json:"receiver"`
	ReceiverType string `json:"receiver_type"`
	Title        string `json:"title"`
	Message      string `json:"message"`
	DateCreated  string `json:"date_created"`
}

type bareGoEvent struct {
	SpecVersion     string      `json:"specversion"`
	ID              string      `json:"id"`
	Source          string      `json:"source"`
	Type            string      `json:"type"`
	Time            time.Time   `json:"time"`
	RecordedTime    time.Time   `json:"recordedtime"`
	DataContentType string      `json:"datacontenttype"`
	Data            bareGoTreat `json:"data"`
}

func publisher(ctx context.Context, url string) (func([]byte) error, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return nil, err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"treats.>"}}); err != nil {
		return nil, err
	}
	return func(payload []byte) error {
		var t bareGoTreat
		if err := json.Unmarshal(payload, &t); err != nil {
			return err
		}
		at, err := time.Parse(time.DateTime, t.DateCreated)
		if err != nil {
			return err
		}
		sum := sha256.Sum256([]byte(strings.Join([]string{t.Sender, t.SenderType, t.Receiver, t.ReceiverType, t.Title, t.Message, t.DateCreated}, "\x00")))
		id := "trt_" + hex.EncodeToString(sum[:13])
		line, err := json.Marshal(bareGoEvent{
			SpecVersion: "1.0", ID: id, Source: "/treatstream/mystream", Type: "treatrelay.treat.v1", Time: at, RecordedTime: time.Now(),
			DataContentType: "application/json", Data: t,
		})
		if err != nil {
			return err
		}
		_, err = js.PublishAsync("treats.treatstream.mystream", line, jetstream.WithMsgID(id), jetstream.WithStallWait(time.Minute))
		return err
	}, nil
}
