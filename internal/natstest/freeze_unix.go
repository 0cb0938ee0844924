//go:build unix

package natstest

import "syscall"

// Freeze suspends the server like SIGSTOP until [Server.Thaw] or Kill. It returns once the server has stopped.
func (s *Server) Freeze() {
	s.signal(syscall.SIGSTOP)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		awaitStop(s.cmd.Process.Pid)
	}
}

// Thaw resumes a frozen server.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // it may have ended
	}
}
