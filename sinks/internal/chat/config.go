package chat

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// ParseFunc checks the URL of a webhook. Its errors do not quote it.
type ParseFunc func(text secret.String) (*url.URL, error)

// Webhook has the configuration keys for the URL of a webhook.
type Webhook struct {
	outbound.Target `yaml:",inline"`
}

// ReadWebhook returns the URL and the key that provides it.
func (w *Webhook) ReadWebhook(parse ParseFunc) (u *url.URL, key string, err error) {
	text, key, err := w.ReadURL()
	if err != nil {
		return nil, key, err
	}
	u, err = parse(text)
	return u, key, field.Wrap(key, err)
}

// CheckWebhook checks the keys without reading a file.
func (w *Webhook) CheckWebhook(timeout time.Duration, parse ParseFunc) []error {
	set := map[string]bool{"url": !w.URL.Empty(), "url_file": w.URLFile != ""}
	errs := []error{field.OneOf(set, "url", "url_file")}
	switch {
	case set["url"]:
		_, err := parse(w.URL)
		errs = append(errs, field.Wrap("url", err))
	case !set["url_file"]:
		errs = append(errs, field.Wrap("url", errors.New("is missing: write the URL of the webhook, or url_file")))
	}
	return append(errs, field.CheckTimeout(timeout))
}

// CheckWebhookFile reads and checks the file with the URL, if there is one.
func (w *Webhook) CheckWebhookFile(parse ParseFunc) error {
	if w.URLFile == "" {
		return nil
	}
	_, _, err := w.ReadWebhook(parse)
	return err
}

// ReachWebhook connects to the service without sending a request.
func (w *Webhook) ReachWebhook(ctx context.Context, parse ParseFunc) (outbound.Reached, error) {
	u, _, err := w.ReadWebhook(parse)
	if err != nil {
		return outbound.Reached{}, err
	}
	return outbound.DirectRoute(u).Reach(ctx)
}
