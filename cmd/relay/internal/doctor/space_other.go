//go:build !(linux || darwin || freebsd)

package doctor

import "errors"

// freeSpace is an [errors.ErrUnsupported] here.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
