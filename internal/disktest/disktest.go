// Package disktest simulates full disks and power failures for tests. [Fill] limits the size of the files that a
// process writes (RLIMIT_FSIZE), which only Unix can do. A [Disk] is a small file system of its own, which takes Linux
// and root.
package disktest
