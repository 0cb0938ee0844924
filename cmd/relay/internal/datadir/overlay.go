package datadir

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/internal/secret"
)

// OverlayLogin is what overlay backends connect with.
type OverlayLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Check is a digest of both, by which damage is noticed; empty in the file of an older relay.
	Check string `json:"check,omitempty"`
}

func (l OverlayLogin) digest() string {
	sum := sha256.Sum256([]byte(l.User + "\n" + l.Password))
	return hex.EncodeToString(sum[:8])
}

// LoadOverlayLogin reads the overlay backends' credentials from the data folder, or makes them.
func LoadOverlayLogin(dir string) (login OverlayLogin, created bool, err error) {
	path := filepath.Join(dir, OverlayFile)
	data, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		login = OverlayLogin{User: "overlay", Password: rand.Text()}
		login.Check = login.digest()
		data, err := json.Marshal(login) //nolint:gosec // it goes into a file for the user only
		if err != nil {
			return login, false, fmt.Errorf("encode the overlay credentials: %w", err)
		}
		return login, true, WritePrivate(path, append(data, '\n'))
	}
	login, err = parseOverlayLogin(path, data, err)
	return login, false, err
}

// ReadOverlayLogin reads the credentials and makes none.
func ReadOverlayLogin(dir string) (OverlayLogin, error) {
	path := filepath.Join(dir, OverlayFile)
	data, err := readOwn(path)
	return parseOverlayLogin(path, data, err)
}

// parseOverlayLogin is given what reading the file brought.
func parseOverlayLogin(path string, data []byte, err error) (login OverlayLogin, _ error) {
	if err != nil {
		return login, fmt.Errorf("read the overlay credentials: %w", err)
	}
	if err := json.Unmarshal(data, &login); err != nil || login.User == "" || len(login.Password) < 16 ||
		login.Check != "" && login.Check != login.digest() {
		return login, &advice.Error{
			Err: fmt.Errorf("read the overlay credentials: %s is damaged", path), Fix: advice.Do("delete it to have new ones made"),
		}
	}
	return login, nil
}

// Secret is the password.
func (l OverlayLogin) Secret() secret.String { return secret.New(l.Password) }
