// Command sse prints treats as they come, from relay's stream of Server-Sent Events. After a lost connection it goes on where it was. In a
// module of your own: go get github.com/tmaxmax/go-sse.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/tmaxmax/go-sse"
)

func main() {
	req, err := http.NewRequest(http.MethodGet, os.Getenv("RELAY_URL")+"/api/v1/events", http.NoBody)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("RELAY_KEY")) // never in the URL: that would be logged
	client := sse.Client{Backoff: sse.Backoff{MaxInterval: 5 * time.Second}}
	stream := client.NewConnection(req) // it sends Last-Event-ID when it connects again
	stream.Buffer(nil, 16<<20)          // for the longest event
	stream.SubscribeMessages(func(m sse.Event) {
		var event struct {
			ID   string
			Data struct{ Sender, Title string }
		}
		if err := json.Unmarshal([]byte(m.Data), &event); err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.ID, event.Data.Sender, "sent", event.Data.Title)
	})
	log.Fatal(stream.Connect()) // until relay refuses the key
}
