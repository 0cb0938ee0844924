package web

import (
	"embed"
	"io/fs"
)

//go:embed assets
var embedded embed.FS

// Assets returns the files of the pages, which are part of the program.
func Assets() fs.FS {
	sub, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) // the name is valid
	}
	return sub
}
