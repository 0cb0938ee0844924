// Package disktest plays a full disk to tests, by a limit on the size of the files a process writes (RLIMIT_FSIZE). Only Unix
// has such a limit.
package disktest
