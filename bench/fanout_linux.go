package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// fanOut measures the delivery of each treat to several webhooks.
func (b *bench) fanOut(ctx context.Context) ([]result, error) {
	deliveries := b.pick(20_000, 200)
	r := result{name: "fanout", title: "Fan-out to webhooks", chart: chart{unit: "deliveries a second, of all sinks together"}}
	r.text = fmt.Sprintf("One account and that many webhook sinks, each with its own path on one receiver. The number of treats adds up to %s deliveries. Medians of %d runs. "+
		"In the last row, one sink never answers, and its timeout is 2 s: only the deliveries of the other nine count.", whole(deliveries), b.runs)
	r.table.columns = []string{"webhook sinks", "deliveries/s", "of each sink", "CPU ms for 1,000", "peak MiB", "p50 ms", "p99 ms"}
	for _, c := range []candidate{b.relayFan(1, false), b.relayFan(10, false), b.relayFan(100, false), b.relayFan(10, true)} {
		mids, err := b.medians(ctx, []candidate{c}, max(deliveries/c.copies, 2), 0)
		if err != nil {
			return nil, err
		}
		m := mids[0]
		r.table.add(c.name, number(m.rate), number(m.rate/float64(c.copies)), milliseconds(m.cpu), mebibytes(m.peak), milliseconds(m.quantil[0]), milliseconds(m.quantil[1]))
		r.chart.bars = append(r.chart.bars, bar{c.name, m.rate, c.ours})
	}
	return []result{r}, nil
}

// relayFan returns relay with that many webhook sinks. If one hangs, the deliveries of the others count.
func (b *bench) relayFan(sinks int, hangs bool) candidate {
	c := candidate{name: "relay, " + whole(sinks), ours: true, sink: "webhooks", copies: sinks}
	if hangs {
		c.name, c.copies = c.name+", one of which hangs", sinks-1
	}
	c.start = func(ctx context.Context, url string, t *tally) (*running, error) {
		web, err := newReceiver(ctx)
		if err != nil {
			return nil, err
		}
		var config strings.Builder
		for n := range c.copies {
			fmt.Fprintf(&config, "  sink%d: {type: webhook, url: %q, secret: %s}\n", n, web.at(fmt.Sprintf("/sink%d", n), t), webhookSecret)
		}
		if hangs {
			fmt.Fprintf(&config, "  hangs: {type: webhook, url: %q, secret: %s, timeout: 2s}\n", web.url+hangingPath, webhookSecret)
		}
		r, err := b.startRelay(ctx, url, setup{sinks: config.String()})
		if err != nil {
			web.stop()
			return nil, err
		}
		return &running{relay: r, processes: []*process{r.process}, stop: func() { r.stop(); web.stop(); _ = os.RemoveAll(r.dir) }}, nil
	}
	return c
}
