// Command subscriber prints the treats of the stream TREATS as they come. Its consumer is durable: what was sent while it did not run comes
// when it is back. In a module of your own: go get github.com/nats-io/nats.go.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "TREATS", jetstream.ConsumerConfig{
		Durable:       "alerts-go",                // another name for each program
		DeliverPolicy: jetstream.DeliverNewPolicy, // where the very first start begins
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       5 * time.Second, // after which an event that was not acknowledged comes again
		MaxAckPending: 1,               // keeps the order when it does
	})
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		var event struct {
			ID   string
			Data struct{ Sender, Title, Message string }
		}
		if err := json.Unmarshal(msg.Data(), &event); err != nil || event.ID == "" {
			log.Printf("no treat is on %s: %v", msg.Subject(), err)
			_ = msg.Term() // it would not be better the next time
			return
		}
		if event.Data.Sender == "" {
			event.Data.Sender = "Somebody"
		}
		fmt.Println(event.ID, event.Data.Sender, "sent", event.Data.Title)
		if err := msg.Ack(); err != nil { // only now is it done
			log.Print(err)
		}
	})
	if err != nil {
		return err
	}
	defer consuming.Stop()
	<-ctx.Done()
	return nil
}
