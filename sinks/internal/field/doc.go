// Package field has what the sinks share to check and read the values of their configuration keys: the error that names the key, keys of which
// only one may be set, and the files that keys name. Nothing here quotes a secret.
package field
