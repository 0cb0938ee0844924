package config

import (
	"encoding"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
)

// A decoder fills the sections from a YAML tree, and collects every fault. An error quotes a value only if it is in the file itself and not a
// secret.
type decoder struct {
	file   string
	getenv func(string) (string, bool)
	files  bool // check the contents of the files that sinks and the journal name
	lines  []string
	faults faultList
	at     map[string]place  // by path, for the paths in the file
	alias  map[string]string // from the path of a secret that a file contains to the path of the key that names the file

	secrets  []secret.String   // removed from every error
	expanded map[string]string // by path: the text of a value that contains a variable
	inline   []string          // the paths of secrets in the file itself
	kept     map[string]string // the files of the others, by the paths of their keys
	written  writtenKeys
}

// writtenKeys are the keys as they are in the file, before relay reads secrets from their files. The maps are by path.
type writtenKeys struct {
	accounts map[string]accountKeys
	sinks    map[string]sinkKeys
	journal  Journal
}

// A place has the positions of a key and its value.
type place struct{ key, value position }

// An entry is one key of a mapping with its value.
type entry struct {
	key  string
	node ast.Node
}

// A section decodes itself from the entries of a mapping.
type section interface {
	decodeEntries(d *decoder, path string, entries []entry)
}

func (d *decoder) report(at position, path, message string) {
	at = d.inside(at)
	if d.faults.shows(at) {
		message = secret.Scrub(strings.Join(strings.Fields(message), " "), d.secrets...)
	}
	d.faults.add(Fault{File: d.file, Line: at.line, Column: at.column, Path: path, Message: message})
}

// reject reports a fault of the value at a path, unless it has one already. For a path that is not in the file, it reports the place of the
// nearest key above.
func (d *decoder) reject(path, message string) {
	if named, ok := d.alias[path]; ok {
		path = named
	}
	if d.faults.at[path] {
		return
	}
	d.report(d.placeOf(path), path, message)
}

// placeOf returns the position of the value at a path, or of the nearest key above.
func (d *decoder) placeOf(path string) position {
	if p, ok := d.at[path]; ok {
		return p.value
	}
	for above := path; above != ""; {
		above = above[:max(strings.LastIndexAny(above, ".["), 0)]
		if p, ok := d.at[above]; ok {
			return p.key
		}
	}
	return position{1, 1}
}

// check rejects the value at a path if there is an error.
func (d *decoder) check(path string, err error) {
	if err != nil {
		d.reject(path, err.Error())
	}
}

// require rejects a value that is empty.
func (d *decoder) require(path, hint string, empty bool) {
	switch {
	case empty && d.given(path):
		d.reject(path, "is empty")
	case empty:
		d.reject(path, "is missing"+hint)
	}
}

// given reports whether a key is in the file.
func (d *decoder) given(path string) bool {
	_, named := d.alias[path]
	_, ok := d.at[path]
	return ok || named
}

// inside moves a position into the file, because some of the parser's are outside.
func (d *decoder) inside(at position) position {
	if len(d.lines) == 0 {
		return position{1, 1}
	}
	line := min(max(at.line, 1), len(d.lines))
	return position{line, min(max(at.column, 1), utf8.RuneCountInString(d.lines[line-1])+1)}
}

// plainKey returns the part of a key before the first character that a plain name cannot have: at most 63 letters, digits, _ and -.
func plainKey(key string) string {
	for i := range min(len(key), 64) {
		if c := key[i]; i == 63 || (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return key[:i]
		}
	}
	return key
}

// join appends a key to a path. It shortens a key that is not a plain name, because it may be a misplaced secret.
func join(path, key string) string {
	if plain := plainKey(key); plain != key {
		key = strconv.Quote(plain + "...")
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// value decodes a node into v, the value of a key with these tags. v keeps its value if the node is empty.
func (d *decoder) value(n ast.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if _, null := n.(*ast.NullNode); null {
		if v.Kind() != reflect.Map && !isSection(v.Type()) {
			d.report(d.at[path].key, path, "has no value; "+wanted(v.Type(), tag))
			return
		}
		n = &ast.MappingNode{} // Every key of the section is commented out.
	}
	switch {
	case isSection(v.Type()):
		if entries, ok := d.entries(n, path); ok {
			if s, ok := reflect.TypeAssert[section](v.Addr()); ok {
				s.decodeEntries(d, path, entries)
			} else {
				d.fields(path, entries, keysByName(v))
			}
		}
	case v.Kind() == reflect.Map:
		entries, _ := d.entries(n, path)
		v.Set(reflect.MakeMap(v.Type()))
		for _, e := range entries {
			item := reflect.New(v.Type().Elem()).Elem()
			d.value(e.node, join(path, e.key), item, tag)
			v.SetMapIndex(reflect.ValueOf(e.key), item)
		}
	case v.Kind() == reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			d.wrongKind(n, path, v.Type(), tag)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, item := range list.Values {
			itemPath := fmt.Sprintf("%s[%d]", path, i)
			d.at[itemPath] = place{beginning(item), beginning(item)}
			d.value(item, itemPath, v.Index(i), tag)
		}
	default:
		d.scalar(n, path, v, tag)
	}
}

// isSection reports whether a type is a section: a mapping of keys.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// entries returns the keys of a mapping, each once, and records their places.
func (d *decoder) entries(n ast.Node, path string) ([]entry, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.report(beginning(n), path, "want keys with values, got "+kind(n))
		return nil, false
	}
	var entries []entry
	first := make(map[string]position)
	for _, v := range m.Values {
		key := v.Key.GetToken()
		if v.Start.Type != token.MappingValueType {
			d.report(positionOf(key), path, "a key without a value; put a text that has a comma in quotes")
			continue
		}
		at := join(path, key.Value)
		if before, ok := first[key.Value]; ok {
			d.report(positionOf(key), at, fmt.Sprintf("duplicate key, the first is in line %d", before.line))
			continue
		}
		first[key.Value] = positionOf(key)
		d.at[at] = place{positionOf(key), beginning(v.Value)}
		entries = append(entries, entry{key.Value, v.Value})
	}
	return entries, true
}

// fields decodes entries into the keys of a section. A key that ends in _file is the path of an existing file, relative to the folder of the
// configuration file.
func (d *decoder) fields(path string, entries []entry, keys map[string]key) {
	for _, e := range entries {
		at := join(path, e.key)
		k, ok := keys[e.key]
		if !ok {
			message := "unknown key"
			if d.faults.shows(d.at[at].key) {
				message += "; " + text.Suggest(e.key, slices.Sorted(maps.Keys(keys)))
			}
			d.report(d.at[at].key, at, message)
			continue
		}
		d.value(e.node, at, k.value, k.tag)
		switch {
		case !k.isPath() || d.faults.at[at]:
			continue
		case k.value.String() == "":
			d.reject(at, "is empty")
			continue
		case !filepath.IsAbs(k.value.String()):
			k.value.SetString(filepath.Join(filepath.Dir(d.file), k.value.String()))
		}
		d.check(at, CheckReadable(k.value.String()))
	}
}

// secretFile reads the file of KEY_file into KEY, and clears KEY_file. Later faults of KEY are reported at KEY_file.
func (d *decoder) secretFile(path, key string, into *secret.String, file *string) {
	of, at := join(path, key), join(path, key+"_file")
	if !d.given(at) {
		return
	}
	if d.given(of) {
		d.reject(at, "this and "+key+" are both set: keep one of them")
	}
	d.alias[of] = at
	if !d.faults.at[at] {
		d.kept[at] = *file
		text, err := secret.ReadLine(*file) // After CheckReadable, because opening a pipe would wait for its writer.
		d.check(at, err)
		d.hide(text.Reveal())
		*into = text
	}
	*file = ""
}
