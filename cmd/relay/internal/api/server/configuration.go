package server

import "net/http"

func (s *server) configuration(w http.ResponseWriter, _ *http.Request) error {
	v, err := s.Configuration()
	if err != nil {
		return err
	}
	return answer(w, v)
}
