package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/treatrelay/relay/internal/secret"
)

// LoginOptions are the surroundings of one [Account.Login].
type LoginOptions struct {
	// Browser opens a URL, as [OpenBrowser] does; nil leaves that to the user.
	Browser func(url string) error
	// Prompt is told what the user has to do; nil for nowhere. It shows the authorize URL, and no other secret than the
	// state in it.
	Prompt io.Writer
	// Paste is read for the address that the browser was sent to, for machines without a browser; nil for none. One
	// read of it may outlive Login, when it blocks and knows no SetReadDeadline; a line that comes later is dropped.
	Paste io.Reader
	// AcceptMissingState takes a pasted reply without any state, for a provider that returns none. Whoever sets it vouches that the
	// address is of the login just made: nothing else shows that. One with a wrong state is refused all the same, and so is
	// whatever reaches the listener.
	AcceptMissingState bool
	// Timeout bounds the whole login; zero means five minutes.
	Timeout time.Duration
}

// Login gets a grant from the provider by way of the user's browser, and saves it. It listens on the redirect_url of the
// config, which must be a loopback one (RFC 8252 section 7.3: its port 0 stands for any free port), or takes the address
// that the user pastes, whichever comes first. A reply with another state than the one sent is refused and does not end
// the login, so that no hostile page can.
func (a *Account) Login(ctx context.Context, opts LoginOptions) error {
	if a.provider.Grant != AuthorizationCode {
		e := a.fail("log in", errors.New(a.provider.Title+" has no login in a browser"))
		if e.Fix = a.advice(); a.provider.Grant == ClientCredentials {
			e.Fix = "none is needed: its tokens are asked for with client_id and client_secret"
		}
		return e
	}
	timeout := cmp.Or(opts.Timeout, 5*time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("nobody answered within %s", timeout))
	defer cancel()
	if opts.Prompt == nil {
		opts.Prompt = io.Discard
	}

	redirect, path, listeners, err := listen(ctx, a.name, a.redirect)
	if err != nil {
		return a.fail("log in", err)
	}
	done := make(chan struct{})
	arrivals := make(chan arrival)
	server := serveCallback(listeners, path, a.provider.Title, arrivals, done)
	defer server.stop(ctx)
	pasted := readPasted(opts.Paste, arrivals, done)
	defer pasted.stop()
	defer close(done) // First of the three: it lets go whoever still waits with an arrival.

	attempt := attempt{
		state:    rand.Text(), // 128 bits and more.
		redirect: redirect,
		prompt:   opts.Prompt,
		lax:      opts.AcceptMissingState,
	}
	if a.provider.PKCE {
		attempt.verifier = secret.New(oauth2.GenerateVerifier())
	}
	a.invite(a.authorizeURL(attempt), opts)
	for {
		select {
		case in := <-arrivals:
			over, err := a.receive(ctx, attempt, in)
			if over {
				return err
			}
		case <-ctx.Done():
			e := a.fail("log in", context.Cause(ctx))
			e.Fix = loginCommand(a.name) + " once more"
			return e
		}
	}
}

// attempt is one login under way.
type attempt struct {
	state, redirect string
	verifier        secret.String // of PKCE; empty without
	prompt          io.Writer
	lax             bool // a pasted reply needs no state
}

// arrival is what came back from the browser or from the user's clipboard.
type arrival struct {
	query   url.Values
	pasted  bool
	problem string         // of a paste that cannot be read
	verdict chan<- verdict // takes one
}

// verdict is what the user is told about an arrival.
type verdict struct {
	status int    // of HTTP
	title  string // one line
	text   string
}

// invite tells the user where to go.
func (a *Account) invite(target string, opts LoginOptions) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(opts.Prompt, format, args...) }
	say("To connect %s to %s, open this address in a browser:\n\n  %s\n\n", a.name, a.provider.Title, target)
	if opts.Browser != nil {
		if err := opts.Browser(target); err != nil {
			say("It was not opened for you: %v.\n", err)
		} else {
			say("A browser should be opening it now.\n")
		}
	}
	if opts.Paste != nil {
		say("Is the browser on another machine? Then its last page will not load: copy the address of that page, paste it here and press Enter.\n")
	}
}

// receive judges one arrival, and reports whether the login is over and with which result.
func (a *Account) receive(ctx context.Context, at attempt, in arrival) (over bool, err error) {
	tell := func(v verdict) {
		in.verdict <- v
		if in.pasted || v.status != statusOK {
			_, _ = fmt.Fprintf(at.prompt, "%s. %s\n", v.title, v.text)
		}
	}
	if in.problem != "" {
		tell(verdict{statusBad, "That is not it", sentence(in.problem)})
		return false, nil
	}
	if v, ok := a.stateFault(at, in); !ok {
		tell(v)
		return false, nil
	}
	if code := in.query.Get("error"); code != "" {
		why := fmt.Sprintf("%s declined: %s", a.provider.Title, describe(in.query))
		tell(verdict{statusBad, "Not connected", sentence(why)})
		e := a.fail("log in", errors.New(why))
		e.Fix = loginCommand(a.name) + " once more, and allow the access"
		return true, e
	}
	code := secret.New(in.query.Get("code"))
	if code.Empty() {
		tell(verdict{statusBad, "No code", "The address holds no code. It must be the one that " + a.provider.Title + " sent the browser to."})
		if in.pasted {
			return false, nil // Most likely the address that was to be opened.
		}
		return true, a.fail("log in", errors.New("the reply of "+a.provider.Title+" holds neither a code nor an error"))
	}
	if err := a.exchange(ctx, code, at); err != nil {
		tell(verdict{statusFailed, "Not connected", sentence(err.Error())})
		return true, err
	}
	tell(verdict{statusOK, "Connected", sentence("account " + a.name + " is connected to " + a.provider.Title + "; you may close this window")})
	return true, nil
}

// stateFault says what the user is told about an arrival that does not belong to the login under way. ok is whether it does.
func (a *Account) stateFault(at attempt, in arrival) (v verdict, ok bool) {
	declined := ""
	if in.query.Get("error") != "" {
		declined = " It said that the login was declined: if you did that, stop relay and log in again."
	}
	switch {
	case in.query.Has("state"):
		ok = subtle.ConstantTimeCompare([]byte(in.query.Get("state")), []byte(at.state)) == 1
		return verdict{statusBad, "Reply refused", "It does not belong to the login under way (wrong state), which goes on waiting. Use the newest address that relay printed." + declined}, ok
	case in.pasted && at.lax:
		return verdict{}, true
	case in.pasted:
		return verdict{statusBad, "Reply refused", "It holds no state, so nothing shows that it belongs to the login under way. Copy the whole address line of the browser. If " +
			a.provider.Title + " returns no state at all, log in again with --accept-missing-state and paste it then." + declined}, false
	}
	return verdict{statusBad, "Reply refused", "It holds no state, so nothing shows that it belongs to the login under way, which goes on waiting. If " + a.provider.Title +
		" returns no state at all, stop relay, run " + strings.TrimPrefix(loginCommand(a.name), "run: ") + " --accept-missing-state, and paste the address of this page there." + declined}, false
}

// describe gives what an error reply says (RFC 6749 section 4.1.2.1), without the code it may carry all the same.
func describe(query url.Values) string {
	clean := cleaner(map[string]secret.String{"code": secret.New(query.Get("code")), "state": secret.New(query.Get("state"))})
	text := oneLine(clean(query.Get("error")))
	if more := oneLine(clean(query.Get("error_description"))); more != "" {
		text += " (" + more + ")"
	}
	return text
}

func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// listen opens the redirect URL's port on loopback. It gives the URL as it is registered, with the real port in place of
// port 0, and the path that the browser will ask for.
func listen(ctx context.Context, account, redirect string) (final, path string, all []net.Listener, err error) {
	field := "accounts." + account + ".redirect_url"
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || !loopback(u.Hostname()) {
		return "", "", nil, fmt.Errorf("%s must be an http URL of this machine, such as http://localhost:8919, and be registered as such at the provider", field)
	}
	port := cmp.Or(u.Port(), "80")
	hosts := []string{u.Hostname()}
	if u.Hostname() == "localhost" {
		// A browser may try either address first, and neither must be left to somebody else.
		hosts = []string{"127.0.0.1", "::1"}
	}
	for i, host := range hosts {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
		switch {
		case err == nil:
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
			continue
		case i > 0 && !inUse(err):
			continue // A machine without IPv6.
		case inUse(err):
			err = fmt.Errorf("port %s of %s is taken: stop what listens there, or change the port here and at the provider", port, field)
		default:
			err = fmt.Errorf("listen on port %s of %s: %w", port, field, err)
		}
		for _, l := range all {
			_ = l.Close()
		}
		return "", "", nil, err
	}
	path = cmp.Or(u.Path, "/")
	if u.Port() != "0" {
		return redirect, path, all, nil // To the letter: providers compare it with what is registered.
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u.String(), path, all, nil
}

// inUse reports whether err means that somebody else has the port. Windows gives its own number for it.
func inUse(err error) bool {
	const wsaeaddrinuse = syscall.Errno(10048)
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaeaddrinuse)
}
