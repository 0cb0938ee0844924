package advice_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/treatrelay/relay/auth/advice"
)

func login(account string) error {
	return &advice.Error{Err: errors.New("token of " + account + ": not logged in"), Fix: advice.Run(advice.Login(account))}
}

func TestText(t *testing.T) {
	const flags = " --config 'my relay.yaml'"
	chmod := &advice.Error{Err: errors.New("others may read x"), Fix: advice.Run("chmod 600 x")}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no advice": {errors.New("relay auth login a"), "relay auth login a"},
		"advice":    {login("a"), "token of a: not logged in; run: relay auth login a" + flags},
		"wrapped":   {fmt.Errorf("open %w", login("a")), "open token of a: not logged in; run: relay auth login a" + flags},
		"words after it": {
			fmt.Errorf("open: %w (again)", login("a")), "open: token of a: not logged in; run: relay auth login a" + flags + " (again)",
		},
		// The name of one account is the beginning of the other's, and one error is there twice.
		"joined": {
			errors.Join(login("a"), login("ab"), login("a")),
			"token of a: not logged in; run: relay auth login a" + flags + "\ntoken of ab: not logged in; run: relay auth login ab" + flags +
				"\ntoken of a: not logged in; run: relay auth login a" + flags,
		},
		"another's command": {chmod, "others may read x; run: chmod 600 x"},
		"advice about advice": {
			&advice.Error{Err: login("a"), Fix: advice.Fix{Command: "relay auth logout --force a", After: " forgets it"}},
			"token of a: not logged in; run: relay auth login a" + flags + "; relay auth logout --force a" + flags + " forgets it",
		},
		"two of one error": {
			fmt.Errorf("%w: %w", errors.New("unusable"), login("a")), "unusable: token of a: not logged in; run: relay auth login a" + flags,
		},
	} {
		if got := advice.Text(c.err, flags); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if got := advice.Text(c.err, ""); got != c.err.Error() {
			t.Errorf("%s without flags: %s", name, got)
		}
	}
}

func TestSplit(t *testing.T) {
	none := &advice.Error{Err: login("a")}
	for name, c := range map[string]struct {
		err        error
		wrong, fix string
		of         string
	}{
		"no advice":      {errors.New("x; run: y"), "x; run: y", "", ""},
		"wrapped":        {fmt.Errorf("open: %w", login("a")), "open: token of a: not logged in", "run: relay auth login a", "run: relay auth login a"},
		"words after it": {fmt.Errorf("%w (again)", login("a")), "token of a: not logged in; run: relay auth login a (again)", "", "run: relay auth login a"},
		"empty advice":   {none, none.Error(), "", "run: relay auth login a"},
	} {
		wrong, fix := advice.Split(c.err)
		if wrong != c.wrong || fix.String() != c.fix || advice.FixOf(c.err).String() != c.of {
			t.Errorf("%s: %q and %q (%q)", name, wrong, fix, advice.FixOf(c.err))
		}
	}
}

func TestFix(t *testing.T) {
	fix := advice.Fix{Before: "for a new one run: ", Command: "relay auth login a", After: " once more"}
	if got := fix.With(" --config x"); got != "for a new one run: relay auth login a --config x once more" {
		t.Error(got)
	}
	if got := fix.Short(" --config x"); got != "relay auth login a --config x" {
		t.Error(got)
	}
	if got := advice.Do("wait").Short(" --config x"); got != "wait" {
		t.Error(got)
	}
	if got := advice.Run("chmod 600 x").Short(" --config x"); got != "chmod 600 x" {
		t.Error(got)
	}
}
