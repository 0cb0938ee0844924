// Package disktest simulates a full disk for tests, by a limit on the size of the files that a process writes
// (RLIMIT_FSIZE). Only Unix has such a limit.
package disktest
