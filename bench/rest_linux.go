package main

import "context"

func (b *bench) connections(ctx context.Context) ([]result, error) { return nil, nil }
