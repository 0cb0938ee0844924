package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// dashboardOptions are the options of relay dashboard.
type dashboardOptions struct {
	*state.State
	moderator, noBrowser bool
	open                 func(url string) error
}

func newDashboardCmd(s *state.State) *cobra.Command {
	o := dashboardOptions{State: s, open: login.OpenBrowser}
	cmd := &cobra.Command{
		Use: "dashboard", Short: "Open the dashboard of the running relay in the browser", Args: state.NoArgs,
		Long: `Open the dashboard of the running relay in the browser. The address logs in once,
within a minute, so it needs no password; run the command again for another one.

If there is no configuration yet, or an empty one, the page writes one with you,
and relay then runs in this process until Ctrl-C. So it does if no account is
logged in yet: the page leads through the first login.

With --moderator it is for somebody who may see everything except the
configuration, and control the overlays.`,
		Example: "  relay dashboard\n  relay dashboard --moderator --no-browser",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&o.moderator, "moderator", false, "log in as a moderator")
	cmd.Flags().BoolVar(&o.noBrowser, "no-browser", false, "print the address on standard output instead")
	return cmd
}

func (o *dashboardOptions) run(ctx context.Context) error {
	role := api.Owner
	if o.moderator {
		role = api.Moderator
	}
	if !o.RelayRuns(ctx) {
		return o.withoutRelay(ctx)
	}
	var link api.Link
	err := o.WithRelay(ctx, func(c *api.Client) (err error) {
		link, err = c.NewLink(ctx, api.LinkRequest{Role: role.String()})
		return err
	})
	if err != nil {
		return err
	}
	return o.show(link.URL, link.Expires)
}

// show opens a link in the browser, or prints it.
func (o *dashboardOptions) show(url string, expires time.Time) error {
	until := expires.Local().Format(time.TimeOnly)
	if o.noBrowser {
		if err := o.Print(url); err != nil {
			return err
		}
		return o.Say("The address logs in once, until %s.", until)
	}
	if err := o.open(url); err != nil {
		return o.Say("There is no browser to open (%v). Open this address, which logs in once, until %s: %s", err, until, url)
	}
	return o.Say("The dashboard is open in the browser. Its address logs in once, until %s: %s", until, url)
}
