package webhook_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// names starts a name server on loopback and returns a resolver that asks it. Each lookup of a name takes the next of its
// lists of addresses, and stays with the last; a name that is not in there does not exist.
func names(t *testing.T, hosts map[string][][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = conn.Close()
		serving.Wait()
	})
	asked := map[string]int{}
	serving.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			q := m.Questions[0]
			name := strings.TrimSuffix(q.Name.String(), ".")
			lists, ok := hosts[name]
			if !ok {
				m.RCode = dnsmessage.RCodeNameError
			} else {
				turn := asked[name+q.Type.String()]
				asked[name+q.Type.String()]++
				for _, text := range lists[min(turn, len(lists)-1)] {
					header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
					addr := netip.MustParseAddr(text)
					switch {
					case addr.Is4() && q.Type == dnsmessage.TypeA:
						m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
					case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
						m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
					}
				}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// trap is a listener on every address of this machine that counts the connections to it.
func trap(t *testing.T) (port string, connections *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		accepting.Wait()
	})
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, connections
}

const (
	anotherSpelling = "in another spelling"
	credentials     = "where a cloud hands out credentials"
)

// TestHostsInDisguise checks that disguised addresses reach neither a resolver nor a dialer.
func TestHostsInDisguise(t *testing.T) {
	port, connections := trap(t)
	for _, c := range []struct{ host, want, plain string }{
		{"2130706433", anotherSpelling, "127.0.0.1"},
		{"0x7f000001", anotherSpelling, "127.0.0.1"},
		{"0X7F000001", anotherSpelling, "127.0.0.1"},
		{"017700000001", anotherSpelling, "127.0.0.1"},
		{"0x7f.1", anotherSpelling, "127.0.0.1"},
		{"0x7f.0x0.0x0.0x1", anotherSpelling, "127.0.0.1"},
		{"0177.0.0.1", anotherSpelling, "127.0.0.1"},
		{"0177.1", anotherSpelling, "127.0.0.1"},
		{"00000177.0.0.1", anotherSpelling, "127.0.0.1"},
		{"127.1", anotherSpelling, "127.0.0.1"},
		{"127.0.1", anotherSpelling, "127.0.0.1"},
		{"127.0.0.01", anotherSpelling, "127.0.0.1"},
		{"127.0.0.0x1", anotherSpelling, "127.0.0.1"},
		{"127.0.0.1.", anotherSpelling, "127.0.0.1"},
		{"127.1.", anotherSpelling, "127.0.0.1"},
		{"0", anotherSpelling, "0.0.0.0"},
		{"0x", anotherSpelling, "0.0.0.0"},
		{"0.0.0.0", "no destination", "127.0.0.1"},
		{"[::]", "no destination", "[::1]"},
		{"１２７.０.０.１", anotherSpelling, "127.0.0.1"},
		{"127。0。0。1", anotherSpelling, "127.0.0.1"},
		{"①②⑦.⓪.⓪.①", anotherSpelling, "127.0.0.1"},
		{"127.0.0.\u00ad1", anotherSpelling, "127.0.0.1"},
		{"０x7f.1", anotherSpelling, "127.0.0.1"},
		{"[::ffff:127.0.0.1]", anotherSpelling, "127.0.0.1"},
		{"[::ffff:7f00:1]", anotherSpelling, "127.0.0.1"},
		{"[0:0:0:0:0:ffff:127.0.0.1]", anotherSpelling, "127.0.0.1"},
		{"[::1%25lo]", anotherSpelling, "::1"},
		{"[fe80::1%25eth0]", anotherSpelling, "fe80::1"},
		{"127.0.0.256", "ends in a number", ""},
		{"127.0.0.1.5", "ends in a number", ""},
		{"4294967296", "ends in a number", ""},
		{"1.2.3.08", "ends in a number", ""},
		{"bot.example.127", "ends in a number", ""},
		{"0xfffffffffffffffff", "ends in a number", ""},
		{"bot..example", "not a name", ""},
		{".example", "not a name", ""},
		{"bot.example..", "not a name", ""},
		{"bot,example", "not a name", ""},
		{"127.0.0.1%00", "not a valid URL", ""},
		{"%31%32%37.0.0.1", "not a valid URL", ""},
		{"127.0.0.1 ", "not a valid URL", ""},

		{"169.254.169.254", credentials, ""},
		{"[::ffff:169.254.169.254]", credentials, ""},
		{"[::ffff:a9fe:a9fe]", credentials, ""},
		{"[::169.254.169.254]", credentials, ""},
		{"[::ffff:0:169.254.169.254]", credentials, ""},
		{"[64:ff9b::169.254.169.254]", credentials, ""},
		{"[64:ff9b:1::a9fe:a9fe]", credentials, ""},
		{"[2002:a9fe:a9fe::1]", credentials, ""},
		{"[2001:0:1:2:3:4:5601:5601]", credentials, ""},
		{"[fe80::5efe:a9fe:a9fe]", credentials, ""},
		{"[fd00:ec2::254]", credentials, ""},
		{"[FD00:EC2:0::0254]", credentials, ""},
		{"[fd20:ce::254]", credentials, ""},
		{"2852039166", anotherSpelling, "169.254.169.254"},
		{"169.254.43518", anotherSpelling, "169.254.169.254"},
		{"100.100.100.200", credentials, ""},
		{"168.63.129.16", credentials, ""},
		{"192.0.0.192", credentials, ""},
		{"169.254.170.2", credentials, ""},
	} {
		config := sinks.NewConfig("webhook").(*webhook.Config)
		config.URL, config.Secret = secret.New("http://"+c.host+":"+port+"/planted"), secret.New(sinktest.WebhookSecret)
		config.AllowNetworks = []string{"0.0.0.0/0", "::/0"}
		err := config.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.plain) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: fault %v, want %q and %q", c.host, err, c.want, c.plain)
		}
		if sink, err := sinks.Open(t.Context(), config, sinks.Env{}); err == nil {
			t.Errorf("%s: opened", c.host)
			_, _ = sink.Deliver(t.Context(), sinktest.Plain("mystream", 1))
			_ = sink.Close()
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestNamesThatLeadInside uses names that resolve to addresses where no event may go.
func TestNamesThatLeadInside(t *testing.T) {
	port, connections := trap(t)
	everything := []string{"0.0.0.0/0", "::/0"}
	for _, c := range []struct {
		host, address string
		allow         []string
		want          string
	}{
		{"bot.example", "127.0.0.1", nil, "set allow_networks: [127.0.0.1/32]"},
		{"localhost.example", "127.0.0.1", nil, "allow_networks"},
		{"bot.localhost", "127.0.0.1", nil, "allow_networks"},
		{"bücher.example", "127.0.0.1", nil, "allow_networks"},
		{"BOT.example", "127.0.0.1", nil, "allow_networks"},
		{"bot.example.", "127.0.0.1", nil, "allow_networks"},
		{"under_score.example", "127.0.0.1", nil, "allow_networks"},
		{"bot.example", "127.255.255.254", nil, "allow_networks"},
		{"bot.example", "0.0.0.0", nil, "allow_networks"},
		{"bot.example", "::", nil, "allow_networks"},
		{"bot.example", "::1", nil, "set allow_networks: [::1/128]"},
		{"bot.example", "::ffff:127.0.0.1", nil, "allow_networks"},
		{"bot.example", "::127.0.0.1", nil, "allow_networks"},
		{"bot.example", "64:ff9b::127.0.0.1", nil, "allow_networks"},
		{"bot.example", "64:ff9b::127.0.0.1", []string{"64:ff9b::/96"}, "allow_networks"},
		{"bot.example", "2002:7f00:1::", nil, "allow_networks"},
		{"bot.example", "10.1.2.3", nil, "allow_networks"},
		{"bot.example", "10.1.2.3", []string{"10.1.2.4", "10.2.0.0/16", "fd00::/8"}, "allow_networks"},
		{"bot.example", "172.16.0.1", nil, "allow_networks"},
		{"bot.example", "192.168.1.1", nil, "allow_networks"},
		{"bot.example", "169.254.1.1", nil, "allow_networks"},
		{"bot.example", "100.64.0.1", nil, "allow_networks"},
		{"bot.example", "198.18.0.1", nil, "allow_networks"},
		{"bot.example", "224.0.0.1", nil, "allow_networks"},
		{"bot.example", "255.255.255.255", nil, "allow_networks"},
		{"bot.example", "fd00::1", nil, "allow_networks"},
		{"bot.example", "fe80::1", nil, "allow_networks"},
		{"bot.example", "ff02::1", nil, "allow_networks"},
		{"bot.example", "169.254.169.254", everything, credentials},
		{"metadata.google.internal", "169.254.169.254", everything, credentials},
		{"bot.example", "64:ff9b::169.254.169.254", everything, credentials},
		{"bot.example", "::ffff:169.254.169.254", everything, credentials},
		{"bot.example", "fd00:ec2::254", everything, credentials},
		{"localhost", "192.168.1.1", nil, "not this machine"},
	} {
		t.Run(c.host+" "+c.address, func(t *testing.T) {
			lists := map[string][][]string{}
			for _, name := range []string{c.host, strings.ToLower(strings.TrimSuffix(c.host, ".")), "xn--bcher-kva.example"} {
				lists[name] = [][]string{{c.address}}
			}
			if c.host == "localhost" { // The hosts file goes first, so only the rule itself can be tried.
				if err := outbound.NewGuard("localhost", nil).Check(netip.MustParseAddr(c.address)); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
				return
			}
			err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, "http://"+c.host+":"+port+"/planted", func(w *webhook.Config) {
				w.AllowNetworks = c.allow
				webhook.SetResolver(w, names(t, lists))
			}))
			if sinktest.ErrorClass(err) != "unavailable" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("%s: %v, want %q", sinktest.ErrorClass(err), err, c.want)
			}
		})
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestAddressesOfChoice(t *testing.T) {
	url := sinktest.Receiver(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	hosts := names(t, map[string][][]string{"bot.example": {{"127.0.0.1"}}, "two.example": {{"127.0.0.2", "127.0.0.1"}}})
	for _, c := range []struct{ host, network string }{
		{"127.0.0.1", ""},
		{"localhost", ""},
		{"LOCALHOST", ""},
		{"localhost.", ""},
		{"bot.example", "127.0.0.0/8"},
		{"bot.example", "127.0.0.1"},
		{"bot.example", "127.7.7.7/8"},
		{"two.example", "127.0.0.1/32"}, // past the one that is not allowed
	} {
		err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, "http://"+c.host+":"+port, func(w *webhook.Config) {
			if c.network != "" {
				w.AllowNetworks = []string{c.network}
			}
			webhook.SetResolver(w, hosts)
		}))
		if err != nil {
			t.Errorf("%s with %s: %v", c.host, c.network, err)
		}
	}
}

// TestRebinding uses a name that resolves to another address the second time.
func TestRebinding(t *testing.T) {
	var hits atomic.Int32
	url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Connection", "close")
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	sink := sinktest.OpenWebhook(t, "http://bot.example:"+port, func(w *webhook.Config) {
		w.AllowNetworks = []string{"127.0.0.1"}
		webhook.SetResolver(w, names(t, map[string][][]string{"bot.example": {{"127.0.0.1"}, {"127.0.0.2"}}}))
	})
	if err := sinktest.DeliverOne(t, sink); err != nil {
		t.Fatal(err)
	}
	if err := sinktest.DeliverOne(t, sink); sinktest.ErrorClass(err) != "unavailable" || !strings.Contains(err.Error(), "[127.0.0.2/32]") {
		t.Errorf("%s: %v", sinktest.ErrorClass(err), err)
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("%d requests came, want 1", n)
	}
}

func TestPublicAddresses(t *testing.T) {
	for text, public := range map[string]bool{
		"93.184.215.14": true, "2606:2800:21f:cb07:6820:80da:af6b:8b2c": true, "1.1.1.1": true,
		"192.0.2.1": false, "2001:db8::1": false, "2001::1": false, "240.0.0.1": false,
	} {
		if err := outbound.NewGuard("bot.example", nil).Check(netip.MustParseAddr(text)); (err == nil) != public {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNetworks(t *testing.T) {
	for text, ok := range map[string]bool{
		"10.0.0.0/8": true, "10.1.2.3": true, "fd00::/8": true, "::1": true, "10.1.2.3/8": true,
		"": false, "10.0.0.0/33": false, "10.0.0": false, "bot.example": false, "::ffff:10.0.0.0/104": false, "fe80::1%eth0": false,
	} {
		config := sinks.NewConfig("webhook").(*webhook.Config)
		config.URL, config.Secret, config.AllowNetworks = secret.New("https://h/"), secret.New(sinktest.WebhookSecret), []string{text}
		if err := config.Validate(); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("allow_networks: %q", text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
