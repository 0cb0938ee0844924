package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/pipeline/intake"
)

// Login implements [intake.Logins].
func (h *historySource) Login() (intake.Login, bool) {
	mark, err := h.account.LoginMark()
	return loginOf(mark), err == nil
}

// Adopt implements [intake.Logins].
func (h *historySource) Adopt(ctx context.Context, id string) error {
	return h.account.AdoptLogin(ctx, id)
}

func loginOf(m auth.LoginMark) intake.Login {
	return intake.Login{ID: m.ID, At: m.At, Fresh: !m.Adopted && !m.At.IsZero()}
}

// spool is a file with an answer, for the user only, that is gone when it is closed.
type spool struct {
	*os.File
	login auth.LoginMark // whose token brought it
	ahead time.Duration  // how far the provider's clock is ahead
}

// newSpool takes the place of a file that an earlier process may have left.
func newSpool(path string) (*spool, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // in the data folder
	if err != nil {
		return nil, fmt.Errorf("make a file for the history: %w", err)
	}
	return &spool{File: f}, nil
}

// answered notes what is known of an answer that begins to come now. A second is what a date may be off by.
func (s *spool) answered(header http.Header, by auth.Token) {
	s.login, s.ahead = by.Login, 0
	now := time.Now()
	if at, ok := auth.ServerTime(header, now); ok {
		if ahead := at.Sub(now); ahead > time.Second || ahead < -2*time.Second {
			s.ahead = ahead
		}
	}
}

// Answered tells the comparison which login the answer was given to, and how far the provider's clock is ahead.
func (s *spool) Answered() (intake.Login, time.Duration) { return loginOf(s.login), s.ahead }

func (s *spool) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }
