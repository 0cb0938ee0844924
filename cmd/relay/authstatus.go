package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
)

// The states of an account beside those of its grant.
const (
	stateNotLoggedIn auth.State = "not_logged_in"
	stateUnusable    auth.State = "unusable"
)

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status [ACCOUNT]", Short: "Show how the accounts' tokens are, without the tokens",
		Example: "  relay auth status\n  relay auth status mystream --json | jq .expiry",
		Args:    atMostOneAccount,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := p.openAccounts(cmd.Context())
			if err != nil {
				return err
			}
			names := args
			if len(names) == 0 {
				names = all.names()
			}
			return p.showStatus(all, names, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line on stdout")
	return cmd
}

// findsOut is what to do about a lost answer that relay can look into.
const findsOut = "relay finds out by itself when the token is due"

// showStatus shows the accounts of these names. It fails with code 77 if one of them needs a hand.
func (p *program) showStatus(all *accounts, names []string, asJSON bool) error {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	put := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) } // into memory: it cannot fail
	put("ACCOUNT", "PROVIDER", "STATE", "EXPIRES IN", "LOGIN ENDS", "LAST REFRESH", "WHAT TO DO")
	now := time.Now()
	needy := false
	for _, name := range names {
		account, c, err := all.find(name)
		if err != nil {
			return err
		}
		s, err := statusOf(account, c)
		if err != nil {
			return err
		}
		fix := s.Status.Fix.Short(p.sameFlags())
		if fix != "" {
			needy = true
		} else if s.State == auth.RefreshOutcomeUnknown {
			s.Fix, fix = findsOut, findsOut
		}
		if asJSON {
			if err := json.NewEncoder(p.out).Encode(s); err != nil {
				return err
			}
			continue
		}
		put(name, c.Provider.Name, string(s.State), until(now, s.Expiry), date(s.RefreshExpiry), ago(now, s.ObtainedAt), fix)
	}
	if !asJSON {
		_ = w.Flush() // into memory: it cannot fail
		if err := p.say("%s", strings.TrimRight(table.String(), "\n")); err != nil {
			return err
		}
	}
	if needy {
		return &exitError{exitUnauthorized, errSilent}
	}
	return nil
}

// tokenStatus is [auth.Status] with the states of an account that has no grant.
type tokenStatus struct {
	auth.Status
	Fix string `json:"fix,omitempty"` // the command of Status.Fix alone, or its words where there is none
}

// statusOf tells how an account is. That it needs a login is no error: without a grant, only Account, Provider, State, Reason
// and Fix are set.
func statusOf(account *auth.Account, c AccountConfig) (tokenStatus, error) {
	status, err := account.Status()
	s := tokenStatus{Status: status}
	s.Account, s.Provider = c.Account, c.Provider.Name
	var trouble *auth.Error
	switch {
	case err == nil:
	case errors.Is(err, auth.ErrNoGrant):
		s.State, s.Status.Fix = stateNotLoggedIn, advice.Of(err)
	case errors.As(err, &trouble) && trouble.Permanent():
		s.State, s.Status.Fix, s.Reason = stateUnusable, advice.Of(err), trouble.Err.Error()
	default:
		return s, err
	}
	s.Fix = s.Status.Fix.Short("")
	return s, nil
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateOnly)
}

func until(now, t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case t.Before(now):
		return "expired"
	}
	return span(t.Sub(now))
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t)) + " ago"
}

// span is a duration in the largest unit that tells it well enough.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", max(d, 0)/time.Second)
}
