# relay alone: one static binary, no shell, no root. docker build -t treatrelay --build-arg VERSION=v1.2.3 .
#
# It reads /etc/relay/relay.yaml, keeps its data in the volume /data, and wants the file that RELAY_IDENTITY_FILE names; docs/operating.md
# says what that is. To try it without any of these: docker run --rm treatrelay --simulate --sink stdout
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# Only the sources: neither a relay.yaml nor a secret that lies beside them.
COPY auth auth
COPY cmd cmd
COPY docs docs
COPY internal internal
COPY pipeline pipeline
COPY sinks sinks
COPY socket socket
COPY web web
ARG TARGETOS TARGETARCH VERSION=
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w -X github.com/treatrelay/relay/cmd/relay/internal/version.stamped=$VERSION" -o /relay ./cmd/relay
RUN mkdir -m 700 /data && mkdir -m 1777 /empty

FROM scratch
# What a bare image lacks: the roots of TLS, and a folder for temporary files. Time zones are in the binary.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /empty /tmp
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build /relay /relay
# The user's folder for configuration is /etc, so that /etc/relay/relay.yaml is found where there is one.
ENV XDG_CONFIG_HOME=/etc RELAY_DATA_DIR=/data
USER 65532:65532
VOLUME /data
ENTRYPOINT ["/relay"]
# Healthy is what can do its work. The start reads the whole journal, which may take a while.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m --start-interval=2s --retries=3 CMD ["/relay", "status", "--quiet"]
