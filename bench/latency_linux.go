package main

import (
	"context"
	"fmt"
	"strings"
)

// latency measures the latency of treats that arrive at a given rate.
func (b *bench) latency(ctx context.Context) ([]result, error) {
	const text = "The time from when the Socket.IO server is given a treat until the sink has the event. relay has the event on disk, fsynced, before it delivers it; the scripts " +
		"persist nothing. Medians of %d runs of %s. A candidate that cannot keep up with a rate has large figures, because treats queue up."
	loads := []struct{ rate, count int }{{10, b.pick(100, 5)}, {1000, b.pick(5000, 100)}, {10_000, b.pick(30_000, 200)}}
	var sizes []string
	for _, l := range loads {
		sizes = append(sizes, fmt.Sprintf("%s treats at %s/s", whole(l.count), whole(l.rate)))
	}
	var results []result
	for _, of := range []struct {
		name       string
		candidates []candidate
	}{
		{"nats", []candidate{b.relayTo(sinkNATS, "  overlay: {type: nats}"), b.nodeToNATS(256)}},
		{"webhook", []candidate{b.relayTo(sinkWebhook, "  bot: {type: webhook, url: %q, secret: %s}"), b.nodeToWebhook("undici", 16)}},
		{"stdout", []candidate{b.relayTo(sinkStdout, consoleSink), b.nodeToStdout()}},
	} {
		r := result{
			name: "latency-" + of.name, title: "Latency to " + of.candidates[0].sink, chart: chart{unit: "p99 in ms"},
			text: fmt.Sprintf(text, b.runs, strings.Join(sizes, ", ")),
		}
		r.table.columns = []string{"", "treats/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"}
		for _, l := range loads {
			mids, err := b.medians(ctx, of.candidates, l.count, l.rate)
			if err != nil {
				return nil, err
			}
			for i, m := range mids {
				c, at := of.candidates[i], whole(l.rate)
				row := []string{c.name, at}
				for _, q := range m.quantil {
					row = append(row, milliseconds(q))
				}
				r.table.add(row...)
				r.chart.bars = append(r.chart.bars, bar{c.name + ", " + at + "/s", inMilliseconds(m.quantil[1]), c.ours})
			}
		}
		results = append(results, r)
	}
	return results, nil
}
