// Command webhook takes relay's signed requests, and prints each treat once. In a module of your own:
// go get github.com/standard-webhooks/standard-webhooks/libraries.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" { // the library takes an empty one
		log.Fatal("WEBHOOK_SECRET is not set")
	}
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		log.Fatal(err)
	}
	var mu sync.Mutex
	done := map[string]bool{} // in earnest a table in your database: it must outlive a restart

	http.HandleFunc("POST /treats", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
		if err != nil {
			http.Error(w, "incomplete", http.StatusServiceUnavailable)
			return
		}
		if err := hook.Verify(body, r.Header); err != nil { // it also refuses what was signed over 5 minutes ago
			http.Error(w, "not signed by relay", http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if id := r.Header.Get("webhook-id"); !done[id] {
			var event struct {
				Data struct{ Sender, Title string }
			}
			if err := json.Unmarshal(body, &event); err != nil {
				http.Error(w, "not an event", http.StatusBadRequest)
				return
			}
			fmt.Println(id, cmp.Or(event.Data.Sender, "Somebody"), "sent", event.Data.Title)
			done[id] = true
		}
		w.WriteHeader(http.StatusNoContent)
	})
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s/treats", listener.Addr())
	server := &http.Server{ReadTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}
