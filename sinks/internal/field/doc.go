// Package field helps sinks to check and read the values of their configuration keys: an error that names the key,
// mutually exclusive keys, and files that keys name. No error quotes a secret.
package field
