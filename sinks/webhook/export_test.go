package webhook

import (
	"net"
)

// SetResolver makes a webhook sink ask r for names.
func SetResolver(c *Config, r *net.Resolver) { c.resolver = r }
