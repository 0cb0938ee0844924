//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Relay and every command refuse a data folder that others can write to, or in which they have put links.
func TestDataFolderWritableByOthers(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	data := w.data()
	mode := func(path string, mode os.FileMode) func(*testing.T) {
		return func(t *testing.T) {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
		}
	}
	for _, test := range []struct {
		name string
		do   func(*testing.T)
		want string
	}{
		{"writable by others", mode(data, 0o777), "others may write to " + data + " (mode 0777); run: chmod go-w " + data},
		{"writable by the group", mode(data, 0o770), "(mode 0770); run: chmod go-w " + data},
		{"journal writable by others", mode(filepath.Join(data, datadir.JournalDir), 0o722), "others may write to " + filepath.Join(data, datadir.JournalDir)},
		{"of another user", func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a folder away")
			}
			if err := os.Chown(data, 12345, -1); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chown(data, 0, -1) })
		}, data + " belongs to another user (id 12345, and this is 0); run this as the user that relay runs as"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.do(t)
			for _, args := range [][]string{{"--sink", "console"}, {"history"}, {"auth", "status"}, {"status"}, {"journal", "verify"}} {
				if text := w.relay(exit.Unavailable, args...).err.text(); !strings.Contains(text, test.want) {
					t.Errorf("relay %s: %s, want %q", strings.Join(args, " "), text, test.want)
				}
			}
			doctor := w.start("doctor")
			if doctor.exit(); !strings.Contains(doctor.out.text(), strings.SplitN(test.want, ";", 2)[0]) {
				t.Errorf("relay doctor: %s", doctor.out.text())
			}
		})
	}
}

// Relay opens no file of the data folder through a link.
func TestDataFolderWithLinks(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	data := w.data()
	aim := filepath.Join(w.dir, "aim")
	for _, name := range []string{datadir.LockFile, datadir.OverlayFile, datadir.CursorsFile, api.Socket, ".history-mystream", filepath.Join(datadir.IndexDir, "tail"), filepath.Join(datadir.OverlayDir, "jetstream", "x")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(data, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(path)
			if err := os.Symlink(aim, path); err != nil {
				t.Fatal(err)
			}
			if text := w.relay(exit.Unavailable, "--sink", "console").err.text(); !strings.Contains(text, path+" is a symbolic link, which relay does not follow") {
				t.Errorf("%s", text)
			}
			if _, err := os.Lstat(aim); err == nil {
				t.Error("the link was followed")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("a folder elsewhere", func(t *testing.T) { // which people have on another disk
		if err := os.Mkdir(aim, 0o700); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(data, datadir.AttemptsDir)
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(aim, at); err != nil {
			t.Fatal(err)
		}
		p := w.start("--sink", "console")
		p.err.find(t, "connected")
		p.stop()
		if err := os.Chmod(aim, 0o777); err != nil {
			t.Fatal(err)
		}
		if text := w.relay(exit.Unavailable, "--sink", "console").err.text(); !strings.Contains(text, "others may write to "+at) {
			t.Errorf("%s", text)
		}
	})
}
