//go:build unix

package natstest

import "syscall"

// Freeze stops the server in its tracks, as SIGSTOP does, until [Server.Thaw] or Kill. It returns when the server does nothing more.
func (s *Server) Freeze() {
	s.signal(syscall.SIGSTOP)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		awaitStop(s.cmd.Process.Pid)
	}
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // it may have ended
	}
}
