package overlay

import (
	"encoding/json"
	"strings"
)

// LocalFile returns an HTML file that waits for relay and then becomes the page with that URL, which has the key. OBS
// opens it from the disk, so it works when OBS starts before relay, where a page that cannot be loaded stays blank.
// Treat it like the key.
func LocalFile(pageURL string) []byte {
	quoted, err := json.Marshal(pageURL) // which also escapes < > and &
	if err != nil {                      // impossible for a string
		quoted = []byte(`""`)
	}
	return []byte(strings.Replace(localFile, "PAGE", string(quoted), 1))
}

// localFile asks in two ways, of which one is enough: a proxy may allow only one. It learns only that relay answers.
const localFile = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>relay overlay</title>
<style>html, body { background: transparent; margin: 0; }</style>
</head>
<body>
<!-- Add this file to OBS as a browser source with "Local file". It has the key of the overlay: do not share it. -->
<script>
const page = new URL(PAGE);
const api = new URL('../api/v1/overlays/' + page.pathname.split('/').pop() + '/files/custom.css', page);
async function wait() {
  for (;;) {
    try {
      const limits = { cache: 'no-store', signal: AbortSignal.timeout(3000) };
      await Promise.any([
        fetch(new URL('../healthz', page), { mode: 'no-cors', ...limits }),
        fetch(api, { headers: { Authorization: 'Bearer ' + page.hash.slice(1) }, ...limits }),
      ]);
      location.replace(page);
      return;
    } catch {
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }
}
wait();
</script>
</body>
</html>
`
