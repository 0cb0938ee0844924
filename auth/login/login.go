// Package login gets the authorization code of a login from a provider. The browser returns to a page that relay serves
// on this machine, or the user pastes the address of that page.
package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/reply"
	"github.com/treatrelay/relay/internal/secret"
)

// Options configure a login. The zero value listens for the browser and prints nothing.
type Options struct {
	// Browser opens a URL, as [OpenBrowser] does; nil leaves that to the user.
	Browser func(url string) error
	// Prompt gets the instructions for the user; nil discards them. It shows the authorize URL, whose state is the only
	// secret in it.
	Prompt io.Writer
	// Paste provides the address that the browser was sent to, for machines without a browser; nil means none. If it
	// has no SetReadDeadline, one blocked read may outlive the login; a line that comes later is dropped.
	Paste io.Reader
	// AcceptMissingState accepts a pasted reply without a state, for a provider that returns none. The caller then
	// vouches that the address belongs to this login. A wrong state is refused in any case, and the listener always
	// requires one.
	AcceptMissingState bool
	// Refused is called with the reason when a reply is refused and the login goes on waiting; nil tells nobody.
	Refused func(reason string)
	// Timeout bounds the whole login; zero means five minutes.
	Timeout time.Duration
}

// Request describes the login to run.
type Request struct {
	Account  string // its name
	Title    string // of the provider, in messages
	Redirect string // the redirect_url of the config
	PKCE     bool
	// URL returns the authorize URL.
	URL func(Attempt) string
	// Exchange exchanges the code for a grant and saves it. Run returns its error unchanged.
	Exchange func(ctx context.Context, code secret.String, at Attempt) error
}

// Attempt holds the parameters of one login that the provider gets.
type Attempt struct {
	State    string
	Redirect string        // with the actual port
	Verifier secret.String // for PKCE; else empty
}

// Run gets a code from the provider through the user's browser and exchanges it. It listens on the redirect URL, which
// must be a loopback one (RFC 8252 section 7.3; port 0 means any free port), and accepts a pasted address; the first
// reply wins. A reply with a wrong state is refused and does not end the login, so that no hostile page can.
func Run(ctx context.Context, r Request, opts Options) error {
	timeout := cmp.Or(opts.Timeout, 5*time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("nobody answered within %s", timeout))
	defer cancel()
	if opts.Prompt == nil {
		opts.Prompt = io.Discard
	}
	if opts.Refused == nil {
		opts.Refused = func(string) {}
	}

	redirect, path, listeners, err := listen(ctx, r.Account, r.Redirect)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	arrivals := make(chan arrival)
	server := serveCallback(listeners, path, r.Title, arrivals, done)
	defer server.stop(ctx)
	pasted := readPasted(opts.Paste, arrivals, done)
	defer pasted.stop()
	defer close(done) // runs first: it releases everyone who still waits with an arrival

	at := attempt{
		Attempt: Attempt{State: rand.Text(), Redirect: redirect}, // at least 128 random bits
		prompt:  opts.Prompt,
		refused: opts.Refused,
		lax:     opts.AcceptMissingState,
	}
	if r.PKCE {
		at.Verifier = secret.New(oauth2.GenerateVerifier())
	}
	r.invite(r.URL(at.Attempt), opts)
	for {
		select {
		case in := <-arrivals:
			over, err := r.receive(ctx, at, in)
			if over {
				return err
			}
		case <-ctx.Done():
			return r.again(context.Cause(ctx), " once more")
		}
	}
}

// again returns err with the advice to log in again, followed by words.
func (r Request) again(err error, words string) error {
	return &advice.Error{Err: err, Fix: advice.Fix{Before: "run: ", Command: advice.Login(r.Account), After: words}}
}

// attempt is one login in progress.
type attempt struct {
	Attempt

	prompt  io.Writer
	refused func(reason string)
	lax     bool // a pasted reply needs no state
}

// arrival is a reply from the browser or a line that the user pasted.
type arrival struct {
	query   url.Values
	pasted  bool
	problem string         // why a paste cannot be read
	verdict chan<- verdict // receives one
}

// verdict is the answer to an arrival, for the user.
type verdict struct {
	status int    // of HTTP
	title  string // one line
	text   string
}

// invite tells the user where to log in.
func (r Request) invite(target string, opts Options) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(opts.Prompt, format, args...) }
	say("To connect %s to %s, open this address in a browser:\n\n  %s\n\n", r.Account, r.Title, target)
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

// receive handles one arrival. It reports whether the login is over, and its result.
func (r Request) receive(ctx context.Context, at attempt, in arrival) (over bool, err error) {
	tell := func(v verdict) {
		in.verdict <- v
		if in.pasted || v.status != statusOK {
			_, _ = fmt.Fprintf(at.prompt, "%s. %s\n", v.title, v.text)
		}
	}
	refuse := func(v verdict) {
		tell(v)
		at.refused(v.text)
	}
	if in.problem != "" {
		refuse(verdict{statusBad, "That is not it", sentence(in.problem)})
		return false, nil
	}
	if v, ok := r.stateFault(at, in); !ok {
		refuse(v)
		return false, nil
	}
	if code := in.query.Get("error"); code != "" {
		why := fmt.Sprintf("%s declined: %s", r.Title, describe(in.query))
		tell(verdict{statusBad, "Not connected", sentence(why)})
		return true, r.again(errors.New(why), " once more, and allow the access")
	}
	code := secret.New(in.query.Get("code"))
	if code.Empty() {
		none := verdict{statusBad, "No code", "The address holds no code. It must be the one that " + r.Title + " sent the browser to."}
		if in.pasted {
			refuse(none)
			return false, nil // probably the authorize URL
		}
		tell(none)
		return true, errors.New("the reply of " + r.Title + " holds neither a code nor an error")
	}
	if err := r.Exchange(ctx, code, at.Attempt); err != nil {
		tell(verdict{statusFailed, "Not connected", sentence(err.Error())})
		return true, err
	}
	tell(verdict{statusOK, "Connected", sentence("account " + r.Account + " is connected to " + r.Title + "; you may close this window")})
	return true, nil
}

// stateFault returns the answer to an arrival whose state does not match the login. ok reports whether it matches.
func (r Request) stateFault(at attempt, in arrival) (v verdict, ok bool) {
	declined := ""
	if in.query.Get("error") != "" {
		declined = " It said that the login was declined: if you did that, stop relay and log in again."
	}
	switch {
	case in.query.Has("state"):
		ok = subtle.ConstantTimeCompare([]byte(in.query.Get("state")), []byte(at.State)) == 1
		return verdict{statusBad, "Reply refused", "It does not belong to the login under way (wrong state), which goes on waiting. Use the newest address that relay printed." + declined}, ok
	case in.pasted && at.lax:
		return verdict{}, true
	case in.pasted:
		return verdict{statusBad, "Reply refused", "It holds no state, so nothing shows that it belongs to the login under way. Copy the whole address line of the browser. If " +
			r.Title + " returns no state at all, log in again with --accept-missing-state and paste it then." + declined}, false
	}
	return verdict{statusBad, "Reply refused", "It holds no state, so nothing shows that it belongs to the login under way, which goes on waiting. If " + r.Title +
		" returns no state at all, stop relay, run " + advice.Login(r.Account) + " --accept-missing-state, and paste the address of this page there." + declined}, false
}

// describe returns the text of an error reply (RFC 6749 section 4.1.2.1). It removes the code and the state, should the
// text repeat them.
func describe(query url.Values) string {
	clean := reply.Cleaner(map[string]secret.String{"code": secret.New(query.Get("code")), "state": secret.New(query.Get("state"))})
	text := reply.OneLine(clean(query.Get("error")))
	if more := reply.OneLine(clean(query.Get("error_description"))); more != "" {
		text += " (" + more + ")"
	}
	return text
}

func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
