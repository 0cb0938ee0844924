package overlay

import (
	"encoding/json"
	"strings"
)

// LocalFile returns an HTML file that waits for relay and then becomes the page with that URL, which has the key. OBS
// opens it from the disk, so it works when OBS starts before relay, where a page that cannot be loaded stays blank. It
// stays blank while another program answers at the address, and while relay does not accept the key. Treat it like the
// key.
func LocalFile(pageURL string) []byte {
	quoted, err := json.Marshal(pageURL) // which also escapes < > and &
	if err != nil {                      // impossible for a string
		quoted = []byte(`""`)
	}
	return []byte(strings.Replace(localFile, "PAGE", string(quoted), 1))
}

// localFile asks for a file that no overlay has: relay refuses that in its own words, which another program does not know, first because there is no
// key, and then because there is no file. So only relay gets the key.
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
const file = new URL('../api/v1/overlays/' + page.pathname.split('/').pop() + '/files/none', page);
async function problem(key) {
  const response = await fetch(file, { cache: 'no-store', signal: AbortSignal.timeout(3000), headers: { Authorization: 'Bearer ' + key } });
  return (await response.json()).type;
}
async function ready() {
  return await problem('') === 'urn:relay:problem:wrong-key' && await problem(page.hash.slice(1)) === 'urn:relay:problem:unknown-file';
}
async function wait() {
  for (;;) {
    if (await ready().catch(() => false)) return location.replace(page);
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}
wait();
</script>
</body>
</html>
`
