package main

import (
	"context"
	"fmt"
)

// endToEnd measures the throughput of each candidate: the server sends as fast as it can.
func (b *bench) endToEnd(ctx context.Context) ([]result, error) {
	const text = "The Socket.IO 2.5.1 server sends as fast as it can over one connection. Medians of %d runs of %s events, after a warm-up."
	count := b.pick(100_000, 500)
	posts := b.pick(40_000, 300)
	var results []result
	for _, of := range []struct {
		name, title string
		count       int
		candidates  []candidate
	}{
		{"endtoend-nats", "End to end to JetStream", count, []candidate{b.relayTo(sinkNATS, "  overlay: {type: nats}"), b.nodeToNATS(256), b.bareGoToNATS()}},
		{"endtoend-webhook", "End to end to a webhook", posts, []candidate{
			b.relayTo(sinkWebhook, "  bot: {type: webhook, url: %q, secret: %s, order: none}").called("relay, order: none, 16 at a time"),
			b.relayTo(sinkWebhook, "  bot: {type: webhook, url: %q, secret: %s}").called("relay, in order, 1 at a time"),
			b.nodeToWebhook("undici", 1), b.nodeToWebhook("undici", 16), b.nodeToWebhook("fetch", 16),
		}},
		{"endtoend-stdout", "End to end to stdout", count, []candidate{b.relayTo(sinkStdout, "  console: {type: stdout}"), b.nodeToStdout()}},
	} {
		mids, err := b.medians(ctx, of.candidates, of.count, 0)
		if err != nil {
			return nil, err
		}
		r := result{name: of.name, title: of.title, text: fmt.Sprintf(text, b.runs, number(float64(of.count))), chart: chart{unit: "events a second"}}
		r.table.columns = []string{"", "events/s", "relay's ratio", "CPU ms for 1,000", "relay's ratio", "of which", "peak MiB", "twice"}
		for i, m := range mids {
			c := of.candidates[i]
			r.table.add(c.name, number(m.rate), ratio(mids[0].rate, m.rate), milliseconds(m.cpu), ratio(float64(mids[0].cpu), float64(m.cpu)), m.byName, mebibytes(m.peak), number(float64(m.twice)))
			r.chart.bars = append(r.chart.bars, bar{c.name, m.rate, c.ours})
		}
		if a := mids[0].alloc; a > 0 {
			r.text += fmt.Sprintf(" relay allocates %s bytes per event.", number(a))
		}
		results = append(results, r)
	}
	return results, nil
}
