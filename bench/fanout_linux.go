package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// fanOut has relay deliver each treat to several webhooks.
func (b *bench) fanOut(ctx context.Context) ([]result, error) {
	deliveries := b.pick(20_000, 200)
	r := result{name: "fanout", title: "Fan-out to webhooks", chart: chart{unit: "deliveries a second, of all sinks together"}}
	r.text = fmt.Sprintf("One account, and as many webhook sinks, each at a path of its own of one receiver. The treats are as many as make %s deliveries. Medians of %d runs. "+
		"One sink of the last row never answers, and its time limit is 2 s: only what the other nine get is counted.", whole(deliveries), b.runs)
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

// relayFan is relay with so many webhook sinks. If one hangs, what the others get is counted.
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
