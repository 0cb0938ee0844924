package filelog

const noFollow = 0 // openStateFile has asked before

// syncStateDir does nothing: Windows has no such call, and keeps names durable with the files.
func syncStateDir(string) error { return nil }
