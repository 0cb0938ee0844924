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

// triggerFlags are those of relay trigger.
type triggerFlags struct {
	account, sink, sender, title, message string
}

// Trigger is relay trigger: a test treat.
func Trigger(p *state.State) *cobra.Command {
	var f triggerFlags
	cmd := &cobra.Command{
		Use: "trigger", Short: "Send a test treat to every sink", Args: state.NoArgs,
		Long: `Send a test treat to every sink, or to one. It goes through the journal like any treat, has the origin test and an id that begins
with tst_, and counts for nothing. It is printed on stdout. A sink with tests: skip does not get it.`,
		Example: "  relay trigger\n  relay trigger --sink overlay --sender Somebody --title Pizza --message 'enjoy!'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTrigger(cmd.Context(), p, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.account, "account", "", "the account it is said to come from; may be left out if there is only one")
	flags.StringVar(&f.sink, "sink", "", "send it to this sink only, by its name in the configuration")
	flags.StringVar(&f.sender, "sender", "relay", "who it is said to come from; empty: nobody")
	flags.StringVar(&f.title, "title", "Test treat", "what is said to be sent")
	flags.StringVar(&f.message, "message", "Only a test.", "the message with it")
	return cmd
}

func runTrigger(ctx context.Context, p *state.State, f *triggerFlags) (err error) {
	if strings.TrimSpace(f.sender+f.title+f.message) == "" {
		return exit.Usagef("relay trigger wants at least one of --sender, --title and --message")
	}
	cfg, err := p.LoadConfig(p.Logger())
	if err != nil {
		return err
	}
	account, err := testAccount(cfg, f.account)
	if err != nil {
		return err
	}
	if f.sink != "" {
		sink, err := namedSink(cfg, f.sink)
		if err != nil {
			return err
		}
		if sink.Lane.SkipTests {
			return exit.Usagef("--sink %s: this sink is sent no tests; take tests: skip out of its configuration", f.sink)
		}
		if _, err := accountsOf(sink, []string{account.Account}); err != nil {
			return err
		}
	}
	norm := intake.Normalizer{Account: account.Account, Provider: account.Provider.Name, Location: account.Location}
	event := norm.TestEvent(time.Now(), f.sender, f.title, f.message)
	line, err := event.Line()
	if err != nil {
		return err
	}
	spans, err := telemetry.OpenTraces(ctx, p.Getenv, p.Logger())
	if err != nil {
		return err
	}
	if spans != nil {
		defer func() { err = errors.Join(err, spans.Close(ctx)) }()
	}
	runs := p.RelayRuns(ctx)
	disabled := false
	err = p.WithAPI(ctx, func(c *api.Client) error {
		if f.sink != "" {
			state, err := sinkReady(ctx, c, f.sink)
			if err != nil {
				return err
			}
			disabled = !state.DisabledSince.IsZero()
		}
		return c.PutTest(ctx, &api.TestOrder{Sink: f.sink, Event: line})
	})
	if err != nil {
		return err
	}
	if spans != nil { // the relay that runs sees it only when it delivers it
		spans.Add(pipeline.Stage{
			ID: event.ID, Account: event.Data.Account, Provider: event.Data.Provider, Origin: event.Origin,
			Began: event.RecordedTime, Ended: time.Now(),
		})
	}
	if _, err := fmt.Fprintf(p.Out, "%s\n", line); err != nil {
		return err
	}
	return p.Say("Journaled.%s relay trace %s shows its way.", afterwards(f.sink, runs, disabled), event.ID)
}

// testAccount is the account of that name, or the only one, of those that receive treats.
func testAccount(cfg *config.Config, name string) (config.Account, error) {
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
