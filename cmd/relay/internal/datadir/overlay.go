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

// OverlayLogin is the login of overlay backends.
type OverlayLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Check is a digest of both, which detects damage. It is empty in files of older versions.
	Check string `json:"check,omitempty"`
}

func (l OverlayLogin) digest() string {
	sum := sha256.Sum256([]byte(l.User + "\n" + l.Password))
	return hex.EncodeToString(sum[:8])
}

// LoadOverlayLogin reads the login from the data folder, or creates it.
func LoadOverlayLogin(dir string) (login OverlayLogin, created bool, err error) {
	path := filepath.Join(dir, OverlayFile)
	data, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		login = OverlayLogin{User: "overlay", Password: rand.Text()}
		login.Check = login.digest()
		data, err := json.Marshal(login) //nolint:gosec // the file is for the user only
		if err != nil {
			return login, false, fmt.Errorf("encode the overlay credentials: %w", err)
		}
		return login, true, WritePrivate(path, append(data, '\n'))
	}
	login, err = parseOverlayLogin(path, data, err)
	return login, false, err
}

// ReadOverlayLogin reads the login. Unlike [LoadOverlayLogin], it does not create one.
func ReadOverlayLogin(dir string) (OverlayLogin, error) {
	path := filepath.Join(dir, OverlayFile)
	data, err := readOwn(path)
	return parseOverlayLogin(path, data, err)
}

// parseOverlayLogin decodes the content of the file, or the error of reading it.
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

// Secret returns the password.
func (l OverlayLogin) Secret() secret.String { return secret.New(l.Password) }
