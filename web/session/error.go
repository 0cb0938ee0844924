package session

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrRefused says that a link or password opens no session. It does not say why, so that nobody learns which ones exist.
	ErrRefused = errors.New("the link or password is wrong, or the link was used or is older than a minute")
	// ErrEnded says that a session has ended.
	ErrEnded = errors.New("the session has ended")
	// ErrNoPassword says that no role has a password.
	ErrNoPassword = errors.New("relay has no password for its pages")
)

// FileError says that a password file cannot be used, and what to do. It does not quote the file.
type FileError struct {
	Key string // of the configuration, such as http.password_file
	Err error
}

// Error says which file it is.
func (e *FileError) Error() string { return "read " + e.Key + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FileError) Unwrap() error { return e.Err }

// LimitError says that there were too many attempts.
type LimitError struct {
	RetryAfter time.Duration // when the next attempt is possible
}

// Error says how long to wait.
func (e *LimitError) Error() string {
	return fmt.Sprintf("too many attempts to log in; try again in %d s", e.Seconds())
}

// Seconds is RetryAfter in whole seconds, at least 1.
func (e *LimitError) Seconds() int {
	return max(1, int((e.RetryAfter+time.Second-1)/time.Second))
}
