package authcmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/internal/secret"
)

// readPassphrase returns the first line of a file.
func readPassphrase(path string) (secret.String, error) {
	content, err := secret.ReadFile(path)
	if err != nil {
		return secret.String{}, fmt.Errorf("read the passphrase: %w", err)
	}
	line, _, _ := strings.Cut(content.Reveal(), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return secret.String{}, exit.Usagef("read the passphrase: the first line of %s is empty", path)
	}
	return secret.New(line), nil
}

// askPassphrase asks for a passphrase on the terminal, twice, since a typing error would make the export useless.
func askPassphrase(s *state.State) (secret.String, error) {
	in, ok := s.In.(*os.File)
	if !ok || !terminal.Is(s.In) {
		return secret.String{}, exit.Usagef("no terminal to ask for a passphrase; give --passphrase-file or --recipient")
	}
	var entered [2]string
	for i, prompt := range []string{"Passphrase to encrypt the login with: ", "Repeat the passphrase: "} {
		if _, err := io.WriteString(s.Err, prompt); err != nil {
			return secret.String{}, err
		}
		line, err := term.ReadPassword(int(in.Fd()))
		if err != nil {
			return secret.String{}, fmt.Errorf("read the passphrase: %w", err)
		}
		if err := s.Say(""); err != nil {
			return secret.String{}, err
		}
		entered[i] = string(line)
	}
	switch {
	case entered[0] == "":
		return secret.String{}, errors.New("read the passphrase: it is empty")
	case entered[0] != entered[1]:
		return secret.String{}, errors.New("read the passphrase: the two passphrases differ")
	}
	return secret.New(entered[0]), nil
}
