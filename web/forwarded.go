package web

import "strings"

// parseForwarded reads the header Forwarded (RFC 7239): the parameters of each hop, by their names in lower case. It is strict, and reports false if
// anything is malformed: with an open quote, a client could hide what a proxy adds behind it.
func parseForwarded(lines []string) (hops []map[string]string, ok bool) {
	for _, line := range lines {
		rest := line
		for more := true; more; {
			var hop map[string]string
			if hop, rest, more, ok = parseHop(rest); !ok {
				return nil, false
			}
			if len(hop) > 0 { // RFC 9110 allows empty elements in lists
				hops = append(hops, hop)
			}
		}
	}
	return hops, true
}

// parseHop reads the parameters up to the next comma, and returns what is behind it.
func parseHop(text string) (hop map[string]string, rest string, more, ok bool) {
	hop = make(map[string]string)
	for {
		text = strings.TrimLeft(text, " \t")
		name, after, found := cutToken(text)
		if found {
			value, tail, ok := cutValue(after)
			name = strings.ToLower(name)
			if _, twice := hop[name]; !ok || twice {
				return nil, "", false, false
			}
			hop[name], text = value, strings.TrimLeft(tail, " \t")
		}
		switch {
		case text == "":
			return hop, "", false, true
		case text[0] == ',':
			return hop, text[1:], true, true
		case text[0] != ';':
			return nil, "", false, false
		}
		text = text[1:]
	}
}

// cutToken cuts a token from the beginning of a text.
func cutToken(text string) (token, rest string, ok bool) {
	i := 0
	for i < len(text) && isTokenByte(text[i]) {
		i++
	}
	return text[:i], text[i:], i > 0
}

// cutValue cuts "=" and a token or a quoted string from the beginning of a text.
func cutValue(text string) (value, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "=")
	if !ok {
		return "", "", false
	}
	quoted, ok := strings.CutPrefix(text, `"`)
	if !ok {
		return cutToken(text)
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; c {
		case '"':
			return b.String(), quoted[i+1:], true
		case '\\':
			if i++; i < len(quoted) {
				b.WriteByte(quoted[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// isTokenByte reports whether a token may have a byte. Addresses with a port may come without quotes, although they should not, so a colon may be in
// one.
func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~:", c) >= 0
}
