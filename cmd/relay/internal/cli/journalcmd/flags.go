package journalcmd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// timeRange are the flags --since and --until, as given.
type timeRange struct {
	since, until string
}

// register adds the flags. Their help begins with prefix, such as "only events sent".
func (r *timeRange) register(flags *pflag.FlagSet, prefix string) {
	flags.StringVar(&r.since, "since", "", prefix+" since this time: 2026-07-16T21:00:00Z, 2026-07-16, or a duration before now, such as 36h or 7d")
	flags.StringVar(&r.until, "until", "", prefix+" before this time")
}

// parse returns the times; a flag that was not given is zero.
func (r *timeRange) parse(now time.Time) (since, until time.Time, err error) {
	if since, err = text.ParseTime(r.since, now); err != nil {
		return since, until, exit.Usagef("--since %w", err)
	}
	if until, err = text.ParseTime(r.until, now); err != nil {
		return since, until, exit.Usagef("--until %w", err)
	}
	return since, until, nil
}

// eventFlags are the flags that select events of the journal, as given.
type eventFlags struct {
	timeRange
	accounts, ids, origins []string
}

// register adds the flags. origins lists the values of --origin in its help.
func (f *eventFlags) register(flags *pflag.FlagSet, origins string) {
	f.timeRange.register(flags, "only events sent")
	registerAccounts(flags, &f.accounts)
	flags.StringSliceVar(&f.ids, "id", nil, "only the event with this ID; can be repeated")
	flags.StringSliceVar(&f.origins, "origin", nil, "only events of this origin: "+origins+"; can be repeated")
}

// filter returns the filter that the flags describe, with the allowed origins only.
func (f *eventFlags) filter(now time.Time, allowed ...pipeline.Origin) (filter query.EventFilter, err error) {
	filter = query.EventFilter{Accounts: f.accounts, IDs: f.ids}
	if err := state.CheckAccountNames(f.accounts); err != nil {
		return filter, err
	}
	for _, origin := range f.origins {
		if !slices.Contains(allowed, pipeline.Origin(origin)) {
			var names []string
			for _, o := range allowed {
				names = append(names, string(o))
			}
			return filter, exit.Usagef("--origin %q: want %s", origin, strings.Join(names, ", "))
		}
		filter.Origins = append(filter.Origins, pipeline.Origin(origin))
	}
	if filter.Since, filter.Until, err = f.parse(now); err != nil {
		return filter, err
	}
	if !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		return filter, exit.Usagef("--since %s is not before --until %s", f.since, f.until)
	}
	return filter, nil
}

// treatOrigins are the origins of real treats.
func treatOrigins() []pipeline.Origin {
	return []pipeline.Origin{pipeline.OriginLive, pipeline.OriginBackfill}
}

// allOrigins are the origins that events in the journal can have.
func allOrigins() []pipeline.Origin {
	return append(treatOrigins(), pipeline.OriginTest, pipeline.OriginReplay)
}

func registerAccounts(flags *pflag.FlagSet, accounts *[]string) {
	flags.StringSliceVar(accounts, "account", nil, "only events of this account; can be repeated")
}

func registerLimit(flags *pflag.FlagSet, limit *int) {
	flags.IntVar(limit, "limit", 0, "at most this many, oldest first; 0 for all")
}

func checkLimit(limit int) error {
	if limit < 0 {
		return exit.Usagef("--limit %d: want 0 or more", limit)
	}
	return nil
}

// plural returns a count with its noun, such as "1 event" or "2 events".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
