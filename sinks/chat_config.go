package sinks

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// ParseFunc checks the URL of a webhook. Its errors do not quote it.
type ParseFunc func(text secret.String) (*url.URL, error)

// ChatWebhook is the webhook of a chat service: its URL, as the service shows it.
type ChatWebhook struct {
	Target `yaml:",inline"`
}

// Read returns the URL, and the key that has it.
func (w *ChatWebhook) readWebhook(parse ParseFunc) (u *url.URL, key string, err error) {
	text, key, err := w.ReadURL()
	if err != nil {
		return nil, key, err
	}
	u, err = parse(text)
	return u, key, field(key, err)
}

// checkWebhook checks the keys, and reads no file.
func (w *ChatWebhook) checkWebhook(timeout time.Duration, parse ParseFunc) []error {
	set := map[string]bool{"url": !w.URL.Empty(), "url_file": w.URLFile != ""}
	errs := []error{oneOf(set, "url", "url_file")}
	switch {
	case set["url"]:
		_, err := parse(w.URL)
		errs = append(errs, field("url", err))
	case !set["url_file"]:
		errs = append(errs, field("url", errors.New("is missing: write the URL of the webhook, or url_file")))
	}
	return append(errs, checkTimeout(timeout))
}

// checkWebhookFile reads the file of the URL, if there is one.
func (w *ChatWebhook) checkWebhookFile(parse ParseFunc) error {
	if w.URLFile == "" {
		return nil
	}
	_, _, err := w.readWebhook(parse)
	return err
}

// reachWebhook connects to the service without sending a request.
func (w *ChatWebhook) reachWebhook(ctx context.Context, parse ParseFunc) (Reached, error) {
	u, _, err := w.readWebhook(parse)
	if err != nil {
		return Reached{}, err
	}
	return DirectRoute(u).Reach(ctx)
}
