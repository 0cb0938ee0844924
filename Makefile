# The few commands a contributor needs. Everything else is plain go.
.PHONY: build test peers lint fmt screenshots ci chaos soak bench

build: ## the binary, without debug information
	go build -trimpath -ldflags='-s -w' -o relay ./cmd/relay

test: ## needs only Go; tests against the npm servers are skipped until `make peers`
	go test ./...

peers: ## the real Socket.IO servers and NATS clients of npm, for the tests
	npm ci --prefix testdata/peers

lint:
	go tool -modfile=.ci/lint.mod golangci-lint run ./...
	.ci/words --code

fmt:
	go tool -modfile=.ci/lint.mod golangci-lint fmt

screenshots: ## renews the pictures in docs/images; needs Chromium
	RELAY_REQUIRE_PEERS=1 RELAY_SCREENSHOTS=$(CURDIR)/docs/images go test ./cmd/relay -count=1 -run '^Test(Dashboard|Overlay)Screenshots?$$'
	.ci/pictures docs/images

ci: ## all that must pass before a change lands
	.ci/run

# Linux only, in a namespace of its own: a small disk is mounted, and nothing is left behind.
NAMESPACE = unshare --mount --pid --fork --kill-child --mount-proc $(shell [ "$$(id -u)" = 0 ] || echo --user --map-root-user)
PROOF = $(NAMESPACE) go test ./cmd/relay -count=1 -v -timeout 12h

chaos: peers ## fault injection, as docs/guarantees.md describes it: some hours, and tables in out/
	$(PROOF) -run '^TestChaos$$' -args -chaos.kills 200 -chaos.rounds 5 -chaos.longest 60s -chaos.out $(CURDIR)/out
	$(PROOF) -run '^TestChaos$$' -args -chaos.kills 50 -chaos.rounds 2 -chaos.longest 60s -chaos.journal external -chaos.out $(CURDIR)/out

soak: peers ## an hour of lost connections and renewed tokens, and a graph of what relay holds in out/
	$(PROOF) -run '^TestSoak$$' -args -soak 1h -soak.out $(CURDIR)/out

bench: ## relay beside what a user would run instead: docs/performance.md. An hour, Linux only; tables and pictures in bench/out
	npm ci --prefix bench/peers --no-audit --no-fund --loglevel=error >&2
	@go run ./bench $(BENCH)
