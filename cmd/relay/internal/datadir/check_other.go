//go:build !unix

package datadir

import "io/fs"

const noFollow = 0

// checkOwner leaves it to the system's access lists.
func checkOwner(string, fs.FileInfo) error { return nil }
