package main

import (
	"context"
	"fmt"
)

// accounts measures a flood of treats to many accounts at once.
func (b *bench) accounts(ctx context.Context) ([]result, error) {
	sizes := []int{1, 100, 1000}
	switch {
	case b.smoke:
		sizes = []int{1, 10}
	case b.full:
		sizes = append(sizes, 10_000)
	}
	count := b.pick(50_000, 300)
	r := result{name: "accounts", title: "Many accounts on one relay, to JetStream", chart: chart{unit: "events a second"}}
	r.text = fmt.Sprintf("%s treats in total, the same number to each account, each account with its own connection. The server sends as fast as it can. Medians of %d runs.",
		whole(count), b.runs)
	r.table.columns = []string{"accounts", "events/s", "CPU ms for 1,000", "peak MiB", "twice"}
	for _, n := range sizes {
		c := b.relayAs(sinkNATS, setup{accounts: n, sinks: "  overlay: {type: nats}"})
		c.name = fmt.Sprintf("relay, %s accounts", whole(n))
		mids, err := b.medians(ctx, []candidate{c}, count, 0)
		if err != nil {
			return nil, err
		}
		m := mids[0]
		r.table.add(whole(n), number(m.rate), milliseconds(m.cpu), mebibytes(m.peak), whole(m.twice))
		r.chart.bars = append(r.chart.bars, bar{c.name, m.rate, c.ours})
	}
	return []result{r}, nil
}
