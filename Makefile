# The few commands a contributor needs. Everything else is plain go.
.PHONY: build test peers lint fmt ci

build: ## the binary, without debug information
	go build -trimpath -ldflags='-s -w' -o relay ./cmd/relay

test: ## needs only Go; tests against the npm servers are skipped until `make peers`
	go test ./...

peers: ## the real Socket.IO servers and NATS clients of npm, for the tests
	npm ci --prefix testdata/peers

lint:
	go tool -modfile=.ci/lint.mod golangci-lint run ./...

fmt:
	go tool -modfile=.ci/lint.mod golangci-lint fmt

ci: ## all that must pass before a change lands
	.ci/run
