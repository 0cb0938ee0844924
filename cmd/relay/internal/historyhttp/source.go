// Package historyhttp fetches the past treats of an account from its provider, over HTTP.
package historyhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/httpheader"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/intake/history"
)

const (
	requestTimeout = 2 * time.Minute // for one request, to the last byte of its answer
	maxReply       = 256 << 20       // bytes of an answer with all its pages
	maxAttempts    = 4
	maxWait        = 2 * time.Minute // between two attempts; if the provider asks for more, no attempt is made until then
	maxRetryAfter  = 24 * time.Hour  // a longer Retry-After counts as this
)

// Source fetches an account's past treats from its provider. It implements [intake.History], and is for one goroutine at a time. The access token is
// in the URL, so no error and no log line contains the URL.
type Source struct {
	account *auth.Account
	url     *URL
	client  *http.Client
	dir     string // for the file that holds an answer while it is read
	name    string // of the account
	limit   int64  // bytes
	wait    *backoff.ExponentialBackOff

	notBefore time.Time // the provider asked to wait until then
	hopeless  int64     // the generation of a token that was refused although it was fresh
}

// New returns the history of an account, or nil if its provider has none. Files with answers are created in dir. An error has the exit code of a
// configuration error.
func New(c auth.Config, account *auth.Account, dir string, through http.RoundTripper) (*Source, error) {
	at := cmp.Or(c.Endpoints.History, c.Provider.Endpoints.History)
	if at == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	u, err := ParseURL(at)
	if err != nil {
		return nil, exit.With(exit.Config, fmt.Errorf("account %s: endpoints.history: %w", c.Account, err))
	}
	return &Source{
		account: account, url: u, dir: dir, name: c.Account, limit: maxReply,
		wait: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(3), backoff.WithMaxElapsedTime(0)),
		client: &http.Client{
			Transport: through,
			// A redirect would disclose the token.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// A fault is why one request failed.
type fault struct {
	why     string
	refused bool          // the provider refused the token
	again   bool          // a retry may help
	after   time.Duration // how long the provider asked to wait
}

func (f *fault) Error() string { return f.why }

// Fetch implements [intake.History]. It renews a refused token once, and retries a few times during an outage.
func (s *Source) Fetch(ctx context.Context) (history.Reply, error) {
	if time.Now().Before(s.notBefore) {
		return nil, fmt.Errorf("read the history at %s: the provider asked to wait", s.url.base.Host)
	}
	file, err := newSpool(s.dir)
	if err != nil {
		return nil, err
	}
	reply := &pagedReply{file, s}
	if err := s.fetch(ctx, reply, history.NextPage{}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return reply, nil
}

// fetch appends a page to the answer. The zero page is the first.
func (s *Source) fetch(ctx context.Context, into *pagedReply, page history.NextPage) error {
	token, err := s.account.Token(ctx)
	if err != nil {
		return err
	}
	from, err := into.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("keep the history while it is read: %w", err)
	}
	renewed := false
	s.wait.Reset()
	for try := 1; ; try++ {
		err := s.ask(ctx, token, into.spool, page, from)
		failed, known := errors.AsType[*fault](err)
		switch {
		case err == nil:
			s.hopeless = 0
			return nil
		case !known || ctx.Err() != nil:
			return err
		case failed.refused && !renewed && token.Generation != s.hopeless:
			renewed = true
			if token, err = s.account.Refresh(ctx, token.Generation); err != nil {
				return err
			}
			continue
		case failed.refused:
			s.hopeless = token.Generation
		case failed.after > maxWait:
			s.notBefore = time.Now().Add(failed.after)
		case failed.again && try < maxAttempts:
			select {
			case <-time.After(max(s.wait.NextBackOff(), failed.after)):
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return fmt.Errorf("read the history at %s: %w", s.url.base.Host, err)
	}
}

// ask makes one request and writes the whole answer to the file, at the offset from. Its error is a [fault], an error of the file, a
// [history.ErrPageElsewhere], or a [history.ErrPagesTooLarge].
func (s *Source) ask(ctx context.Context, by auth.Token, into *spool, page history.NextPage, from int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, fmt.Errorf("no whole answer within %s", requestTimeout))
	defer cancel()
	token := by.AccessToken
	broken := func(doing string, err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return &fault{why: doing + ": " + cause.Error(), again: true}
		}
		if outer, ok := errors.AsType[*url.Error](err); ok { // it contains the URL
			err = outer.Err
		}
		text := secret.Scrub(err.Error(), token, secret.New(url.PathEscape(token.Reveal())), secret.New(url.QueryEscape(token.Reveal())))
		return &fault{why: doing + ": " + strings.Join(strings.Fields(text), " "), again: true}
	}
	at, err := s.url.page(token, page)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return &fault{why: "endpoints.history is not a usable URL"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", version.UserAgent())
	resp, err := s.client.Do(req)
	if err != nil {
		return broken("no answer", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
	default:
		return refusal(resp)
	}
	into.answered(resp.Header, by)
	return s.keep(into, resp, from, broken)
}

// keep writes an answer to the file, at the offset from, where the file is read next.
func (s *Source) keep(into *spool, resp *http.Response, from int64, broken func(doing string, err error) error) error {
	if err := into.Truncate(from); err != nil {
		return fmt.Errorf("keep the history while it is read: %w", err)
	}
	if _, err := into.Seek(from, io.SeekStart); err != nil {
		return fmt.Errorf("keep the history while it is read: %w", err)
	}
	text := io.LimitReader(resp.Body, s.limit+1-from)
	if resp.StatusCode == http.StatusNoContent {
		text = strings.NewReader("null")
	}
	body := &tracked{r: text}
	n, err := io.Copy(into, body)
	switch {
	case body.err != nil:
		return broken("the answer is cut off", body.err)
	case err != nil:
		return &advice.Error{Err: fmt.Errorf("keep the history while it is read: %w", err), Fix: advice.Do("free some space")}
	case from+n > s.limit && from > 0:
		return history.ErrPagesTooLarge
	case from+n > s.limit:
		return &fault{why: fmt.Sprintf("the answer is larger than %d MiB", s.limit>>20)}
	}
	if _, err := into.Seek(from, io.SeekStart); err != nil {
		return fmt.Errorf("keep the history while it is read: %w", err)
	}
	return nil
}

// refusal returns the fault of an answer without a history. It quotes nothing of the body and headers, which may repeat the token.
func refusal(resp *http.Response) *fault {
	e := &fault{why: "HTTP " + strconv.Itoa(resp.StatusCode)}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e.refused = true
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		e.again, e.after = true, httpheader.RetryAfter(resp.Header, time.Now(), maxRetryAfter)
	default:
		e.why += ": check endpoints.history in the config"
	}
	return e
}

// tracked keeps the error of a reader, which io.Copy does not distinguish from that of the writer.
type tracked struct {
	r   io.Reader
	err error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}
