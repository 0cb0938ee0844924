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
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/proxy"
)

// The limits of a clock that is off, and of a certificate that ends.
const (
	clockWarn  = 30 * time.Second
	clockFault = 5 * time.Minute // from which on receivers refuse signatures
	certSoon   = 14 * 24 * time.Hour
)

// hostTracks look at each host of the accounts' providers once, and at the clock against those that hand out tokens.
func (d *doctor) hostTracks() []track {
	var all []track
	var hosts, clocks []string
	for _, c := range d.cfg.Accounts {
		account, err := grants.NewAccount(c, nil, nil, nil, zerolog.Nop())
		if err != nil {
			continue // its own check tells
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

// hostTrack looks a host up and connects to it.
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

// proxyOf is the environment's proxy for a URL; nil if there is none.
func proxyOf(ctx context.Context, u *url.URL) *url.URL {
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
	if through := proxyOf(ctx, u); through != nil {
		return skipped("the proxy %s looks it up", through.Host)
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
		return faulty(advice.Do("start the server there, or correct endpoints of the account"), "%v", networkRoot(timedOut(ctx, err)))
	}
	_ = conn.Close() // nothing was sent
	return fine("takes connections, without TLS")
}

// tlsOf asks for the server's headers, without a secret, and looks at its certificate.
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
		return faulty(advice.Do("check the firewall and the proxy between this machine and the server"), "%v", networkRoot(err))
	case state == nil || len(state.PeerCertificates) == 0:
		return skipped("there was no TLS")
	}
	return certificate(tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter, time.Now())
}

// certificate judges a certificate that is good by when it ends.
func certificate(version string, ends, now time.Time) Finding {
	if ends.Sub(now) < certSoon {
		return warned(advice.Do("have the server's certificate renewed"), "%s, and the certificate ends in %s", version, text.Span(ends.Sub(now)))
	}
	return fine("%s, certificate until %s", version, text.Day(ends))
}

// head asks a host for the headers of its first page. Nothing secret goes there, and no redirect is followed.
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

// clock compares this machine's clock with the Date of a server's answer, which is exact to a second.
func clock(ctx context.Context, u *url.URL) Finding {
	begin := time.Now()
	header, err := head(ctx, u)
	if err != nil {
		return skipped("the server does not answer: %v", networkRoot(err))
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return skipped("the server does not say what time it is")
	}
	middle := begin.Add(time.Since(begin) / 2)
	return judgeClock(middle.Sub(date.Add(500 * time.Millisecond)))
}

// judgeClock is given how far this machine's clock is ahead.
func judgeClock(ahead time.Duration) Finding {
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

// timedOut gives the cause of the end of ctx in place of an error that only repeats it.
func timedOut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// networkRoot takes the wrappers off an error that show the whole URL or say the address again.
func networkRoot(err error) error {
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

// portTrack looks whether relay can listen where it is to.
func (d *doctor) portTrack() (t track) {
	if d.overlays() {
		at := d.cfg.NATS.Listen
		t = append(t, check{"port", "nats.listen " + at, networkLimit, func(ctx context.Context) Finding { return d.port(ctx, at, isRelayNATS) }})
	}
	if at := d.cfg.HTTP.Listen; at != "" {
		t = append(t, check{"port", "http.listen " + at, networkLimit, func(ctx context.Context) Finding { return d.port(ctx, at, isRelayHTTP) }})
	}
	return t
}

// port tries to listen. Where that is not possible since the relay that runs does, mine tells.
func (d *doctor) port(ctx context.Context, listen string, mine func(ctx context.Context, address string) error) Finding {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		err = networkRoot(err)
		const fix = "stop what uses it, or choose another address"
		if !d.runs {
			return faulty(advice.Do(fix), "%v", err)
		}
		if notMine := mine(ctx, reachable(listen)); notMine != nil {
			return faulty(advice.Do(fix+"; if the configuration was changed, restart relay"), "%v, and not by the relay that runs: %v", err, timedOut(ctx, notMine))
		}
		return fine("the relay that runs listens there")
	}
	_ = l.Close() // it was only to see whether it is free
	if _, port, _ := net.SplitHostPort(listen); d.runs && port != "0" {
		return warned(advice.Do("restart relay if the configuration was changed"), "the relay that runs does not listen there")
	}
	return fine("is free")
}

// reachable is where to connect to what listens on an address.
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
	defer conn.Close() //nolint:errcheck // it was only read
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	greeting, err := bufio.NewReader(io.LimitReader(conn, 64<<10)).ReadString('\n')
	if err != nil {
		return errors.New("what listens there is no NATS server")
	}
	if !strings.HasPrefix(greeting, "INFO ") || !strings.Contains(greeting, `"server_name":"relay"`) {
		return errors.New("another server listens there")
	}
	return nil
}

// isRelayHTTP returns nil if relay's health is served there.
func isRelayHTTP(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return networkRoot(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"status":"ok"`) {
		return fmt.Errorf("/healthz answers %s", resp.Status)
	}
	return nil
}
