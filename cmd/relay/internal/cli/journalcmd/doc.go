// Package journalcmd has the commands that read the journal or write to it: tail, history, trace, export, replay, trigger, deadletters and
// journal. Each asks the local API, of the relay that runs or over the data folder.
package journalcmd
