package journalcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
)

// triggerOptions are the options of relay trigger.
type triggerOptions struct {
	*state.State
	account, sink, sender, title, message string
}

// NewTriggerCmd returns relay trigger.
func NewTriggerCmd(s *state.State) *cobra.Command {
	o := triggerOptions{State: s}
	cmd := &cobra.Command{
		Use: "trigger", Short: "Send a test treat to every sink", Args: state.NoArgs,
		Long: `Send a test treat to every sink, or to one, to see whether it arrives. It goes
through the journal like any treat. Its origin is test and its ID begins with
tst_, so that receivers can tell it from real treats. The event is printed on
standard output. A sink with tests: skip does not receive it.`,
		Example: "  relay trigger\n  relay trigger --sink overlay --sender Somebody --title Pizza --message 'enjoy!'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.account, "account", "", "account that the treat appears to be for; can be omitted if only one receives treats")
	flags.StringVar(&o.sink, "sink", "", "send it to this sink only, by its name in the configuration")
	flags.StringVar(&o.sender, "sender", "relay", "sender of the treat; empty for none")
	flags.StringVar(&o.title, "title", "Test treat", "title of the treat")
	flags.StringVar(&o.message, "message", "Only a test.", "message of the treat")
	return cmd
}

func (o *triggerOptions) run(ctx context.Context) (err error) {
	if strings.TrimSpace(o.sender+o.title+o.message) == "" {
		return exit.Usagef("relay trigger wants at least one of --sender, --title and --message")
	}
	cfg, err := o.LoadConfig(o.Logger())
	if err != nil {
		return err
	}
	account, err := triggerAccount(cfg, o.account)
	if err != nil {
		return err
	}
	if err := o.checkSink(cfg, account.Account); err != nil {
		return err
	}
	norm := intake.Normalizer{Account: account.Account, Provider: account.Provider.Name, Location: account.Location}
	event := norm.TestEvent(time.Now(), o.sender, o.title, o.message)
	line, err := event.Line()
	if err != nil {
		return err
	}
	spans, err := telemetry.OpenTraces(ctx, o.Getenv, o.Logger())
	if err != nil {
		return err
	}
	if spans != nil {
		defer func() { err = errors.Join(err, spans.Close(ctx)) }()
	}
	note, err := o.send(ctx, line)
	if err != nil {
		return err
	}
	if spans != nil { // a running relay traces only its delivery
		spans.Add(pipeline.Stage{
			ID: event.ID, Account: event.Data.Account, Provider: event.Data.Provider, Origin: event.Origin,
			Began: event.RecordedTime, Ended: time.Now(),
		})
	}
	if _, err := fmt.Fprintf(o.Out, "%s\n", line); err != nil {
		return err
	}
	return o.Say("Journaled.%s\nTo see its path, run: %s", note, o.Command("trace", event.ID))
}

// checkSink checks that the sink of --sink receives test treats of the account.
func (o *triggerOptions) checkSink(cfg *config.Config, account string) error {
	if o.sink == "" {
		return nil
	}
	sink, err := findSink(cfg, o.sink)
	if err != nil {
		return err
	}
	if sink.Lane.SkipTests {
		return exit.Usagef("--sink %s: this sink does not receive test treats; remove tests: skip from its configuration", o.sink)
	}
	_, err = selectAccounts(sink, []string{account})
	return err
}

// send journals the event. note says why the sink of --sink does not receive it right away; empty if it does.
func (o *triggerOptions) send(ctx context.Context, event []byte) (note string, err error) {
	runs, disabled := o.RelayRuns(ctx), false
	err = o.WithAPI(ctx, func(c *api.Client) error {
		if o.sink != "" {
			sink, err := findOpenedSink(ctx, c, o.sink)
			if err != nil {
				return err
			}
			disabled = !sink.DisabledSince.IsZero()
		}
		return c.PutTest(ctx, &api.TestRequest{Sink: o.sink, Event: event})
	})
	return deliveryNote(o.State, o.sink, runs, disabled), err
}

// triggerAccount returns the account of that name, or the only one that receives treats.
func triggerAccount(cfg *config.Config, name string) (config.Account, error) {
	var all []config.Account
	var names []string
	for _, a := range cfg.Accounts {
		if a.Receives() {
			all, names = append(all, a), append(names, a.Account)
		}
	}
	switch i := slices.Index(names, name); {
	case i >= 0:
		return all[i], nil
	case name != "":
		return config.Account{}, exit.Usagef("--account %q: no account of this name receives treats; %s", name, text.Suggest(name, names))
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return config.Account{}, exit.With(exit.Config, errors.New(cfg.Path+": no account receives treats: add one under accounts (docs/config.md)"))
	}
	return config.Account{}, exit.Usagef("relay trigger wants --account: there are [%s]", strings.Join(names, ", "))
}
