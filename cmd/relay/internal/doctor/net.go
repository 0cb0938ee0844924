package doctor

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/proxy"
)

// The limits of a clock's error, and of a certificate's remaining life.
const (
	clockWarn  = 30 * time.Second
	clockFault = 5 * time.Minute // beyond that, receivers refuse signatures
	certSoon   = 14 * 24 * time.Hour
)

// hostTracks check each host of the providers once, and the clock against each host that issues tokens.
func (d *doctor) hostTracks() []track {
	var all []track
	var hosts, clocks []string
	for _, c := range d.cfg.Accounts {
		account, err := grants.NewAccount(c, nil, nil, nil, zerolog.Nop())
		if err != nil {
			continue // the account's own check reports it
		}
		e := account.Endpoints()
		for _, endpoint := range e.All() {
			u, err := url.Parse(endpoint)
			if err != nil || u.Host == "" {
				continue
			}
			if at := u.Scheme + "://" + u.Host; !slices.Contains(hosts, at) {
				hosts = append(hosts, at)
				all = append(all, hostTrack(u))
			}
		}
		u, err := url.Parse(cmp.Or(e.Token, e.Authorize, e.Refresh))
		if err != nil || u.Host == "" || slices.Contains(clocks, u.Host) {
			continue
		}
		clocks = append(clocks, u.Host)
		all = append(all, track{{"clock", u.Host, networkLimit, func(ctx context.Context) Finding { return clock(ctx, u) }}})
	}
	return all
}

// hostTrack resolves a host and connects to it.
func hostTrack(u *url.URL) (t track) {
	host, known := u.Hostname(), true
	if _, err := netip.ParseAddr(host); err != nil {
		t = append(t, check{"dns", host, networkLimit, func(ctx context.Context) Finding {
			f := dns(ctx, u)
			known = f.State != Fault
			return f
		}})
	}
	name, connect := "tcp", tcp
	if u.Scheme == "https" {
		name, connect = "tls", tlsOf
	}
	return append(t, check{name, u.Host, networkLimit, func(ctx context.Context) Finding {
		if !known {
			return skipped("the name is not known")
		}
		return connect(ctx, u)
	}})
}

// proxyFor returns the environment's proxy for a URL; nil if there is none.
func proxyFor(ctx context.Context, u *url.URL) *url.URL {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.Scheme+"://"+u.Host+"/", http.NoBody)
	if err != nil {
		return nil
	}
	through, err := proxy.FromEnvironment(req)
	if err != nil {
		return nil
	}
	return through
}

func dns(ctx context.Context, u *url.URL) Finding {
	if through := proxyFor(ctx, u); through != nil {
		return skipped("the proxy %s resolves it", through.Host)
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return faulty(advice.Do("check the connection to the internet and the DNS server of this machine"), "%v", timedOut(ctx, err))
	}
	return fine("%s", strings.Join(addresses, ", "))
}

func tcp(ctx context.Context, u *url.URL) Finding {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	if err != nil {
		return faulty(advice.Do("start the server there, or correct endpoints of the account"), "%v", rootCause(timedOut(ctx, err)))
	}
	_ = conn.Close() // nothing was sent
	return fine("takes connections, without TLS")
}

// tlsOf checks the certificate of a server. It sends no secret.
func tlsOf(ctx context.Context, u *url.URL) Finding {
	var seen atomic.Pointer[tls.ConnectionState]
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				seen.Store(&state)
			}
		},
	})
	_, err := head(ctx, u)
	state := seen.Load()
	switch bad, isBad := errors.AsType[*tls.CertificateVerificationError](err); {
	case isBad:
		return faulty(advice.Do("if a proxy or a virus scanner reads this machine's traffic, have its certificate trusted (SSL_CERT_FILE); check the clock"), "%v", bad.Err)
	case state == nil && err != nil:
		return faulty(advice.Do("check the firewall and the proxy between this machine and the server"), "%v", rootCause(err))
	case state == nil || len(state.PeerCertificates) == 0:
		return skipped("there was no TLS")
	}
	return certificate(tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter, time.Now())
}

// certificate returns the finding of a valid certificate.
func certificate(version string, ends, now time.Time) Finding {
	if ends.Sub(now) < certSoon {
		return warned(advice.Do("have the server's certificate renewed"), "%s, and the certificate ends in %s", version, text.Span(ends.Sub(now)))
	}
	return fine("%s, certificate until %s", version, text.Day(ends))
}

// head returns the headers of a host's root page. It sends no secret and follows no redirect.
func head(ctx context.Context, u *url.URL) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.Scheme+"://"+u.Host+"/", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", version.UserAgent())
	client := &http.Client{
		Transport: &http.Transport{
			Proxy: proxy.FromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, timedOut(ctx, err)
	}
	return resp.Header, resp.Body.Close()
}

// clock compares this machine's clock with the Date of a server's answer, which is precise to a second.
func clock(ctx context.Context, u *url.URL) Finding {
	begin := time.Now()
	header, err := head(ctx, u)
	if err != nil {
		return skipped("the server does not answer: %v", rootCause(err))
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return skipped("the server sends no Date")
	}
	middle := begin.Add(time.Since(begin) / 2)
	return clockFinding(middle.Sub(date.Add(500 * time.Millisecond)))
}

// clockFinding returns the finding of a clock that is ahead by that much.
func clockFinding(ahead time.Duration) Finding {
	const fix = "set this machine's clock, best by NTP"
	word, off := "ahead of", ahead.Abs().Round(time.Second)
	if ahead < 0 {
		word = "behind"
	}
	switch {
	case ahead.Abs() > clockFault:
		return faulty(advice.Do(fix), "this machine's clock is %v %s the server's; receivers refuse signatures that are more than 5 minutes off", off, word)
	case ahead.Abs() > clockWarn:
		return warned(advice.Do(fix), "this machine's clock is %v %s the server's", off, word)
	}
	return fine("as the server's, within %v", max(off, time.Second))
}

// timedOut returns the cause of ctx if that has ended, or else err.
func timedOut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// rootCause removes the wrappers from a network error that repeat its URL or address.
func rootCause(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}

// portTrack checks that relay can listen on its configured addresses.
func (d *doctor) portTrack() (t track) {
	if d.overlays() {
		at := d.cfg.NATS.Listen
		t = append(t, check{"port", "nats.listen " + at, networkLimit, func(ctx context.Context) Finding { return d.port(ctx, at, isRelayNATS) }})
	}
	if h := d.cfg.HTTP; h.Served() {
		t = append(t, check{"port", "http.listen " + h.Listen, networkLimit, d.httpPort})
	}
	return t
}

// httpPort checks http.listen. Without the default one relay runs nevertheless.
func (d *doctor) httpPort(ctx context.Context) Finding {
	h := d.cfg.HTTP
	f := d.port(ctx, h.Listen, func(ctx context.Context, address string) error {
		return isRelayHTTP(ctx, address, h.TLS.CertFile != "")
	})
	if f.State == Fault && h.Listen == config.DefaultHTTPListen {
		f.State, f.Detail = Warning, f.Detail+"; relay serves no dashboard, overlays and health checks then"
	}
	return f
}

// port tries to listen. If the address is in use, mine reports whether the running relay uses it: its error is nil then.
func (d *doctor) port(ctx context.Context, listen string, mine func(ctx context.Context, address string) error) Finding {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		err = rootCause(err)
		const fix = "stop what uses it, or choose another address"
		if !d.runs {
			return faulty(advice.Do(fix), "%v", err)
		}
		if notMine := mine(ctx, reachable(listen)); notMine != nil {
			return faulty(advice.Do(fix+"; if the configuration was changed, restart relay"), "%v, and not by the relay that runs: %v", err, timedOut(ctx, notMine))
		}
		return fine("the relay that runs listens there")
	}
	_ = l.Close() // nothing was accepted
	if _, port, _ := net.SplitHostPort(listen); d.runs && port != "0" {
		return warned(advice.Do("restart relay if the configuration was changed"), "the relay that runs does not listen there")
	}
	return fine("is free")
}

// reachable returns the address at which a listener can be reached.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

// isRelayNATS returns nil if relay's NATS server listens there.
func isRelayNATS(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // only read
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	greeting, err := bufio.NewReader(io.LimitReader(conn, 64<<10)).ReadString('\n')
	if err != nil {
		return errors.New("the listener is not a NATS server")
	}
	if !strings.HasPrefix(greeting, "INFO ") || !strings.Contains(greeting, `"server_name":"relay"`) {
		return errors.New("another server listens there")
	}
	return nil
}

// isRelayHTTP returns nil if relay serves /healthz there.
func isRelayHTTP(ctx context.Context, address string, encrypted bool) error {
	scheme := "http"
	if encrypted {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // It is this machine, and the certificate may be for its public name.
	}}
	resp, err := client.Do(req)
	if err != nil {
		return rootCause(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"status":"ok"`) {
		return fmt.Errorf("/healthz answers %s", resp.Status)
	}
	return nil
}
