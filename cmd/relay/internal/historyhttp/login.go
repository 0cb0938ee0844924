package historyhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/pipeline/intake"
)

// Login implements [intake.Logins].
func (s *Source) Login() (intake.Login, bool) {
	mark, err := s.account.LoginMark()
	return loginOf(mark), err == nil
}

// Adopt implements [intake.Logins].
func (s *Source) Adopt(ctx context.Context, id string) error {
	return s.account.AdoptLogin(ctx, id)
}

func loginOf(m grant.LoginMark) intake.Login {
	return intake.Login{ID: m.ID, At: m.At, Fresh: !m.Adopted && !m.At.IsZero()}
}

// answered records the login and the clock of an answer that begins now. A date is precise to a second.
func (s *spool) answered(header http.Header, by auth.Token) {
	s.login, s.ahead = by.Login, 0
	now := time.Now()
	if at, ok := wire.ServerTime(header, now); ok {
		if ahead := at.Sub(now); ahead > time.Second || ahead < -2*time.Second {
			s.ahead = ahead
		}
	}
}

// Answered returns the login that the answer belongs to, and how far the provider's clock is ahead.
func (s *spool) Answered() (intake.Login, time.Duration) { return loginOf(s.login), s.ahead }
