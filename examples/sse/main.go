// Command sse prints treats as they come. After a lost connection it goes on where it was. In a module of your own: go get
// github.com/tmaxmax/go-sse.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/tmaxmax/go-sse"
)

func main() {
	req, err := http.NewRequest(http.MethodGet, os.Getenv("RELAY_URL")+"/api/v1/events?type=treatrelay.treat.v1", http.NoBody)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("RELAY_KEY")) // never in the URL: servers log those
	client := sse.Client{Backoff: sse.Backoff{MaxRetries: -1}}        // the loop below connects again, whatever happened
	stream := client.NewConnection(req)                               // it sends Last-Event-ID by itself
	stream.Buffer(nil, 16<<20)                                        // for the longest event
	stream.SubscribeMessages(func(m sse.Event) {
		var event struct {
			Data struct{ Sender, Title string }
		}
		if err := json.Unmarshal([]byte(m.Data), &event); err == nil {
			fmt.Println(cmp.Or(event.Data.Sender, "Somebody"), "sent", event.Data.Title)
		}
	})
	for ; ; time.Sleep(time.Second) {
		log.Print(stream.Connect())
	}
}
